"""A store that fails by rule: to test how jobs, and programs around them, take a failing disk.

    MAPREDUCE_FAULTS="op=create path=_COMMIT do=lost_reply; op=new_file who=worker nth=3 do=enospc"

The variable holds for every store of a run, those in worker processes too; `faults` sets it for a
block, and `FaultyStore` wraps one store. Rules are separated by ";", and each is a list of name=value,
separated by blanks:

op=     put, create, new_file, read, list, delete, or * (the default)
path=   a part of the object's name; by default any
who=    coordinator, worker, or * (the default)
nth=    the first matching operation that is hit, from 1 (the default), counted over all stores of a process
times=  once (the default), or always: that operation and all later ones
once=   a file: the rule fires only if it can create it, so once over all processes
do=     what happens:

eio, enospc, edquot, erofs, estale, emfile, eacces, ebusy, timeout, reset
             the operation is not done; StorageError, with the OSError as its cause (ebusy is what a
             bucket's "slow down" is)
lost_reply   it is done; StorageError with a time-out as its cause
late:N       a write is not done, StorageError with a time-out as its cause; but it is done when N more
             operations have begun, whoever was there in the meantime
twice:N      a put or create is done, and once more when N more operations have begun
overwrite    a create replaces what is there and says True: a store that ignores the condition
stale:K      a list lacks the K names that were written last
missing      a read raises FileNotFoundError, as if it was looked for too early; else nothing
short        a read gives half of the bytes: a range is a StorageError then; else nothing
flip         a read gives one bit flipped; else nothing
stall:SECONDS
             it is done later
kill_before, kill_after
             SIGKILL for this process, before or after it is done
torn         half of the bytes are written to an unfinished file, then SIGKILL; a read, list or delete
             is as with kill_before
note:FILE    it is done; a line "who op name" is appended to the file

For `new_file` this happens at the end of the block, when the object would appear; but `kill_before` and
`note` at its beginning. What "operations" and "written last" mean counts over all stores of a process that
share the rules. All rules that match an operation count it, and those that fire act in their order.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NoReturn, TypeVar

from mapreduce.errors import StorageError
from mapreduce.protocols import Capabilities, Store
from mapreduce.store import FAULTS, layout
from mapreduce.store.local import short_read, storage_error
from mapreduce.store.rules import ERRORS, Rule, Rules

_ACTIONS = {"read": "read", "list": "list", "delete": "delete"}
"""How messages name an operation; all others write."""

T = TypeVar("T")


class FaultyStore:
    """A `Store` around another one, with the faults that the rules ask for."""

    def __init__(self, inner: Store, rules: Rules | str, who: str = "coordinator") -> None:
        """Rules that are given as text count for this store alone. Raises JobError."""
        self._inner = inner
        self._rules = Rules(rules) if isinstance(rules, str) else rules
        self._who = who

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def put(self, name: str, data: bytes) -> None:
        self._write("put", name, data, lambda: self._inner.put(name, data))

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        def create() -> bool:
            return self._inner.create(name, data, durable=durable)

        def replace() -> bool:
            self._inner.put(name, data)
            return True

        fired = self._fired("create", name)
        act = replace if any(rule.do == "overwrite" for rule in fired) else create
        return self._write("create", name, data, act, fired)

    def list(self, prefix: str = "") -> list[str]:
        fired = self._fired("list", prefix)
        self._before(fired, "list", prefix, None)
        found = self._inner.list(prefix)
        for rule in fired:
            if rule.do.startswith("stale:"):
                newest = set(self._rules.written[-(rule.number or 0) :])
                found = [name for name in found if name not in newest]
        self._after(fired, "list", prefix)
        return found

    def delete(self, name: str) -> None:
        fired = self._fired("delete", name)
        self._before(fired, "delete", name, None)
        self._inner.delete(name)
        self._after(fired, "delete", name)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        fired = self._fired("read", name)
        self._before(fired, "read", name, None)
        if any(rule.do == "missing" for rule in fired):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), layout.shown(self.url, name))
        data = self._inner.read(name, start, length)
        for rule in fired:
            if rule.do == "flip":
                data = _flipped(data)
            elif rule.do == "short" and length is None:
                data = data[: len(data) // 2]
            elif rule.do == "short" and length:
                raise short_read(layout.shown(self.url, name), start, length, length // 2)
        self._after(fired, "read", name)
        return data

    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        fired = self._fired("new_file", name)
        early = tuple(rule for rule in fired if rule.do == "kill_before" or rule.do.startswith("note:"))
        self._before(early, "new_file", name, None)
        late = next((rule for rule in fired if rule.do.startswith("late:")), None)
        if late:
            whole = io.BytesIO()
            yield whole
            self._postpone(late, lambda: self._inner.create(name, whole.getvalue(), durable=durable))
            raise self._error("new_file", name, errno.ETIMEDOUT)
        with self._inner.new_file(name, durable=durable) as stream:
            yield stream
            if any(rule.do == "torn" for rule in fired):
                stream.truncate(stream.tell() // 2)
                _end_process()
            self._before(tuple(rule for rule in fired if rule not in early), "new_file", name, None)
        self._rules.written.append(name)
        self._after(fired, "new_file", name)

    def _fired(self, op: str, name: str) -> tuple[Rule, ...]:
        for write in self._rules.arriving():
            with suppress(StorageError):  # nobody waits for its answer any more
                write()
        return self._rules.fired(self._who, op, name)

    def _write(
        self, op: str, name: str, data: bytes, act: Callable[[], T], fired: tuple[Rule, ...] | None = None
    ) -> T:
        fired = self._fired(op, name) if fired is None else fired
        self._before(fired, op, name, data)
        for rule in fired:
            if rule.do.startswith("late:"):
                self._postpone(rule, act)
                raise self._error(op, name, errno.ETIMEDOUT)
        result = act()
        self._rules.written.append(name)
        for rule in fired:
            if rule.do.startswith("twice:"):
                self._postpone(rule, act)
        self._after(fired, op, name)
        return result

    def _postpone(self, rule: Rule, write: Callable[[], object]) -> None:
        self._rules.postpone(rule.number or 0, write)

    def _before(self, fired: tuple[Rule, ...], op: str, name: str, data: bytes | None) -> None:
        for rule in fired:
            if rule.do in ERRORS:
                raise self._error(op, name, ERRORS[rule.do])
            if rule.do.startswith("stall:"):
                time.sleep(float(rule.argument))
            elif rule.do.startswith("note:"):
                _note(rule.argument, f"{self._who} {op} {name}\n")
            elif rule.do == "kill_before":
                _end_process()
            elif rule.do == "torn":
                self._tear(name, data)

    def _after(self, fired: tuple[Rule, ...], op: str, name: str) -> None:
        for rule in fired:
            if rule.do == "lost_reply":
                raise self._error(op, name, errno.ETIMEDOUT)
            if rule.do == "kill_after":
                _end_process()

    def _tear(self, name: str, data: bytes | None) -> NoReturn:
        if data is not None:
            with self._inner.new_file(name) as stream:
                stream.write(data[: len(data) // 2])
                stream.flush()
                _end_process()
        _end_process()

    def _error(self, op: str, name: str, number: int) -> StorageError:
        cause = OSError(number, os.strerror(number))
        error = storage_error(_ACTIONS.get(op, "write"), layout.shown(self.url, name), cause)
        error.__cause__ = cause
        return error


def _flipped(data: bytes) -> bytes:
    """One bit of the middle byte is another one."""
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 1 for byte in data[middle : middle + 1]) + data[middle + 1 :]


def _note(file: str, line: str) -> None:
    """Append whole, also beside other processes."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _end_process() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # not reached


_armed = Rules("")


def environment_rules() -> Rules:
    """The rules of MAPREDUCE_FAULTS, shared by all stores of this process. Raises JobError."""
    global _armed
    text = os.environ.get(FAULTS, "")
    if text != _armed.text:
        _armed = Rules(text)
    return _armed


@contextmanager
def faults(text: str) -> Iterator[Rules]:
    """Let every store that is opened in the block, also in workers that it starts, fail by these rules.

    They count from 0. Raises JobError.
    """
    global _armed
    rules, before = Rules(text), (os.environ.get(FAULTS), _armed)
    os.environ[FAULTS], _armed = text, rules
    try:
        yield rules
    finally:
        variable, _armed = before
        if variable is None:
            os.environ.pop(FAULTS, None)
        else:
            os.environ[FAULTS] = variable

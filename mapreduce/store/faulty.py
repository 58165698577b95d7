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

eio, enospc, edquot, erofs, estale, emfile, timeout, reset
             the operation is not done; StorageError, with the OSError as its cause
lost_reply   it is done; StorageError with a time-out as its cause
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
`note` at its beginning. All rules that match an operation count it, and those that fire act in their order.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, TypeVar

from mapreduce.errors import JobError, StorageError
from mapreduce.protocols import Store
from mapreduce.store import FAULTS
from mapreduce.store.local import short_read, storage_error

OPERATIONS = ("put", "create", "new_file", "read", "list", "delete")
WHO = ("coordinator", "worker")
TIMES = ("once", "always")
ERRORS = {
    "eio": errno.EIO,
    "enospc": errno.ENOSPC,
    "edquot": errno.EDQUOT,
    "erofs": errno.EROFS,
    "estale": errno.ESTALE,
    "emfile": errno.EMFILE,
    "timeout": errno.ETIMEDOUT,
    "reset": errno.ECONNRESET,
}
_PLAIN = (*ERRORS, "lost_reply", "short", "flip", "kill_before", "kill_after", "torn")
_ALLOWED = {
    "op": ", ".join((*OPERATIONS, "*")),
    "path": "a part of a name",
    "who": ", ".join((*WHO, "*")),
    "nth": "a number from 1",
    "times": ", ".join(TIMES),
    "once": "a file",
    "do": ", ".join((*_PLAIN, "stall:SECONDS", "note:FILE")),
}
_ACTIONS = {"read": "read", "list": "list", "delete": "delete"}
"""How messages name an operation; all others write."""

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """One fault: when it fires, and what it does."""

    do: str
    op: str = "*"
    path: str = ""
    who: str = "*"
    nth: int = 1
    times: str = "once"
    once: str = ""

    @property
    def argument(self) -> str:
        """What follows the colon in `do`."""
        return self.do.partition(":")[2]

    def matches(self, who: str, op: str, name: str) -> bool:
        """Whether the rule is about such an operation."""
        return self.op in ("*", op) and self.who in ("*", who) and self.path in name


class Rules:
    """Rules, and how many operations each has seen. Stores that share them count together."""

    def __init__(self, text: str) -> None:
        """Raises JobError, with the values that are allowed, for a text that is not rules."""
        self.text = text
        self._rules = [_parsed(rule.strip()) for rule in text.split(";") if rule.strip()]
        self._seen = [0] * len(self._rules)

    def fired(self, who: str, op: str, name: str) -> tuple[Rule, ...]:
        """Count an operation; the rules that fire for it, in their order."""
        found = []
        for index, rule in enumerate(self._rules):
            if rule.matches(who, op, name):
                self._seen[index] += 1
                if self._is_due(rule, self._seen[index]):
                    found.append(rule)
        return tuple(found)

    @staticmethod
    def _is_due(rule: Rule, seen: int) -> bool:
        due = seen == rule.nth if rule.times == "once" else seen >= rule.nth
        return due and (not rule.once or _is_first(rule.once))


def _is_first(marker: str) -> bool:
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    except OSError as error:
        raise JobError(f"The marker once={marker} can't be created: {error.strerror}.") from error
    return True


def _parsed(text: str) -> Rule:
    given: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if name not in _ALLOWED or not equals or name in given:
            raise JobError(
                f"The fault rule {text!r} can't be read at {word!r}.",
                hint=f"Give each name once, as name=value: {', '.join(f'{each}=' for each in _ALLOWED)}.",
            )
        if not _is_valid(name, value):
            raise JobError(f"The fault rule {text!r} has {word}.", hint=f"{name}= takes {_ALLOWED[name]}.")
        given[name] = value
    if "do" not in given:
        raise JobError(f"The fault rule {text!r} does nothing.", hint=f"do= takes {_ALLOWED['do']}.")
    nth = int(given.pop("nth", "1"))
    return Rule(**given, nth=nth)


def _is_valid(name: str, value: str) -> bool:
    match name:
        case "op":
            return value in (*OPERATIONS, "*")
        case "who":
            return value in (*WHO, "*")
        case "times":
            return value in TIMES
        case "nth":
            return value.isascii() and value.isdigit() and int(value) > 0
        case "do":
            return value in _PLAIN or _has_argument(value)
        case _:
            return bool(value)


def _has_argument(value: str) -> bool:
    name, _, argument = value.partition(":")
    if name == "note":
        return bool(argument)
    return name == "stall" and argument.replace(".", "", 1).isdecimal()


class FaultyStore:
    """A `Store` around another one, with the faults that the rules ask for."""

    def __init__(self, inner: Store, rules: Rules | str, who: str = "coordinator") -> None:
        """Rules that are given as text count for this store alone. Raises JobError."""
        self.root = inner.root
        self._inner = inner
        self._rules = Rules(rules) if isinstance(rules, str) else rules
        self._who = who

    def put(self, name: str, data: bytes) -> None:
        self._operate("put", name, lambda: self._inner.put(name, data), data)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        return self._operate("create", name, lambda: self._inner.create(name, data, durable=durable), data)

    def list(self, prefix: str = "") -> list[str]:
        return self._operate("list", prefix, lambda: self._inner.list(prefix))

    def delete(self, name: str) -> None:
        self._operate("delete", name, lambda: self._inner.delete(name))

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        fired = self._rules.fired(self._who, "read", name)
        self._before(fired, "read", name, None)
        data = self._inner.read(name, start, length)
        for rule in fired:
            if rule.do == "flip":
                data = _flipped(data)
            elif rule.do == "short" and length is None:
                data = data[: len(data) // 2]
            elif rule.do == "short" and length:
                raise short_read(self.root / name, start, length, length // 2)
        self._after(fired, "read", name)
        return data

    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        fired = self._rules.fired(self._who, "new_file", name)
        early = tuple(rule for rule in fired if rule.do == "kill_before" or rule.do.startswith("note:"))
        self._before(early, "new_file", name, None)
        with self._inner.new_file(name, durable=durable) as stream:
            yield stream
            if any(rule.do == "torn" for rule in fired):
                stream.truncate(stream.tell() // 2)
                _end_process()
            self._before(tuple(rule for rule in fired if rule not in early), "new_file", name, None)
        self._after(fired, "new_file", name)

    def _operate(self, op: str, name: str, act: Callable[[], T], data: bytes | None = None) -> T:
        fired = self._rules.fired(self._who, op, name)
        self._before(fired, op, name, data)
        result = act()
        self._after(fired, op, name)
        return result

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
        error = storage_error(_ACTIONS.get(op, "write"), self.root / name, cause)
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

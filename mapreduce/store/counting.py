"""A store that counts what goes through it.

With `MAPREDUCE_COUNTS=FOLDER` in the environment each store of each process counts into a file of its own
there, in place, so that what was counted outlives a process that is killed; `counts_of` adds them up.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import BinaryIO, TypeVar

from mapreduce.errors import StorageError
from mapreduce.protocols import Capabilities, Store

T = TypeVar("T")

_OPERATIONS = ("put", "create", "new_file", "read", "list", "delete")
_NUMBERS = struct.Struct("<5q")
_SIZE = _NUMBERS.size * len(_OPERATIONS)


@dataclass(frozen=True)
class Counted:
    """What one kind of operation came to."""

    calls: int = 0
    """Those that failed among them."""
    failed: int = 0
    sent: int = 0
    """Bytes of what was written, whether or not it won its name."""
    received: int = 0
    """Bytes that were read."""
    names: int = 0
    """That lists gave: a bucket asks once for each thousand."""

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.calls + other.calls,
            self.failed + other.failed,
            self.sent + other.sent,
            self.received + other.received,
            self.names + other.names,
        )


class CountingStore:
    """A `Store` around another one. Below a `RetryingStore` it counts tries, above it operations.

    file: is made, and told of every count.
    """

    def __init__(self, inner: Store, file: Path | None = None) -> None:
        self._inner = inner
        self._told = _mapped(file, inner.url) if file else None
        self._counts: dict[str, Counted] = {}
        self._lock = Lock()

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    @property
    def counts(self) -> dict[str, Counted]:
        """By operation, as of now; those that were never called are left out."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> Counted:
        """Of all operations."""
        return sum(self.counts.values(), Counted())

    def put(self, name: str, data: bytes) -> None:
        self._count("put", lambda: self._inner.put(name, data), lambda _: Counted(sent=len(data)))

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        return self._count(
            "create",
            lambda: self._inner.create(name, data, durable=durable),
            lambda _: Counted(sent=len(data)),
        )

    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        written = 0
        try:
            with self._inner.new_file(name, durable=durable) as stream:
                yield stream
                written = stream.tell()
        except StorageError:
            self._add("new_file", Counted(calls=1, failed=1))
            raise
        self._add("new_file", Counted(calls=1, sent=written))

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._count(
            "read",
            lambda: self._inner.read(name, start, length),
            lambda data: Counted(received=len(data)),
        )

    def list(self, prefix: str = "") -> list[str]:
        return self._count("list", lambda: self._inner.list(prefix), lambda found: Counted(names=len(found)))

    def delete(self, name: str) -> None:
        self._count("delete", lambda: self._inner.delete(name), lambda _: Counted())

    def _count(self, op: str, act: Callable[[], T], measure: Callable[[T], Counted]) -> T:
        try:
            result = act()
        except (StorageError, FileNotFoundError):
            self._add(op, Counted(calls=1, failed=1))
            raise
        self._add(op, replace(measure(result), calls=1))
        return result

    def _add(self, op: str, counted: Counted) -> None:
        with self._lock:
            total = self._counts[op] = self._counts.get(op, Counted()) + counted
            if self._told is not None:
                _NUMBERS.pack_into(self._told, _NUMBERS.size * _OPERATIONS.index(op), *astuple(total))


def _mapped(file: Path, url: str) -> mmap.mmap:
    """Zeros in a new file, with the store's URL behind them."""
    with open(file, "xb+") as stream:
        stream.write(bytes(_SIZE) + url.encode())
        stream.flush()
        return mmap.mmap(stream.fileno(), _SIZE)


def counted(store: Store, folder: Path) -> Store:
    """The store, counting into a new file of a folder. Raises OSError if that is no folder."""
    return CountingStore(store, folder / f"{os.getpid()}-{secrets.token_hex(4)}")


def counts_of(folder: Path, url: str = "") -> dict[int, dict[str, Counted]]:
    """What was counted there of stores whose URL begins so: by process, and by operation."""
    found: dict[int, dict[str, Counted]] = {}
    for file in folder.iterdir():
        data = file.read_bytes()
        if not data[_SIZE:].decode().startswith(url):
            continue
        counts = found.setdefault(int(file.name.partition("-")[0]), {})
        for op, numbers in zip(_OPERATIONS, _NUMBERS.iter_unpack(data[:_SIZE]), strict=True):
            if numbers[0]:
                counts[op] = counts.get(op, Counted()) + Counted(*numbers)
    return found

"""A store in this process's memory: for simulations, and for tests that need no disk."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO

from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.local import short_read, storage_error
from mapreduce.store.names import checked_directory, checked_name


class MemoryStore:
    """A `Store` that keeps every promise, for the threads of one process. Every write is durable at once."""

    def __init__(self, url: str = "memory://", capabilities: Capabilities | None = None) -> None:
        """capabilities: what it claims to promise, to test those that act by it."""
        self.url = url
        self.capabilities = capabilities or Capabilities("memory")
        self._objects: dict[str, bytes] = {}
        self._lock = Lock()

    def put(self, name: str, data: bytes) -> None:
        with self._lock:
            self._objects[self._checked(name)] = bytes(data)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        with self._lock:
            return self._objects.setdefault(self._checked(name), bytes(data)) == data

    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        self._checked(name)
        stream = io.BytesIO()
        yield stream
        data = stream.getvalue()
        with self._lock:
            if name in self._objects:
                taken = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
                raise storage_error("write", layout.shown(self.url, name), taken) from taken
            self._objects[name] = data

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        where = layout.shown(self.url, name)
        with self._lock:
            data = self._objects.get(self._checked(name))
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
        if length is None:
            return data[start:]
        part = data[start : start + length]
        if len(part) != length:
            raise short_read(where, start, length, len(part))
        return part

    def list(self, prefix: str = "") -> list[str]:
        directory = checked_directory(prefix, self.url)
        with self._lock:
            return sorted(name for name in self._objects if not directory or name.startswith(f"{directory}/"))

    def delete(self, name: str) -> None:
        with self._lock:
            self._objects.pop(self._checked(name), None)

    def _checked(self, name: str) -> str:
        """The name. Raises StorageError for what is not one."""
        return checked_name(name, self.url)

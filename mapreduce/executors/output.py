"""What functions print: descriptors 1 and 2 of a worker are a pipe, which the coordinator's process reads.

Not a thread of the worker: C code may hold the interpreter lock for as long as it likes.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, TextIO

KEPT_BYTES = 4096
"""Of the beginning, and of the end."""

_READ_BYTES = 2**16
_READS = 64
"""At a time: a worker that prints without end must not hold up the others."""
_OUT_OF_THE_WAY = 64
"""The lowest descriptor for the worker's own use, above those that functions close and take."""


@contextmanager
def out_of_the_way() -> Iterator[None]:
    """What is opened in the block gets descriptors above those that functions close and take."""
    taken: list[int] = []
    try:
        with suppress(OSError):  # there are no more
            while (lowest := os.dup(2)) < _OUT_OF_THE_WAY:
                taken.append(lowest)
            os.close(lowest)
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)


class Printed:
    """The coordinator's end: keeps the beginning and the end of what came since it was last taken."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._head, self._tail, self._size = bytearray(), bytearray(), 0
        os.set_blocking(pipe.fileno(), False)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._pipe.fileno()

    def read(self) -> bool:
        """Take in what has come. False if nothing will ever come again."""
        for _ in range(_READS):
            try:
                data = os.read(self.fileno(), _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._add(data)
        return True

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        room = KEPT_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:][-KEPT_BYTES:]
        del self._tail[:-KEPT_BYTES]

    def take(self) -> str:
        """The text so far, once. Bytes that are no UTF-8 are replaced."""
        self.read()
        if not self._size:
            return ""
        left_out = self._size - len(self._head) - len(self._tail)
        between = f"\n… {left_out:,} bytes left out …\n".encode() if left_out else b""
        text = bytes(self._head + between + self._tail).decode("utf-8", "replace")
        self._head, self._tail, self._size = bytearray(), bytearray(), 0
        return text

    def close(self) -> None:
        """Close the pipe. May be called twice."""
        self._pipe.close()


class Captured:
    """The worker's end: makes descriptors 1 and 2 the pipe, and sees to it that they stay so."""

    def __init__(self, pipe: Connection) -> None:
        self._kept = fcntl.fcntl(pipe.fileno(), fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
        pipe.close()
        self._flush_c = ctypes.CDLL(None).fflush
        self._redirect()
        self._streams = {"stdout": _text(1), "stderr": _text(2)}
        vars(sys).update(self._streams)

    def restore(self) -> None:
        """Send all that was printed on its way, and undo what a function did to its streams."""
        theirs = [vars(sys).get(name) for name in self._streams]
        streams = [*theirs, *self._streams.values()]
        _flush(streams)
        self._flush_c(None)
        self._redirect()
        _flush(streams)
        for name, number in (("stdout", 1), ("stderr", 2)):
            if self._streams[name].closed:
                self._streams[name] = _text(number)
            setattr(sys, name, self._streams[name])

    def _redirect(self) -> None:
        os.dup2(self._kept, 1)
        os.dup2(self._kept, 2)


def _text(number: int) -> TextIO:
    return open(
        number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", newline="\n", closefd=False
    )


def _flush(streams: list[Any]) -> None:
    for stream in streams:
        with suppress(BaseException):  # closed, or a function's own object, which may raise anything
            stream.flush()

"""Messages between the coordinator's process and a worker: a length in four bytes, then MessagePack.

The coordinator's end never waits: not for a worker that does not read, nor for the rest of a message
from one that was stopped in the middle of it.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from mapreduce import codec
from mapreduce.forks import end_in_child

_LENGTH = struct.Struct("<I")
_LONGEST = 2**30
_READ_BYTES = 2**16


class Channel:
    """The coordinator's end. Not read further once it has raised."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._incoming = bytearray()
        self._outgoing: deque[memoryview] = deque()
        os.set_blocking(pipe.fileno(), False)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._pipe.fileno()

    def send(self, message: bytes) -> None:
        """Send a packed message as far as that goes at once; `flush` sends the rest."""
        if len(message) < _READ_BYTES:
            self._outgoing.append(memoryview(_LENGTH.pack(len(message)) + message))
        else:
            self._outgoing += [memoryview(_LENGTH.pack(len(message))), memoryview(message)]
        self.flush()

    def flush(self) -> bool:
        """Send what waits; True if nothing is left. A worker that has ended takes nothing any more."""
        try:
            while self._outgoing:
                sent = os.write(self.fileno(), self._outgoing[0])
                if sent == len(self._outgoing[0]):
                    self._outgoing.popleft()
                else:
                    self._outgoing[0] = self._outgoing[0][sent:]
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):  # its end is told by whoever waits for it
            self._outgoing.clear()
        return True

    def receive(self) -> Iterator[Any]:
        """The messages that have come. Raises EOFError or OSError after the last one, and ValueError
        for bytes that are no message.
        """
        while True:
            try:
                data = os.read(self.fileno(), _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                raise EOFError
            self._incoming += data
            yield from self._messages()
            if len(data) < _READ_BYTES:
                return

    def _messages(self) -> Iterator[Any]:
        start = 0
        while len(self._incoming) >= start + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming, start)
            if length > _LONGEST:
                raise ValueError(f"a message of {length:,} bytes")
            stop = start + _LENGTH.size + length
            if len(self._incoming) < stop:
                break
            yield codec.unpack(bytes(self._incoming[start + _LENGTH.size : stop]))
            start = stop
        del self._incoming[:start]

    def close(self) -> None:
        """Close the pipe. May be called twice."""
        with suppress(OSError):
            self._pipe.close()


class WorkerChannel:
    """The worker's end, which waits. A forked child has none: it ends when it comes here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._process = os.getpid()
        os.register_at_fork(after_in_child=pipe.close)

    def send(self, message: list[Any]) -> None:
        """Send a message whole. Raises BrokenPipeError if the coordinator has gone."""
        end_in_child(self._process)
        data = codec.pack(message)
        left = memoryview(_LENGTH.pack(len(data)) + data)
        while left:
            left = left[os.write(self._pipe.fileno(), left) :]

    def receive(self) -> Any:
        """The next message. Raises EOFError if the coordinator has gone."""
        end_in_child(self._process)
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return codec.unpack(self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        data = os.read(self._pipe.fileno(), size)
        if len(data) == size:
            return data
        found = bytearray(data)
        while data and len(found) < size:
            data = os.read(self._pipe.fileno(), min(size - len(found), _READ_BYTES))
            found += data
        if not data:
            raise EOFError
        return bytes(found)

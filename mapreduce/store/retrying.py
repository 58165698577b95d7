"""A store that tries again what may pass.

A network file system that is away for a moment, a signal at the wrong time, a read that came short: the
next try may do. A full disk, a missing permission, a name that exists: it won't, so they pass at once.
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, TypeVar

from mapreduce.errors import StorageError
from mapreduce.protocols import Store
from mapreduce.store.local import is_short

logger = logging.getLogger("mapreduce.store")

PASSING = frozenset(
    {
        errno.EIO,
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.ESTALE,
        errno.EBUSY,
        errno.EAGAIN,
        errno.EINTR,
    }
)
"""Numbers of errors that may be gone at the next try."""

T = TypeVar("T")


def may_pass(error: StorageError) -> bool:
    """Whether the same operation may do a moment later."""
    cause = error.__cause__
    return is_short(error) or (isinstance(cause, OSError) and cause.errno in PASSING)


class RetryingStore:
    """A `Store` whose operations are tried up to `attempts` times, but for `new_file`.

    What was written to a stream is gone, so whoever writes a new file begins the attempt afresh. Before
    try n + 1 passes a pause of `pause` · 2ⁿ⁻¹ seconds, times a number from 0.5 to 1.5 by `chance`, which
    is from 0 to 1. A `create` that was done though its answer was lost is repeated too: `inner` finds its
    own bytes, and says True.
    """

    def __init__(
        self,
        inner: Store,
        *,
        attempts: int = 4,
        pause: float = 0.05,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.root = inner.root
        self._inner = inner
        self._attempts, self._pause = attempts, pause
        self._sleep, self._chance = sleep, chance

    def put(self, name: str, data: bytes) -> None:
        self._repeat(lambda: self._inner.put(name, data))

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        return self._repeat(lambda: self._inner.create(name, data, durable=durable))

    def new_file(self, name: str, *, durable: bool = True) -> AbstractContextManager[BinaryIO]:
        return self._inner.new_file(name, durable=durable)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._repeat(lambda: self._inner.read(name, start, length))

    def list(self, prefix: str = "") -> list[str]:
        return self._repeat(lambda: self._inner.list(prefix))

    def delete(self, name: str) -> None:
        self._repeat(lambda: self._inner.delete(name))

    def _repeat(self, operation: Callable[[], T]) -> T:
        for number in range(self._attempts - 1):
            try:
                return operation()
            except StorageError as error:
                if not may_pass(error):
                    raise
                logger.info("%s It is tried again.", error.message)
            self._sleep(self._pause * 2**number * (0.5 + self._chance()))
        return operation()

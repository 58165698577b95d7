"""What is tried again, how often, and how long a store that is gone may keep everybody waiting."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from mapreduce.errors import StorageError
from mapreduce.store.local import is_short

logger = logging.getLogger("mapreduce.store")

PASSING = frozenset(
    {
        errno.EIO,
        errno.EREMOTEIO,
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.ECONNREFUSED,
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


class Budget:
    """Seconds that failing operations may take together, within a window of time.

    When they are used up nothing is tried again, so that a store that is gone is given up once, and not
    once for each of a thousand objects; as the window moves on there are some again.
    """

    def __init__(self, seconds: float = 120.0, window: float = 600.0) -> None:
        self._seconds, self._window = seconds, window
        self._spent: deque[tuple[float, float]] = deque()
        self._lock = Lock()

    def spend(self, seconds: float, now: float) -> None:
        """Note that an operation failed, and took so long. `now` never goes back."""
        with self._lock:
            self._spent.append((now, seconds))

    def left(self, now: float) -> float:
        """Seconds that there are; 0 or less for none."""
        with self._lock:
            while self._spent and self._spent[0][0] <= now - self._window:
                self._spent.popleft()
            return self._seconds - sum(seconds for _, seconds in self._spent)


class Patience:
    """Tries operations again: each up to `attempts` times, all together within `budget`.

    Before try n + 1 passes a pause of `pause` · 2ⁿ⁻¹ seconds, at most `longest`, times a number from 0.5 to
    1.5 by `chance`, which is from 0 to 1. `clock` tells seconds, and never goes back.
    """

    def __init__(
        self,
        attempts: int = 4,
        *,
        pause: float = 0.05,
        longest: float = 5.0,
        budget: Budget | None = None,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempts, self._pause, self._longest = attempts, pause, longest
        self._budget = budget or Budget()
        self._sleep, self._chance, self._clock = sleep, chance, clock

    def repeat(self, operation: Callable[[], T]) -> T:
        """What the operation gives, which must be one that may be repeated. Raises its last StorageError."""
        for number in range(self._attempts - 1):
            begin = self._clock()
            try:
                return operation()
            except StorageError as error:
                pause = min(self._pause * 2**number, self._longest) * (0.5 + self._chance())
                if not may_pass(error) or not self._has(pause, begin):
                    raise
                logger.info("%s It is tried again.", error.message)
            self._sleep(pause)
        return operation()

    def _has(self, pause: float, begin: float) -> bool:
        """Whether there is time for another try; then it is spent, and else what is left of it."""
        now = self._clock()
        self._budget.spend(now - begin, now)
        left = self._budget.left(now)
        self._budget.spend(min(pause, max(left, 0.0)), now)
        return left >= pause

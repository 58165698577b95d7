"""Ctrl-C and its kin: they unwind the stack, or are noted where attempts may still end."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from mapreduce.errors import Interrupted

logger = logging.getLogger("mapreduce.run")


class Signals:
    """SIGINT, SIGTERM and SIGHUP, where nobody else handles them, in the main thread.

    They unwind the stack at once: SIGINT by KeyboardInterrupt, the others by SystemExit. While
    attempts are draining, the first of them is only noted.
    """

    def __init__(self) -> None:
        self._noted = 0
        self._draining = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            defaults = {
                signal.SIGINT: signal.default_int_handler,
                signal.SIGTERM: signal.SIG_DFL,
                signal.SIGHUP: signal.SIG_DFL,
            }
            for number, usual in defaults.items():
                if signal.getsignal(number) is usual:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *ignored: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._draining and not self._noted:
            self._noted = number
            logger.info("stopping: attempts that end within 3 s are kept (once more: stop at once)")
            return
        self._noted = number
        self.end()

    def noted(self) -> bool:
        """Whether the run shall end."""
        return self._noted != 0

    @contextmanager
    def draining(self, possible: bool) -> Iterator[None]:
        """The block asks `noted`, if that is possible, and ends by itself: by Interrupted, which becomes what
        the signal means, where there was one.
        """
        self._draining = possible
        try:
            yield
        except Interrupted:
            if self._noted:
                self.end()
            raise
        finally:
            self._draining = False

    def end(self) -> NoReturn:
        """Raise what the noted signal means."""
        if self._noted == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self._noted)


class Asked(Signals):
    """The signals for other threads, which are not interrupted: they ask, and end by Interrupted."""

    def __init__(self, noted: Callable[[], bool]) -> None:
        super().__init__()
        self._asked = noted

    def noted(self) -> bool:
        """Whether the run shall end."""
        return self._asked()

    @contextmanager
    def draining(self, possible: bool) -> Iterator[None]:
        """The block asks `noted`, and ends by itself."""
        yield

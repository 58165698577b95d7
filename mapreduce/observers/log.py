"""Progress as lines of a log, where there is no terminal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from mapreduce.figures import count, visible
from mapreduce.model import AttemptRecord, Progress
from mapreduce.observers.pace import Line, Pace
from mapreduce.units import show_size

logger = logging.getLogger("mapreduce.run")

EVERY = 10.0
"""Seconds between two lines of one phase."""


class LogLines:
    """An observer that logs to `mapreduce.run`: a line at a change of phase and each EVERY seconds.

    An attempt that failed is a warning, at once.
    """

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._pace = Pace()
        self._phase = ""
        self._logged = 0.0

    def progress(self, progress: Progress) -> None:
        """Log, if it is time."""
        now = self._clock()
        lines = {line.name: line for line in self._pace.lines(progress, now)}
        if progress.phase != self._phase:
            if progress.phase == "reduce" and progress.maps:
                self._log_phase(lines["map"], lines["shuffle"])
            self._phase, self._logged = progress.phase, now
            logger.info("%s: %s", progress.phase, _beginning(progress))
        elif now - self._logged >= self._every:
            self._logged = now
            self._log_phase(lines[progress.phase])

    def _log_phase(self, *lines: Line) -> None:
        for line in lines:
            logger.info("%s: %s", line.name, _told(line))

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """Log what failed."""
        if attempt.error:
            error = visible(attempt.error.split("\n", 1)[0])
            logger.warning("%s, attempt %d %s: %s", attempt.task, attempt.attempt, attempt.outcome, error)

    def printed(self, task: str, text: str) -> None:
        """Log its lines."""
        for line in text.splitlines():
            logger.info("%s printed: %s", task, visible(line))

    def stalled(self, task: str, work: str, seconds: float) -> None:
        """Log a warning."""
        logger.warning(
            "%s has not moved for a while; it has worked for %.0f s on %s", task, seconds, visible(work)
        )

    def finished(self, result: Any) -> None:
        """Nothing: the summary tells it."""


def _beginning(progress: Progress) -> str:
    if progress.phase == "reduce":
        pairs = progress.pairs_shuffled
        size = show_size(progress.bytes_shuffled)
        return f"{count(progress.reduces, 'task')}, {count(pairs, 'pair')}, {size}"
    size = f", {show_size(progress.bytes_total)}" if progress.bytes_total else ""
    return f"{count(progress.maps, 'task')}{size}"


def _told(line: Line) -> str:
    tasks = f"{line.tasks} tasks" if line.tasks else ""
    percent = f"{100 * line.fraction:.0f} %" if line.left != "done" else ""
    return ", ".join(filter(None, (tasks, percent, line.amount, line.speed, line.rate, line.left)))

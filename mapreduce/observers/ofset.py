"""How far a run of a JobSet is, and what it came to: lines of a log, a line on a terminal, a summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from mapreduce.figures import cause_of, count, duration, visible
from mapreduce.model import SetJob, Status
from mapreduce.observers.summary import shown_path

if TYPE_CHECKING:
    from rich.live import Live

    from mapreduce.setresult import JobSetResult

logger = logging.getLogger("mapreduce.run")

EVERY = 10.0
"""Seconds between two lines that tell how far a set is."""
_BETWEEN = 0.1
_PATIENCE = 0.5
_MARGIN = 3
_CAUSES = 5


def word(status: Status) -> str:
    """How a job ended, in words."""
    return status.value.lower().replace("_", " ")


def line_of(job: SetJob) -> str:
    """How a job ended, and why, in a line."""
    told = f"{visible(job.name)} {word(job.status)}"
    if job.errors and job.status in (Status.FAILED, Status.CANCELLED):
        return f"{told}: {visible(job.errors[0].message.split(chr(10), 1)[0])}"
    return f"{told} in {duration(job.seconds)}"


class SetLines:
    """Logs to `mapreduce.run`: a warning for each job that has no result, and now and then how far it is."""

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._logged = clock()
        self._failed = 0

    def job_begun(self, name: str) -> None:
        """Nothing: there may be a thousand."""

    def job_ended(self, job: SetJob, ended: int, jobs: int) -> None:
        """Log, if it failed, or if it is time."""
        if job.status in (Status.FAILED, Status.CANCELLED):
            self._failed += 1
            logger.warning("%s", line_of(job))
        now = self._clock()
        if ended == jobs or now - self._logged >= self._every:
            self._logged = now
            failed = f", {self._failed:,} without a result" if self._failed else ""
            logger.info("%s of %s ended%s", f"{ended:,}", count(jobs, "job"), failed)

    def finished(self, result: JobSetResult) -> None:
        """Nothing: the summary tells."""


class SetTerminal:
    """Draws one line on a terminal; jobs that have no result are written above it. A context manager."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._begin = clock()
        self._drawn = 0.0
        self._running: dict[str, None] = {}
        self._ended = self._jobs = self._failed = 0
        self._live: Live | None = None

    def __enter__(self) -> SetTerminal:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def job_begun(self, name: str) -> None:
        """Draw, if it is time."""
        self._running[name] = None
        self._draw()

    def job_ended(self, job: SetJob, ended: int, jobs: int) -> None:
        """Draw, if it is time; write why, if it failed."""
        self._running.pop(job.name, None)
        self._ended, self._jobs = ended, jobs
        if job.status in (Status.FAILED, Status.CANCELLED):
            self._failed += 1
            self._write(line_of(job))
        self._draw()

    def finished(self, result: JobSetResult) -> None:
        """Erase the line."""
        self.close()

    def close(self) -> None:
        """Erase the line, and show the cursor again. May be called twice."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(line + "\n")

    def _draw(self) -> None:
        now = self._clock()
        if now - self._begin < _PATIENCE or now - self._drawn < _BETWEEN:
            return
        self._drawn = now
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if self._live is None:
            console = Console(file=self._stream)
            self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
        failed = f", {self._failed:,} without a result" if self._failed else ""
        of = f" of {self._jobs:,}" if self._jobs else ""
        text = Text(f"{self._ended:,}{of} jobs ended{failed}; running: {', '.join(self._running)}")
        text.truncate(self._live.console.width - _MARGIN, overflow="ellipsis")
        self._live.update(text, refresh=True)


class SetSummary:
    """Writes what a set came to, a line at a time, when its manifest is there."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def job_begun(self, name: str) -> None:
        """Nothing."""

    def job_ended(self, job: SetJob, ended: int, jobs: int) -> None:
        """Nothing: the manifest has kept it."""

    def finished(self, result: JobSetResult) -> None:
        """Write it."""
        for line in set_summary(result):
            self._write(line)


def set_summary(result: JobSetResult) -> list[str]:
    """Set, status and time; jobs by status, figures, causes of failures; where it lies, who was told."""
    manifest = result.manifest
    jobs = manifest.jobs
    records_in, records_out = sum(job.records_in for job in jobs), sum(job.records_out for job in jobs)
    told: list[tuple[str, Any]] = [
        ("jobs", ", ".join(f"{n:,} {word(status)}" for status, n in result.counts.items() if n)),
        ("records", f"{records_in:,} in, {records_out:,} out"),
    ]
    if kept := sum(job.kept for job in jobs):
        told.append(("kept", f"{count(kept, 'result')} of an earlier run"))
    told += _causes(result)
    told.append(("result", visible(shown_path(result.place))))
    if untold := [f"{job.name} ({', '.join(job.untold)})" for job in jobs if job.untold]:
        more = ", …" if len(untold) > _CAUSES else ""
        told.append(("not told", visible(", ".join(untold[:_CAUSES])) + more))
    if sinks := [visible(delivery.sink) for delivery in result.deliveries if delivery.delivered]:
        told.append(("told", ", ".join(sinks)))
    return [
        f"{manifest.jobset} {word(manifest.status)} in {duration(manifest.seconds.get('total', 0.0))}",
        *(f"  {label:<13}  {text}" for label, text in told),
    ]


def _causes(result: JobSetResult) -> list[tuple[str, str]]:
    """What went wrong, by cause, with the jobs that it ended."""
    told = []
    for group in result.errors[:_CAUSES]:
        cause = cause_of(group)
        names = [job.name for job in result.jobs if any(cause_of(error) == cause for error in job.errors)]
        more = f" and {len(names) - 2:,} more" if len(names) > 2 else ""
        example = visible(group.message.split("\n", 1)[0])
        told.append(("", f"{group.number:,} × {example} ({', '.join(names[:2])}{more})"))
    if len(result.errors) > _CAUSES:
        told.append(("", f"… and {count(len(result.errors) - _CAUSES, 'other cause')}"))
    return [("went wrong", told[0][1]), *told[1:]] if told else []

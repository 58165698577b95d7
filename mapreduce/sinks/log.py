"""Tell Python's logging."""

from __future__ import annotations

import logging

from mapreduce.figures import count, visible
from mapreduce.model import ErrorGroup, Status
from mapreduce.result import JobResult
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.news import Alert, Result
from mapreduce.sinks.teller import Teller
from mapreduce.units import show_size

_LEVELS = {
    Status.SUCCEEDED: logging.INFO,
    Status.COMPLETED_WITH_ERRORS: logging.WARNING,
    Status.FAILED: logging.ERROR,
    Status.CANCELLED: logging.WARNING,
}
_LONGEST = 1_000
"""Characters of one text from outside."""

logger = logging.getLogger("mapreduce.job")


class Log(Teller):
    """One line to the logger `mapreduce.job`: at level INFO of a success, else at WARNING or ERROR.

    name: of the sink. alert: a line, at WARNING, also while the run goes on, for each new cause of failures.
    """

    remote = False

    def __init__(self, name: str = "log", *, alert: bool = False) -> None:
        super().__init__(name, alert=alert)

    def __repr__(self) -> str:
        return f"Log({self.name!r}, alert={self.alert})"

    def deliver(self, result: Result, key: str) -> None:
        """Log name, status, figures or what ended it, and where the result lies. Reads no records."""
        told = _of_set(result) if isinstance(result, JobSetResult) else _of_job(result)
        line = "%s %s: %s, in %.1f s: %s"
        seconds = result.manifest.seconds.get("total", 0.0)
        logger.log(
            _LEVELS[result.status],
            line,
            _one_line(result.name),
            result.status.value,
            told,
            seconds,
            _one_line(str(result.place)),
        )

    def warn(self, alert: Alert, key: str) -> None:
        """Log a failure while the run goes on."""
        name = f"{alert.jobset}: {alert.job}" if alert.jobset else alert.job
        logger.warning("%s goes on, but: %s", _one_line(name), _failure(alert.error))


def _of_job(result: JobResult) -> str:
    if failure := result.manifest.failure:
        return _failure(failure)
    totals = result.manifest.totals
    told = (
        f"{totals.records_in:,} records in, {totals.records_out:,} out, {len(result.parts)} parts, "
        f"{show_size(totals.bytes_out)}"
    )
    return f"{told}, {count(totals.set_aside, 'bad record')} set aside" if totals.set_aside else told


def _of_set(result: JobSetResult) -> str:
    ended = [f"{number:,} {status.value}" for status, number in result.counts.items() if number]
    return ", ".join([count(len(result), "job"), *ended])


def _failure(error: ErrorGroup) -> str:
    return _one_line(f"{error.kind}: {error.message}")


def _one_line(text: str) -> str:
    """Safe for a log: no line ends, no control characters, no changes of direction, and not endless."""
    shown = visible(text[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"

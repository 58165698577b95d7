"""Tell Python's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mapreduce.units import show_size

if TYPE_CHECKING:
    from mapreduce.result import JobResult


class Log:
    """One line at level INFO to the logger `mapreduce.job`."""

    def __init__(self, name: str = "log") -> None:
        self.name = name

    def deliver(self, result: JobResult, key: str) -> None:
        """Log job, status, figures and where the result lies."""
        totals = result.manifest.totals
        logging.getLogger("mapreduce.job").info(
            "%s %s: %s records in, %s out, %s parts, %s, in %.1f s: %s",
            _one_line(result.manifest.job),
            result.status.value,
            f"{totals.records_in:,}",
            f"{totals.records_out:,}",
            len(result.parts),
            show_size(totals.bytes_out),
            result.manifest.seconds["total"],
            _one_line(str(result.place)),
        )


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)

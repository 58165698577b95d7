"""What a run came to, in a few lines at its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mapreduce.figures import count, facts, phases, visible
from mapreduce.model import AttemptRecord, Progress

if TYPE_CHECKING:
    from mapreduce.result import JobResult


class Summary:
    """An observer that writes the summary, a line at a time, when the run has committed."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def progress(self, progress: Progress) -> None:
        """Nothing: `Terminal` and `LogLines` show it."""

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """Nothing: the manifest has kept it."""

    def printed(self, task: str, text: str) -> None:
        """Nothing: `Terminal` and `LogLines` show it."""

    def stalled(self, task: str, work: str, seconds: float) -> None:
        """Nothing: `Terminal` and `LogLines` show it."""

    def finished(self, result: JobResult) -> None:
        """Write it."""
        for line in summary(result):
            self._write(line)


def summary(result: JobResult) -> list[str]:
    """Job, status and time; records, pairs, groups, bytes; functions against engine; where it lies."""
    manifest = result.manifest
    status = manifest.status.value.lower().replace("_", " ")
    told = [*facts(manifest), ("result", f"{visible(shown_path(result.place))} ({_parts(result)})")]
    if sinks := [visible(delivery.sink) for delivery in result.deliveries if delivery.delivered]:
        told.append(("told", ", ".join(sinks)))
    return [
        f"{manifest.job} {status} in {phases(manifest)}",
        *(f"  {label:<13}  {text}" for label, text in told),
    ]


def _parts(result: JobResult) -> str:
    return count(len(result.parts), "part")


def shown_path(path: Path | str) -> str:
    """A path as one would type it here: relative where that is shorter; a URL as it is."""
    if isinstance(path, str):
        return path
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)

"""What an observer hears if it wants nothing."""

from __future__ import annotations

from typing import Any

from mapreduce.model import AttemptRecord, Progress


class Quiet:
    """An observer that does nothing: who wants to hear one thing only begins with it."""

    def progress(self, progress: Progress) -> None:
        """Not wanted."""

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """Not wanted."""

    def printed(self, task: str, text: str) -> None:
        """Not wanted."""

    def stalled(self, task: str, work: str, seconds: float) -> None:
        """Not wanted."""

    def finished(self, result: Any) -> None:
        """Not wanted."""

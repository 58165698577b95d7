"""What tests of whole runs look at: an observer, an account of calls, the result."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce import Job, JobResult
from mapreduce.manifest import verify
from mapreduce.model import AttemptRecord, Progress
from mapreduce.testing import run_sequential

CALLS = "calls"


def note(text: str) -> None:
    """Add a line to the account of calls, at once and whole, from any process."""
    descriptor = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def calls(of: str = "") -> Counter[str]:
    """How often each line that begins so was noted."""
    path = Path(CALLS)
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line for line in lines if line.startswith(of))


def first_time(marker: str) -> bool:
    """Whether nobody has asked so before, in any process."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def wait_in_function(marker: str, seconds: float = 60.0) -> None:
    """Wait in a function for a file that the test makes; the deadline is for a broken engine only."""
    deadline = time.monotonic() + seconds
    while not os.path.exists(marker):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody made {marker}")
        time.sleep(0.002)


def segments_of(root: Path) -> list[Path]:
    """The data objects of maps that runs below a directory have written."""
    return sorted(path for path in root.rglob("data/map-*") if not path.name.endswith(".tmp"))


@dataclass
class Watcher:
    """An observer that keeps what it is told. `on_end` acts at the end of an attempt, in the coordinator's
    thread, before anything follows from it; `on_progress` several times a second.
    """

    on_end: Callable[[AttemptRecord], object] = lambda record: None
    on_progress: Callable[[Progress], object] = lambda progress: None
    ended: list[AttemptRecord] = field(default_factory=list)
    times: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of the attempts, in the same order."""
    stalls: list[tuple[str, str, float]] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)
        self.on_progress(progress)

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        now = time.monotonic()
        self.ended.append(attempt)
        self.times.append((now - attempt.seconds, now))
        self.on_end(attempt)

    def printed(self, task: str, text: str) -> None:
        """Not kept."""

    def stalled(self, task: str, work: str, seconds: float) -> None:
        self.stalls.append((task, work, seconds))

    def finished(self, result: Any) -> None:
        """Not kept."""

    def of(self, task: str) -> list[tuple[int, str, str]]:
        """Number, outcome and kind of error of a task's attempts."""
        return [(end.attempt, end.outcome, end.kind) for end in self.ended if end.task == task]


def assert_right(job: Job, result: JobResult) -> None:
    """The bytes are the reference's, the manifest is right, and nothing else lies about."""
    reference = run_sequential(job)
    assert [result.part_bytes(part) for part in result.parts] == reference.parts
    assert verify(result.path)[1] == []
    assert {path.name for path in result.path.iterdir()} == {
        "_manifest.json",
        *(part.name for part in result.parts),
    }
    assert list(Path().glob(".*")) == []


def assert_failed(output: str = "out") -> None:
    """No result is visible, and no part of one lies about."""
    assert not Path(output, "_manifest.json").exists()
    assert list(Path(output).glob(".*")) == []

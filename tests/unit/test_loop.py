"""The coordinator's loop with an executor that tells what the test wants, several things at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mapreduce import chunks
from mapreduce.chunks import Chunk
from mapreduce.coordinator.log import AcceptanceLog
from mapreduce.coordinator.loop import STALL_SECONDS, Coordinator
from mapreduce.coordinator.state import Limits
from mapreduce.errors import MapReduceError, SegmentError
from mapreduce.events import Failed, Reported, Succeeded, WorkerReady
from mapreduce.model import (
    Attempt,
    AttemptRecord,
    InputFile,
    Part,
    Plan,
    Progress,
    Result,
    SortedRun,
    Split,
    Work,
)
from mapreduce.store.local import LocalStore


class Told:
    """An executor: what each poll tells is made of what was submitted."""

    queues = False
    workers = 2

    def __init__(self, *polls: Callable[[Told], list[Any]]) -> None:
        self._polls = list(polls)
        self.running: dict[str, tuple[Attempt, dict[str, Any]]] = {}
        self.made: dict[int, str] = {}
        """The data object that each map has handed in last."""

    def start(self) -> None: ...

    def close(self) -> None: ...

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None: ...

    def memory(self) -> dict[int, int]:
        return {}

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        self.running[str(attempt.task)] = attempt, request
        if "segments" in request:
            assert {segments.map_index: segments.name for segments in request["segments"]} == self.made

    def poll(self, timeout: float) -> list[Any]:
        return self._polls.pop(0)(self)

    def done(self, task: str) -> list[Any]:
        """A task's attempt succeeds."""
        attempt, request = self.running.pop(task)
        index = attempt.task.index
        if task.startswith("map"):
            found = [Chunk(shard, 0, 0, 1, 1, b"d" * 16) for shard in range(2)]
            runs = (SortedRun("s|n", chunks.pack(found)),)
            self.made[index] = f"data/{index}-{attempt.number}"
            result = Result(Work(), {}, name=self.made[index], runs=runs, digest=task)
        else:
            part = Part(index, f"part-{index}", 0, 0, "", 0, "", False)
            result = Result(Work(), {}, part=part, inputs=request["inputs"])
        return [Succeeded(attempt, result), WorkerReady(attempt.worker)]

    def lost(self, task: str, map_index: int) -> list[Any]:
        """A reduce's attempt has found that a map's data is gone."""
        attempt, _ = self.running.pop(task)
        return [Failed(attempt, SegmentError("gone", map_index=map_index)), WorkerReady(attempt.worker)]


def two_by_two() -> Plan:
    """Two maps and two reduces."""
    file = InputFile("records:", 2, "")
    splits = tuple(Split(index, file, index, index + 1) for index in range(2))
    return Plan("run-00000001", "job", splits, (file,), 2, "", "")


def test_a_map_that_is_lost_in_the_moment_in_which_the_last_one_is_done(own_folder: Path) -> None:
    executor = Told(
        lambda _: [WorkerReady(0), WorkerReady(1)],
        lambda told: told.done("map 0") + told.done("map 1"),
        lambda told: told.lost("reduce 0", 0),
        lambda told: told.done("map 0") + told.lost("reduce 1", 1),
        lambda told: told.lost("reduce 0", 1) + told.done("map 1"),
        lambda told: told.done("reduce 0") + told.done("reduce 1"),
    )
    store = LocalStore(own_folder)
    coordinator = Coordinator(two_by_two(), executor, Limits(), AcceptanceLog(store, 1), store)
    outcome = coordinator.run()
    assert [result.part.index for result in outcome.reduces if result.part] == [0, 1]


class Stalls:
    """An observer of what does not move."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stalled(self, task: str, work: str, seconds: float) -> None:
        self.told.append(task)

    def attempt_ended(self, attempt: AttemptRecord) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def printed(self, task: str, text: str) -> None: ...

    def finished(self, result: Any) -> None: ...


def test_a_report_of_an_attempt_that_has_ended_is_none(own_folder: Path) -> None:
    now = 0.0
    ended: list[Attempt] = []

    def end_the_first(told: Told) -> list[Any]:
        ended.append(told.running["map 0"][0])
        return told.done("map 0")

    def wait(told: Told) -> list[Any]:
        nonlocal now
        now += 2 * STALL_SECONDS
        return []

    executor = Told(
        lambda _: [WorkerReady(0), WorkerReady(1)],
        end_the_first,
        lambda _: [Reported(ended[0], 1, 1, 1)],
        wait,
        lambda told: told.done("map 1"),
        lambda told: told.done("reduce 0") + told.done("reduce 1"),
    )
    store, stalls = LocalStore(own_folder), Stalls()
    log = AcceptanceLog(store, 1)
    Coordinator(two_by_two(), executor, Limits(), log, store, observers=[stalls], clock=lambda: now).run()
    assert stalls.told == ["map 1"]

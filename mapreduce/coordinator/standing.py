"""How far a run is. Sums are kept up to date as results come and go: there may be a million of them."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter

from mapreduce.events import Reported
from mapreduce.model import Attempt, Kind, Plan, Progress, Result, TaskId


class Standing:
    """Accepted results and the latest reports of running attempts, added up."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bytes_total = sum(self._size(index) for index in range(len(plan.splits)))
        self._sums: Counter[str] = Counter()
        self._reports: dict[Attempt, Reported] = {}

    def _size(self, index: int) -> int:
        """Bytes of a split. Records in memory are sized in items, which are none."""
        split = self._plan.splits[index]
        return 0 if split.file.uri == "records:" else split.size

    def accept(self, task: TaskId, result: Result) -> None:
        """A task has a result."""
        self._add(task, result, 1)

    def drop(self, task: TaskId, result: Result) -> None:
        """A task's accepted result is none any more."""
        self._add(task, result, -1)

    def _add(self, task: TaskId, result: Result, times: int) -> None:
        work, sums = result.work, self._sums
        if task.kind is Kind.REDUCE:
            sums["reduces_done"] += times
            sums["pairs_reduced"] += times * work.pairs
            return
        sums["maps_done"] += times
        sums["bytes_done"] += times * self._size(task.index)
        sums["records"] += times * work.records
        sums["pairs"] += times * work.pairs
        sums["pairs_shuffled"] += times * work.pairs_out
        sums["bytes_shuffled"] += times * work.bytes_out

    def report(self, report: Reported) -> None:
        """A running attempt has come this far."""
        self._reports[report.attempt] = report

    def ended(self, attempt: Attempt) -> None:
        """An attempt runs no more."""
        self._reports.pop(attempt, None)

    def progress(self, *, retries: int, workers: int) -> Progress:
        """As observers are told."""
        sums, maps = self._sums, len(self._plan.splits)
        mapping, reducing = self._running(Kind.MAP), self._running(Kind.REDUCE)
        ahead = sum(min(report.bytes, self._size(report.attempt.task.index)) for report in mapping)
        return Progress(
            phase="reduce" if self._plan.shards and sums["maps_done"] == maps else "map",
            maps=maps,
            maps_done=sums["maps_done"],
            reduces=self._plan.shards,
            reduces_done=sums["reduces_done"],
            bytes_total=self._bytes_total,
            bytes_done=sums["bytes_done"] + ahead,
            records=sums["records"] + sum(report.records for report in mapping),
            pairs=sums["pairs"] + sum(report.pairs for report in mapping),
            pairs_shuffled=sums["pairs_shuffled"],
            bytes_shuffled=sums["bytes_shuffled"] if self._plan.shards else 0,
            pairs_reduced=sums["pairs_reduced"] + sum(report.pairs for report in reducing),
            retries=retries,
            workers=workers,
        )

    def _running(self, kind: Kind) -> list[Reported]:
        """How far each running task is: the report of its attempt that is furthest."""
        furthest: dict[TaskId, Reported] = {}
        for report in sorted(self._reports.values(), key=attrgetter("bytes")):
            if report.attempt.task.kind is kind:
                furthest[report.attempt.task] = report
        return list(furthest.values())

"""The brain's hands: start what it says, note what it accepts, tell who watches."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from mapreduce.codec import to_plain
from mapreduce.coordinator.state import Accept, Brain, Command, Discard, Finish, GiveUp, Start
from mapreduce.errors import InternalError
from mapreduce.events import Failed, Printed, Reported, Succeeded, WorkerGone
from mapreduce.model import Attempt, AttemptRecord, Chunk, Kind, Plan, Progress, Result, Segments
from mapreduce.ordering import Range, chunks_within, merged, ranges
from mapreduce.protocols import Executor, Observer

_POLL_SECONDS = 0.1
_SHOW_SECONDS = 0.2


@dataclass
class Outcome:
    """What a run made: accepted results in task order, the story of attempts, names of garbage."""

    maps: list[Result] = field(default_factory=list)
    reduces: list[Result] = field(default_factory=list)
    attempts: list[AttemptRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Coordinator:
    """Runs a plan on an executor. `observers` hear of progress and of every attempt's end."""

    def __init__(
        self, plan: Plan, executor: Executor, max_attempts: int, observers: Sequence[Observer]
    ) -> None:
        self._plan = plan
        self._executor = executor
        self._observers = observers
        self._brain = Brain(len(plan.splits), plan.shards, max_attempts)
        self._started: dict[Attempt, float] = {}
        self._reports: dict[Attempt, Reported] = {}
        self._outcome = Outcome()
        self._segments: list[list[Segments]] = []
        self._ranges: list[Range] = []
        self._maps_ended = 0.0
        self._finished = False
        self._shown = 0.0

    def run(self) -> Outcome:
        """Run until every task has an accepted result. Raises the error that ended the job."""
        begin = time.monotonic()
        self._obey(self._brain.begin())
        if not self._finished:
            self._executor.start()
        while not self._finished:
            for event in self._executor.poll(_POLL_SECONDS):
                self._hear(event)
            self._show()
        self._shown = 0.0
        self._show()
        end = time.monotonic()
        between = self._maps_ended or end
        self._outcome.seconds = {"map": between - begin, "reduce": end - between}
        self._outcome.maps = self._accepted(Kind.MAP)
        self._outcome.reduces = self._accepted(Kind.REDUCE)
        return self._outcome

    def _accepted(self, kind: Kind) -> list[Result]:
        return [result for result in self._brain.results(kind) if result]

    def _hear(self, event: Any) -> None:
        if isinstance(event, Reported):
            self._reports[event.attempt] = event
            return
        if isinstance(event, Printed):
            return
        if isinstance(event, (Succeeded, Failed)):
            error = event.error.message if isinstance(event, Failed) else ""
            self._note(event.attempt, "failed" if error else "succeeded", error)
        elif isinstance(event, WorkerGone):
            for attempt in [a for a in self._started if a.worker == event.worker]:
                event.error.message += f" It worked on {self._work_of(attempt)}."
                self._note(attempt, "lost", event.error.message)
        self._obey(self._brain.handle(event))

    def _work_of(self, attempt: Attempt) -> str:
        if attempt.task.kind is Kind.REDUCE:
            return f"shard {attempt.task.index}"
        split = self._plan.splits[attempt.task.index]
        return f"{split.file.uri}, {split.start:,} to {split.stop:,}"

    def _note(self, attempt: Attempt, outcome: str, error: str) -> None:
        self._reports.pop(attempt, None)
        seconds = time.monotonic() - self._started.pop(attempt)
        record = AttemptRecord(
            str(attempt.task), attempt.number, attempt.worker, outcome, round(seconds, 6), error
        )
        self._outcome.attempts.append(record)
        for observer in self._observers:
            observer.attempt_ended(record)

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Start):
                self._start(command)
            elif isinstance(command, Accept):
                if command.attempt.task.kind is Kind.MAP and self._brain.done(Kind.MAP) == len(
                    self._plan.splits
                ):
                    self._maps_ended = time.monotonic()
                    self._segments = []
            elif isinstance(command, Discard):
                continue
            elif isinstance(command, Finish):
                self._finished = True
            elif isinstance(command, GiveUp):
                raise command.error

    def _start(self, command: Start) -> None:
        attempt = command.attempt
        request: dict[str, Any] = {
            "kind": attempt.task.kind.value,
            "index": attempt.task.index,
            "nonce": secrets.token_hex(4),
        }
        if attempt.task.kind is Kind.MAP:
            request["split"] = to_plain(self._plan.splits[attempt.task.index])
        else:
            request["inputs"] = command.inputs
            request["segments"] = to_plain(self._segments_of(attempt.task.index))
            request["range"] = self._ranges[attempt.task.index] if self._ranges else None
        self._started[attempt] = time.monotonic()
        self._executor.submit(attempt, request)

    def _segments_of(self, shard: int) -> list[Segments]:
        """What a reduce reads: each map's chunks of its shard, in map order."""
        if not self._segments:
            self._segments = [[] for _ in range(self._plan.shards)]
            results = self._brain.results(Kind.MAP)
            if self._plan.by_key:
                sample = merged((result.sketch for result in results if result), self._plan.shards)
                self._ranges = ranges(sample, self._plan.shards)
            for index, result in enumerate(results):
                if result is None:
                    raise InternalError(f"A reduce was started before map {index} was accepted.")
                self._add_segments(index, result)
        return self._segments[shard]

    def _add_segments(self, index: int, result: Result) -> None:
        by_shard: dict[int, tuple[Chunk, ...]] = {}
        if self._ranges:
            by_shard = {
                shard: chunks
                for shard, wanted in enumerate(self._ranges)
                if (chunks := chunks_within(result.chunks, wanted))
            }
        else:
            for shard, found in groupby(result.chunks, key=attrgetter("shard")):  # they come shard by shard
                by_shard[shard] = tuple(found)
        for shard, chunks in by_shard.items():
            self._segments[shard].append(Segments(index, result.name, result.layout, tuple(chunks)))

    def _show(self) -> None:
        now = time.monotonic()
        if self._observers and now - self._shown >= _SHOW_SECONDS:
            self._shown = now
            progress = self._progress()
            for observer in self._observers:
                observer.progress(progress)

    def _progress(self) -> Progress:
        maps = self._brain.results(Kind.MAP)
        done = [(split, result) for split, result in zip(self._plan.splits, maps, strict=True) if result]
        running = list(self._reports.values())
        mapping = [report for report in running if report.attempt.task.kind is Kind.MAP]
        reducing = [report for report in running if report.attempt.task.kind is Kind.REDUCE]
        reduced = self._accepted(Kind.REDUCE)
        # Records in memory are sized in items, which are no bytes.
        sizes = [0 if split.file.uri == "records:" else split.size for split in self._plan.splits]
        ahead = sum(min(report.bytes, sizes[report.attempt.task.index]) for report in mapping)
        return Progress(
            phase="reduce" if self._plan.shards and len(done) == len(maps) else "map",
            maps=len(maps),
            maps_done=len(done),
            reduces=self._plan.shards,
            reduces_done=len(reduced),
            bytes_total=sum(sizes),
            bytes_done=sum(size for size, result in zip(sizes, maps, strict=True) if result) + ahead,
            records=sum(r.work.records for _, r in done) + sum(report.records for report in mapping),
            pairs=sum(r.work.pairs for _, r in done) + sum(report.pairs for report in mapping),
            pairs_shuffled=sum(chunk.rows for _, r in done for chunk in r.chunks),
            bytes_shuffled=sum(r.work.bytes_out for _, r in done) if self._plan.shards else 0,
            pairs_reduced=sum(r.work.pairs for r in reduced) + sum(report.pairs for report in reducing),
            retries=self._brain.retries(),
            workers=len(self._started),
        )

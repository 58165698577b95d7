"""What a run came to, as the manifest that it commits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mapreduce import manifest as manifests
from mapreduce.coordinator.loop import Outcome
from mapreduce.datasets import FileDataset, as_output
from mapreduce.errors import Interrupted, MapReduceError, internal
from mapreduce.job import Job
from mapreduce.model import (
    FORMAT_VERSION,
    AttemptRecord,
    BadRecord,
    ErrorGroup,
    Manifest,
    Part,
    Plan,
    Result,
    SkewedShard,
    Status,
    Totals,
    Work,
)
from mapreduce.protocols import Output

LISTED = 1_000
"""Bad records that a manifest lists; their files have them all."""
_SKEW = 2
"""A shard is skewed if it has more than so many times the mean,"""
_LEAST_SKEWED = 10_000
"""and so many pairs: below that nobody waits for it."""
_NAMED = 3


def account(
    job: Job,
    plan: Plan,
    outcome: Outcome,
    started: datetime,
    previous: str,
    workers: int,
    *,
    resumed: int,
    jobset: str = "",
) -> tuple[Manifest, bytes]:
    """The manifest of a run that has accepted a result of every task, sealed, and its bytes.

    previous: digest of the manifest that it replaces, or "". resumed: how often it was gone on with.
    """
    maps, reduces = _Phase("map", outcome.maps), _Phase("reduce", outcome.reduces)
    counters = {
        name: maps.counters.get(name, 0) + reduces.counters.get(name, 0)
        for name in sorted(maps.counters.keys() | reduces.counters.keys())
    }
    return manifests.seal(
        Manifest(
            version=FORMAT_VERSION,
            job=plan.job,
            run_id=plan.run_id,
            status=Status.COMPLETED_WITH_ERRORS if maps.set_aside else Status.SUCCEEDED,
            output=type(as_output(job.output)).__name__,
            code=plan.code,
            options=plan.options,
            inputs=plan.inputs,
            parts=tuple((reduces if plan.shards else maps).parts),
            counters=counters,
            totals=_totals(plan, maps, reduces),
            tasks={"map": len(outcome.maps), "reduce": len(outcome.reduces)},
            workers=workers,
            attempts=tuple(outcome.attempts),
            started=started.isoformat(timespec="milliseconds"),
            seconds={name: round(value, 6) for name, value in outcome.seconds.items()},
            versions=manifests.versions(),
            previous=previous,
            key_names=tuple(job.key_names or ()),
            keyed=isinstance(job.reduce, Mapping),
            output_options=_reading(as_output(job.output)),
            set_aside=tuple(maps.set_aside),
            bad=tuple(maps.bad),
            resumed=resumed,
            jobset=jobset,
        )
    )


@dataclass(frozen=True)
class Ended:
    """How a run ended without a result, and what is known of it."""

    job: Job
    run_id: str
    error: BaseException
    plan: Plan | None
    """None: it was not planned."""
    attempts: Sequence[AttemptRecord]
    started: datetime
    seconds: float
    workers: int = 0
    jobset: str = ""


def account_of_end(ended: Ended) -> tuple[Manifest, bytes]:
    """The manifest of a run that has no result, sealed, and its bytes: it names no parts."""
    plan, error = ended.plan, ended.error
    output = as_output(ended.job.output)
    return manifests.seal(
        Manifest(
            version=FORMAT_VERSION,
            job=ended.job.name,
            run_id=ended.run_id,
            status=Status.CANCELLED if is_cancelled(error) else Status.FAILED,
            output=type(output).__name__,
            code=plan.code if plan else "",
            options=plan.options if plan else "",
            inputs=plan.inputs if plan else (),
            parts=(),
            counters={},
            totals=Totals(bytes_in=sum(f.size for f in plan.inputs if f.uri != "records:") if plan else 0),
            tasks={"map": len(plan.splits), "reduce": plan.shards} if plan else {},
            workers=ended.workers,
            attempts=tuple(ended.attempts),
            started=ended.started.isoformat(timespec="milliseconds"),
            seconds={"total": round(ended.seconds, 6)},
            versions=manifests.versions(),
            failure=failure(error),
            jobset=ended.jobset,
        )
    )


def is_cancelled(error: BaseException) -> bool:
    """Whether somebody stopped what ended by this error."""
    return isinstance(error, (KeyboardInterrupt, SystemExit, Interrupted))


def failure(error: BaseException) -> ErrorGroup:
    """An error that ended something, with what to do."""
    notes = getattr(error, "__notes__", ())
    if isinstance(error, MapReduceError):
        hint = " ".join(filter(None, (error.hint, *notes)))
        return ErrorGroup(type(error).__name__, error.message, 1, hint, error.details.rstrip(), error.place)
    if is_cancelled(error):
        how = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else "a signal"
        return ErrorGroup("Interrupted", f"It was stopped by {how}.", 1, " ".join(notes))
    told = internal(error) if isinstance(error, Exception) else MapReduceError(repr(error))
    return ErrorGroup(type(told).__name__, told.message, 1, " ".join(filter(None, (told.hint, *notes))))


def _reading(output: Output) -> str:
    options = output.reading if isinstance(output, FileDataset) else {}
    return json.dumps(options, sort_keys=True) if options else ""


class _Phase:
    """What the accepted results of a phase come to. Each is looked at once: there may be a million."""

    def __init__(self, name: str, results: Sequence[Result]) -> None:
        self.sums: Counter[str] = Counter()
        """Of the numbers of their works."""
        self.counters: dict[str, int] = {}
        self.parts: list[Part] = []
        self.set_aside: list[Part] = []
        self.bad: list[BadRecord] = []
        """The first LISTED."""
        self.slowest, self.slowest_seconds = "", -1.0
        self.largest = Work()
        """The one with the largest key."""
        self.most: list[tuple[int, Work]] = []
        """The _NAMED tasks with the most pairs, and their works, the one with the most first."""
        for index, result in enumerate(results):
            self._add(name, index, result)
        self.tasks = len(results)

    def _add(self, name: str, index: int, result: Result) -> None:
        work = result.work
        for summed in _SUMMED:
            self.sums[summed] += getattr(work, summed)
        for counter, number in result.counters.items():
            self.counters[counter] = self.counters.get(counter, 0) + number
        if result.part:
            self.parts.append(result.part)
        if result.set_aside:
            self.set_aside.append(result.set_aside)
        self.bad += result.bad[: LISTED - len(self.bad)]
        if work.seconds > self.slowest_seconds:
            self.slowest, self.slowest_seconds = f"{name} {index}", work.seconds
        if work.largest_key_pairs > self.largest.largest_key_pairs:
            self.largest = work
        self.most = sorted([*self.most, (index, work)], key=lambda one: (-one[1].pairs, one[0]))[:_NAMED]


_SUMMED = (
    "records", "pairs", "groups", "bytes_out", "user_seconds", "seconds", "set_aside", "undecodable"
)  # fmt: skip


def _totals(plan: Plan, maps: _Phase, reduces: _Phase) -> Totals:
    last = reduces if plan.shards else maps
    slowest = max(maps, reduces, key=lambda phase: phase.slowest_seconds)
    user = maps.sums["user_seconds"] + reduces.sums["user_seconds"]
    largest, most = reduces.most[0] if reduces.most else (-1, Work())
    return Totals(
        records_in=maps.sums["records"],
        pairs=maps.sums["pairs"],
        groups=reduces.sums["groups"],
        records_out=sum(part.records for part in last.parts),
        bytes_in=sum(file.size for file in plan.inputs if file.uri != "records:"),
        bytes_shuffled=maps.sums["bytes_out"] if plan.shards else 0,
        bytes_out=sum(part.size for part in last.parts),
        user_seconds=round(user, 6),
        engine_seconds=round(maps.sums["seconds"] + reduces.sums["seconds"] - user, 6),
        slowest_task=slowest.slowest,
        slowest_seconds=round(max(0.0, slowest.slowest_seconds), 6),
        largest_shard=largest,
        largest_shard_pairs=most.pairs,
        largest_key=reduces.largest.largest_key,
        largest_key_pairs=reduces.largest.largest_key_pairs,
        set_aside=maps.sums["set_aside"],
        undecodable=maps.sums["undecodable"],
        skewed=tuple(_skewed(reduces)),
    )


def _skewed(reduces: _Phase) -> Iterator[SkewedShard]:
    """The largest of the skewed shards, the largest first."""
    mean = reduces.sums["pairs"] / max(1, reduces.tasks)
    for shard, work in reduces.most:
        if work.pairs > _SKEW * mean and work.pairs >= _LEAST_SKEWED:
            yield SkewedShard(shard, work.pairs, work.bytes_in, work.largest_key, work.largest_key_pairs)

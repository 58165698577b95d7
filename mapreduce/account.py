"""What a run came to, as the manifest that it commits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from mapreduce import manifest as manifests
from mapreduce.coordinator.loop import Outcome
from mapreduce.datasets import FileDataset, as_output
from mapreduce.job import Job
from mapreduce.model import FORMAT_VERSION, Manifest, Plan, Result, SkewedShard, Status, Totals, Work
from mapreduce.protocols import Output

LISTED = 1_000
"""Bad records that a manifest lists; their files have them all."""


def account(
    job: Job,
    plan: Plan,
    outcome: Outcome,
    started: datetime,
    previous: str,
    workers: int,
    *,
    resumed: int,
) -> tuple[Manifest, bytes]:
    """The manifest of a run that has accepted a result of every task, sealed, and its bytes.

    previous: digest of the manifest that it replaces, or "". resumed: how often it was gone on with.
    """
    last = outcome.reduces if plan.shards else outcome.maps
    bad = [bad for result in outcome.maps for bad in result.bad]
    counters: dict[str, int] = {}
    for result in (*outcome.maps, *outcome.reduces):
        for name, count in result.counters.items():
            counters[name] = counters.get(name, 0) + count
    return manifests.seal(
        Manifest(
            version=FORMAT_VERSION,
            job=plan.job,
            run_id=plan.run_id,
            status=Status.COMPLETED_WITH_ERRORS if bad else Status.SUCCEEDED,
            output=type(as_output(job.output)).__name__,
            code=plan.code,
            options=plan.options,
            inputs=plan.inputs,
            parts=tuple(result.part for result in last if result.part),
            counters=dict(sorted(counters.items())),
            totals=_totals(plan, outcome.maps, outcome.reduces),
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
            set_aside=tuple(result.set_aside for result in outcome.maps if result.set_aside),
            bad=tuple(bad[:LISTED]),
            resumed=resumed,
        )
    )


def _reading(output: Output) -> str:
    options = output.reading if isinstance(output, FileDataset) else {}
    return json.dumps(options, sort_keys=True) if options else ""


def _totals(plan: Plan, maps: Sequence[Result], reduces: Sequence[Result]) -> Totals:
    last = reduces if plan.shards else maps
    works = [result.work for result in (*maps, *reduces)]
    names = [f"map {i}" for i in range(len(maps))] + [f"reduce {i}" for i in range(len(reduces))]
    slowest = max(range(len(works)), key=lambda i: works[i].seconds, default=-1)
    largest = max(range(len(reduces)), key=lambda i: reduces[i].work.pairs, default=-1)
    user = sum(work.user_seconds for work in works)
    skewed = max((result.work for result in reduces), key=lambda work: work.largest_key_pairs, default=Work())
    return Totals(
        records_in=sum(result.work.records for result in maps),
        pairs=sum(result.work.pairs for result in maps),
        groups=sum(result.work.groups for result in reduces),
        records_out=sum(result.part.records for result in last if result.part),
        bytes_in=sum(file.size for file in plan.inputs if file.uri != "records:"),
        bytes_shuffled=sum(result.work.bytes_out for result in maps) if plan.shards else 0,
        bytes_out=sum(result.part.size for result in last if result.part),
        user_seconds=round(user, 6),
        engine_seconds=round(sum(work.seconds for work in works) - user, 6),
        slowest_task=names[slowest] if works else "",
        slowest_seconds=round(works[slowest].seconds, 6) if works else 0.0,
        largest_shard=largest,
        largest_shard_pairs=reduces[largest].work.pairs if reduces else 0,
        largest_key=skewed.largest_key,
        largest_key_pairs=skewed.largest_key_pairs,
        set_aside=sum(result.work.set_aside for result in maps),
        undecodable=sum(result.work.undecodable for result in maps),
        skewed=tuple(_skewed([result.work for result in reduces])),
    )


_SKEW = 2
"""A shard is skewed if it has more than so many times the mean,"""
_LEAST_SKEWED = 10_000
"""and so many pairs: below that nobody waits for it."""
_NAMED = 3


def _skewed(works: Sequence[Work]) -> Iterator[SkewedShard]:
    """The largest of the skewed shards, the largest first."""
    mean = sum(work.pairs for work in works) / max(1, len(works))
    largest = sorted(range(len(works)), key=lambda shard: -works[shard].pairs)
    for shard in largest[:_NAMED]:
        work = works[shard]
        if work.pairs > _SKEW * mean and work.pairs >= _LEAST_SKEWED:
            yield SkewedShard(shard, work.pairs, work.bytes_in, work.largest_key, work.largest_key_pairs)

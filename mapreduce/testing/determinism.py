"""Does a map give the same pairs when it runs again?"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any

from mapreduce.codec import to_plain
from mapreduce.datasets import Kept
from mapreduce.functions import function_name
from mapreduce.job import Job
from mapreduce.model import Kind, Split
from mapreduce.plan import make_plan, new_run_id
from mapreduce.worker import Workbench


class NonDeterminism(AssertionError):
    """A map gave other pairs the second time; the message names the function and the input."""


def check_determinism(job: Job, *, sample: float = 0.1, limit: int | None = None) -> None:
    """Run a sample of the maps twice, and raise NonDeterminism if the pairs or counts differ.

    Runs in this process, without reduce, output and sinks. sample: the share of splits, from the first to
    the last, at least one. limit: read the first records of each input only. What differs between
    processes only, as the order of a set of strings, is not found.
    """
    if not 0 < sample <= 1:
        raise ValueError(f"sample={sample!r}: give a share above 0, at most 1")
    job = replace(job, output=None, sinks=())
    plan = make_plan(job, new_run_id(datetime.now(UTC)), limit)
    with _workbench(job, plan.run_id, plan.shards) as bench:
        for split in _spread(plan.splits, sample):
            if _content(bench, split) != _content(bench, split):
                raise NonDeterminism(_message(job, split))


def _spread(splits: tuple[Split, ...], sample: float) -> list[Split]:
    wanted = max(1, round(len(splits) * sample))
    return [splits[number * len(splits) // wanted] for number in range(wanted)] if splits else []


@contextmanager
def _workbench(job: Job, run_id: str, shards: int) -> Iterator[Workbench]:
    with TemporaryDirectory() as folder:
        setup = {"run_id": run_id, "run": f"{folder}/run", "output": f"{folder}/output", "shards": shards}
        bench = Workbench(job, setup)
        bench.output = Kept()
        yield bench


def _content(bench: Workbench, split: Split) -> tuple[Any, ...]:
    request = {
        "kind": Kind.MAP,
        "index": split.index,
        "nonce": secrets.token_hex(4),
        "split": to_plain(split),
    }
    result = bench.run(request, _silent)
    return result.digest, result.work.records, result.work.pairs, result.counters


def _silent(_size: int, _records: int, _pairs: int) -> None:
    """Nobody watches."""


def _message(job: Job, split: Split) -> str:
    return (
        f"map {function_name(job.inputs[split.input].map)} of job {job.name} gives other pairs when it runs "
        f"again, on {split.file.uri}, {split.start:,} to {split.stop:,}.\n"
        "A task may run more than once: let what a map gives follow from its record alone, not from chance, "
        "the clock, or what it did before."
    )

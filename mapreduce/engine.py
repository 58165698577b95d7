"""`run(job)`: plan, run, commit, tell. It wires the parts and owns the run's directory."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal, NoReturn

from mapreduce import manifest as manifests
from mapreduce.codec import canonical_json, dump_job
from mapreduce.coordinator.loop import Coordinator, Outcome
from mapreduce.datasets import FileDataset, as_output
from mapreduce.errors import JobError, StorageError
from mapreduce.executors.serial import SerialExecutor
from mapreduce.job import Job
from mapreduce.model import FORMAT_VERSION, Manifest, Plan, Result, Status, Totals, Work
from mapreduce.place import Place, check_apart, check_output, place_of, run_directory
from mapreduce.plan import make_plan, new_run_id
from mapreduce.protocols import Executor, Observer, Output
from mapreduce.result import JobResult
from mapreduce.signatures import check_signatures
from mapreduce.sinks.delivery import deliver_all, named_sinks
from mapreduce.store import layout
from mapreduce.store.local import LocalStore

On = Literal["processes", "serial"]


def run(
    job: Job,
    *,
    on: On | None = None,
    workers: int | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    observers: Sequence[Observer] = (),
) -> JobResult:
    """Run a job and commit its result.

    on: "processes" (of this host, the default) or "serial" (in this process).
    workers: number of processes; by default one for each processor.
    limit: read the first records of each input only.
    overwrite: replace a result that is there, after this one has succeeded.
    observers: told of progress, from this thread.

    Raises MapReduceError if the job fails; nothing of it is visible then. The result is committed
    when this returns; a sink that failed is told in `result.deliveries` and undoes nothing.
    Ctrl-C, SIGTERM and SIGHUP (where they have their default meaning) end the workers, remove the
    run's files, and raise KeyboardInterrupt or SystemExit.
    """
    if not isinstance(job, Job):
        raise JobError(f"run() got a {type(job).__name__}.", hint="Give it a Job.")
    started = datetime.now(UTC)
    begin = time.monotonic()
    check_signatures(job)
    named_sinks(job.sinks)
    if on != "serial":
        from mapreduce.executors import warm_up

        warm_up()
    place = place_of(job, new_run_id(started))
    previous = check_output(place, overwrite=overwrite)
    plan = make_plan(job, place.run_id, limit)
    check_apart(place, plan)
    planned = time.monotonic()
    with _ended_by_signals(), run_directory(place):
        executor = _executor(job, plan, place, on, workers)
        try:
            outcome = Coordinator(plan, executor, job.max_attempts, observers).run()
        finally:
            executor.close()
        outcome.seconds |= {"plan": planned - begin, "total": time.monotonic() - begin}
        manifest = _manifest(job, plan, outcome, started, previous, executor.workers)
        _commit(place, manifest, overwrite=overwrite)
    result = JobResult(place.output, manifest, as_output(job.output))
    result.deliveries = deliver_all(job.sinks, result)
    for observer in observers:
        observer.finished(result)
    return result


# ---------------------------------------------------------------- where it runs


def default_workers() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor(job: Job, plan: Plan, place: Place, on: str | None, workers: int | None) -> Executor:
    if workers is not None and (type(workers) is not int or workers < 1):
        raise JobError(f"workers={workers!r}.", hint="Give a number from 1.")
    setup: dict[str, Any] = {
        "run_id": plan.run_id,
        "run": str(place.directory),
        "output": str(place.output),
        "shards": plan.shards,
    }
    if on == "serial":
        return SerialExecutor(job, setup)
    if on not in (None, "processes"):
        raise JobError(f"on={on!r} is not known.", hint='Give "processes" or "serial".')
    from mapreduce.executors.processes import ProcessExecutor

    useful = max(1, len(plan.splits), plan.shards)
    return ProcessExecutor(dump_job(job), setup, min(workers or default_workers(), useful))


# ---------------------------------------------------------------- commit


def _commit(place: Place, manifest: Manifest, *, overwrite: bool) -> None:
    """One exclusive create decides; publishing follows from what it holds, and can be repeated."""
    data = canonical_json(manifest)
    if not LocalStore(place.directory).create(layout.COMMIT, data):
        raise StorageError(f"Run {place.run_id} was committed by somebody else.")
    manifests.publish(LocalStore(place.output, place.run_id), manifest, overwrite=overwrite)


def _manifest(
    job: Job, plan: Plan, outcome: Outcome, started: datetime, previous: str, workers: int
) -> Manifest:
    last = outcome.reduces if plan.shards else outcome.maps
    counters: dict[str, int] = {}
    for result in (*outcome.maps, *outcome.reduces):
        for name, count in result.counters.items():
            counters[name] = counters.get(name, 0) + count
    return manifests.seal(
        Manifest(
            version=FORMAT_VERSION,
            job=plan.job,
            run_id=plan.run_id,
            status=Status.SUCCEEDED,
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
        undecodable=sum(result.work.undecodable for result in maps),
    )


# ---------------------------------------------------------------- signals


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, where nobody else handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    ours = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)

"""A run on this host: from the beginning, or going on; with an end that is told, whatever it is."""

from __future__ import annotations

import logging
import os
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapreduce import host
from mapreduce import manifest as manifests
from mapreduce.account import account
from mapreduce.codec import canonical_json, dump_job
from mapreduce.coordinator.log import Acceptance, AcceptanceLog
from mapreduce.coordinator.loop import Coordinator, Outcome
from mapreduce.coordinator.state import Limits
from mapreduce.errors import InputError, JobError, MemoryExceeded, StorageError, UserCodeError
from mapreduce.executors.serial import SerialExecutor
from mapreduce.job import Job
from mapreduce.model import Manifest, Plan
from mapreduce.options import Begin, Options
from mapreduce.place import Place, Replaced, check_apart, check_output, has_work, place_of, run_directory
from mapreduce.plan import make_plan, new_run_id
from mapreduce.protocols import Executor
from mapreduce.result import JobResult
from mapreduce.resume import Begun, done_of, find_begun, plan_to_go_on, published_by, usable, write_plan
from mapreduce.signals import Signals
from mapreduce.store import layout
from mapreduce.telling import Story, alerting, tell, telling_failure
from mapreduce.units import parse_size

logger = logging.getLogger("mapreduce.run")


def run_on_host(
    job: Job,
    options: Options,
    begin: Begin,
    signals: Signals,
    *,
    limit: int | None = None,
    resume: bool | None = None,
    work: Path | None = None,
    accept_new_code: bool = False,
) -> JobResult:
    """Run a job here, or go on with a run of it that did not end. Raises what `run` raises."""
    run_id = new_run_id(begin.date)
    with telling_failure(job, options, begin, run_id) as story:
        place = place_of(job, run_id, work)
        begun = None if resume is False else find_begun(place)
        if resume and begun is None:
            raise JobError(
                f"There is no run to {place.output} that can go on.", hint="Run the job without `resume`."
            )
        story.place = place
        with closing(begun.lock) if begun else nullcontext():
            story.plan = plan = make_plan(job, run_id, limit)
            if begun and (again := plan_to_go_on(begun, plan, accept_new_code=accept_new_code)) is not None:
                story.place, story.plan = begun.place, again
                return _go_on(job, again, begun, options, begin, signals, story)
        return _run_new(job, plan, place, options, begin, signals, story)


def _run_new(
    job: Job, plan: Plan, place: Place, options: Options, begin: Begin, signals: Signals, story: Story
) -> JobResult:
    replaced = check_output(place, overwrite=options.overwrite)
    check_apart(place, plan)
    with (
        _telling_what_is_kept(place, options),
        _memory_told(),
        run_directory(place, keep=options.keep, replaced=replaced.run_id),
    ):
        write_plan(place.store(), 1, plan, options.invocation)
        return _finish(job, plan, place, options, begin, signals, story, replaced.digest, session=1)


def _go_on(
    job: Job, plan: Plan, begun: Begun, options: Options, begin: Begin, signals: Signals, story: Story
) -> JobResult:
    place = begun.place
    logger.info("going on with run %s: %s", place.run_id, done_of(begun))
    replaced = Replaced() if published_by(place) else check_output(place, overwrite=options.overwrite)
    with (
        _telling_what_is_kept(place, options),
        _memory_told(),
        run_directory(place, begun.lock, keep=options.keep, replaced=replaced.run_id),
    ):
        if begun.committed is not None:
            data = canonical_json(begun.committed)
            story.committed = True
            return _publish_and_tell(job, place, begun.committed, data, options)
        place.store().delete(layout.COMMIT)  # one that can't be read, or whose parts are gone
        if plan != begun.plan:
            write_plan(place.store(), begun.plans + 1, plan, options.invocation)
        restored = usable(begun)
        return _finish(
            job,
            plan,
            place,
            options,
            begin,
            signals,
            story,
            replaced.digest,
            session=begun.session,
            restored=restored,
        )


def _finish(
    job: Job,
    plan: Plan,
    place: Place,
    options: Options,
    begin: Begin,
    signals: Signals,
    story: Story,
    previous: str,
    *,
    session: int,
    restored: Sequence[Acceptance] = (),
) -> JobResult:
    """Run what is left to do, commit, publish and tell. Only the manifest of it all is left then."""
    story.attempts.extend(acceptance.record for acceptance in restored)
    with alerting(job, plan.run_id, place.store(), options) as observers:
        outcome, workers = _execute(
            job,
            plan,
            place,
            replace(options, observers=[*observers, story]),
            begin,
            signals,
            session=session,
            restored=restored,
        )
    manifest, data = account(
        job, plan, outcome, begin.date, previous, workers, resumed=session - 1, jobset=options.jobset
    )
    _commit(place, data)
    story.committed = True
    return _publish_and_tell(job, place, manifest, data, options)


@contextmanager
def _telling_what_is_kept(place: Place, options: Options) -> Iterator[None]:
    """Add to whatever ends the run a note that says how to go on with it, where that is possible."""
    try:
        yield
    except BaseException as error:
        if has_work(place):
            error.add_note(_how_to_go_on(error, place, options))
        raise


@contextmanager
def _memory_told() -> Iterator[None]:
    """Turn a MemoryError of this process into MemoryExceeded."""
    try:
        yield
    except MemoryError as error:
        raise MemoryExceeded(
            f"The coordinator's own process, {os.getpid()}, gets no more memory.",
            hint="Give it more (ulimit -v, the container's limit), or use fewer splits and counters.",
            trace="".join(traceback.format_exception(error)),
            place="coordinator",
        ) from error


def _how_to_go_on(error: BaseException, place: Place, options: Options) -> str:
    """What can be done with what was done: it depends on what has to be mended."""
    of_output = not place.kept and isinstance(place.output, Path)
    where = shlex.quote(os.path.relpath(place.output if of_output else place.root))
    again = f"`mapreduce resume {where}`, or the same command" if options.invocation else "the same job again"
    afresh, new_code = (
        ("--new", "--accept-new-code") if options.invocation else ("resume=False", "accept_new_code=True")
    )
    if isinstance(error, UserCodeError):
        return (
            f"What was done is kept for the functions as they are: go on with {again}. "
            f"If you mend the reduce, {new_code} keeps what the maps did; if you mend another, {afresh} "
            "starts afresh."
        )
    if isinstance(error, InputError):
        return (
            f"What was done is kept for the input as it is: go on with {again}. "
            f"If you mend the input, {afresh} starts afresh."
        )
    return f"What was done is kept. Go on with {again}; {afresh} starts afresh."


def _execute(
    job: Job,
    plan: Plan,
    place: Place,
    options: Options,
    begin: Begin,
    signals: Signals,
    *,
    session: int,
    restored: Sequence[Acceptance] = (),
) -> tuple[Outcome, int]:
    """Run what is left to do; what came of it all, and the number of workers."""
    planned = time.monotonic()
    from mapreduce.executors.processes import ProcessExecutor

    executor = _executor(job, plan, place, options)
    serial = isinstance(executor, SerialExecutor)
    try:
        coordinator = Coordinator(
            plan,
            executor,
            _limits(job, executor, options),
            AcceptanceLog(place.store(), session),
            place.store(),
            restored=restored,
            observers=options.observers,
            stop_requested=signals.noted,
            waiting=executor.expect if isinstance(executor, ProcessExecutor) else lambda _: None,
        )
        with signals.draining(not serial):
            outcome = coordinator.run()
    finally:
        executor.close()
    outcome.seconds |= {"plan": planned - begin.seconds, "total": time.monotonic() - begin.seconds}
    return outcome, executor.workers


def _limits(job: Job, executor: Executor, options: Options) -> Limits:
    """What attempts may take. In this process nothing can be stopped, so nothing is limited."""
    if isinstance(executor, SerialExecutor):
        return Limits(job.max_attempts, backups=False, quarantine=job.quarantine)
    beside = options.share.of if options.share else executor.workers
    budget = host.worker_budget(beside) if job.memory is None else parse_size("memory", job.memory)
    return Limits(
        job.max_attempts, job.timeout, budget, budget * executor.workers, options.backups, job.quarantine
    )


def _executor(job: Job, plan: Plan, place: Place, options: Options) -> Executor:
    setup: dict[str, Any] = {
        "run_id": plan.run_id,
        "run": str(place.directory),
        "output": str(place.output),
        "shards": plan.shards,
        "fresh_process": options.fresh_process,
    }
    if options.on == "serial":
        return SerialExecutor(job, setup)
    from mapreduce.executors.processes import ProcessExecutor

    useful = max(1, len(plan.splits), plan.shards)
    workers = min(options.workers or host.processors(), useful)
    return ProcessExecutor(dump_job(job), setup, workers, options.share)


# ---------------------------------------------------------------- commit


def _commit(place: Place, data: bytes) -> None:
    """One exclusive create decides; publishing follows from what it holds, and can be repeated."""
    if not place.store().create(layout.COMMIT, data):
        raise StorageError(f"Run {place.run_id} was committed by somebody else.")


def _publish_and_tell(job: Job, place: Place, manifest: Manifest, data: bytes, options: Options) -> JobResult:
    if published_by(place) is None:
        manifests.publish(place.output_store(), data, overwrite=options.overwrite)
    return tell(job, place, manifest, options)

"""`run(job)`: plan, run, commit, tell. It wires the parts and owns the run's directory."""

from __future__ import annotations

import logging
import os
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from mapreduce.datasets import as_source
from mapreduce.datasets.replay import Replay
from mapreduce.errors import (
    InputError,
    JobError,
    MemoryExceeded,
    StorageError,
    UserCodeError,
)
from mapreduce.executors.serial import SerialExecutor
from mapreduce.importpath import Deployed, ImportPath, deployed
from mapreduce.job import Input, Job, has_inputs
from mapreduce.model import Manifest, Plan
from mapreduce.options import Begin, On, Options, is_place
from mapreduce.place import (
    Place,
    Replaced,
    check_apart,
    check_output,
    has_work,
    place_of,
    run_directory,
)
from mapreduce.plan import make_plan, new_run_id
from mapreduce.protocols import Executor, Observer
from mapreduce.result import JobResult
from mapreduce.resume import (
    Begun,
    Invocation,
    done_of,
    find_begun,
    plan_to_go_on,
    published_by,
    usable,
    write_plan,
)
from mapreduce.signals import Signals
from mapreduce.signatures import check_signatures
from mapreduce.sinks.delivery import named_sinks
from mapreduce.store import layout
from mapreduce.telling import tell
from mapreduce.units import parse_size

logger = logging.getLogger("mapreduce.run")


def run(
    job: Job,
    *,
    on: On | str | None = None,
    import_path: str | ImportPath | None = None,
    workers: int | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    work: str | os.PathLike[str] | None = None,
    replay: str | os.PathLike[str] | None = None,
    resume: bool | str | None = None,
    accept_new_code: bool = False,
    keep: bool = False,
    backups: bool = True,
    fresh_process: bool = False,
    observers: Sequence[Observer] = (),
    hosts_timeout: float | None = None,
    invocation: Invocation | None = None,
) -> JobResult:
    """Run a job and commit its result, or go on with a run of it that did not end.

    on: "processes" (of this host, the default), "serial" (in this process), or a store that hosts share: a
        folder ("/…" or "./…") or a URL. Its hosts (`mapreduce worker`) do the work then, and this process
        leads the run. It is signed with the key that MAPREDUCE_KEY_FILE or MAPREDUCE_KEY names.
    import_path: "package.module:job", for a store: its hosts import the job, and are sent no pickle. It must
        be this job, here and there. `params` are sent along.
    hosts_timeout: seconds after which a run on a store ends by NoWorkers, if no host works on it; by
        default it waits for one.
    workers: number of processes; by default one for each processor.
    limit: read the first records of each input only.
    overwrite: replace a result that is there, after this one has succeeded.
    work: the directory for what a run needs while it runs; by default beside the output. A run goes on
        only where it is given again.
    replay: the directory of a result of this job: read the records that were set aside there instead of the
        source. The new result is of these records alone.
    resume: None goes on with a run of the same job to the same output that was killed, stopped or failed,
        where there is one: what it had accepted is not run again. True demands that there is one;
        False starts afresh. The id of a run on a store demands that it is that one.
    accept_new_code: go on though the reduce function has changed: map results are kept.
    keep: leave the run's directory when it has ended.
    backups: give a straggler near the end of a phase a second attempt.
    fresh_process: let each attempt have a process of its own.
    observers: told of progress, from this thread.
    invocation: how the command line was called, for `mapreduce resume`.

    Raises MapReduceError if the job fails; nothing of it is visible then. JobChanged if a run was begun
    that is not of this job as it is now. The result is committed when this returns; a sink that failed
    is told in `result.deliveries` and undoes nothing. Ctrl-C, SIGTERM and SIGHUP (where they have
    their default meaning) let running attempts end for up to three seconds, or end at once when they
    come twice, and raise KeyboardInterrupt or SystemExit. What was accepted is kept, which a note of
    the exception says.
    """
    if not isinstance(job, Job):
        raise JobError(f"run() got a {type(job).__name__}.", hint="Give it a Job.")
    by_hosts = None if import_path is None else _by_hosts(import_path, job, on, replay)
    if replay is not None:
        job = _replaying(job, replay)
    options = Options(
        on,
        workers,
        overwrite,
        keep,
        backups,
        fresh_process,
        observers,
        invocation,
        by_hosts,
        hosts_timeout,
    )
    begin = Begin.now()
    _check_options(options)
    check_signatures(job)
    named_sinks(job.sinks)
    if on is not None and is_place(on):
        if work is not None or accept_new_code:
            raise JobError("work and accept_new_code can't be given for a store.")
        from mapreduce.onstore import run_on_store

        return run_on_store(job, on, options, begin, limit=limit, resume=resume)
    if isinstance(resume, str):
        raise JobError(f"resume={resume!r} names a run, and `on` no store.", hint="Give True, or a store.")
    if on != "serial":
        from mapreduce.executors import warm_up

        warm_up()
    with Signals() as signals:
        plan = make_plan(job, new_run_id(begin.date), limit)
        place = place_of(job, plan.run_id, None if work is None else Path(work))
        begun = None if resume is False else find_begun(place)
        if resume and begun is None:
            raise JobError(
                f"There is no run to {place.output} that can go on.", hint="Run the job without `resume`."
            )
        if begun is None:
            return _run_new(job, plan, place, options, begin, signals)
        try:
            plan_now = plan_to_go_on(begun, plan, accept_new_code=accept_new_code)
            if plan_now is not None:
                return _go_on(job, plan_now, begun, options, begin, signals)
        finally:
            begun.lock.close()
        return _run_new(job, plan, place, options, begin, signals)


def _by_hosts(
    path: str | ImportPath, job: Job, on: str | None, replay: str | os.PathLike[str] | None
) -> Deployed:
    """The job as hosts have it. Raises JobError."""
    if on is None or not is_place(on):
        raise JobError("import_path is for a store that hosts share.", hint="Leave it out.")
    if replay is not None:
        raise JobError("replay= can't be given with import_path.", hint="Send it by value.")
    return deployed(path, job)


def _replaying(job: Job, directory: str | os.PathLike[str]) -> Job:
    """The job over the records that its result in a directory has set aside."""
    again = [
        Input(Replay(as_source(given.source), directory, number), given.map)
        for number, given in enumerate(job.inputs)
    ]
    if has_inputs(job.source):
        return replace(job, source=again)
    return replace(job, source=again[0].source)


def _check_options(options: Options) -> None:
    if options.workers is not None and (type(options.workers) is not int or options.workers < 1):
        raise JobError(f"workers={options.workers!r}.", hint="Give a number from 1.")
    if options.on not in (None, "processes", "serial") and not is_place(options.on):
        raise JobError(
            f"on={options.on!r} is not known.",
            hint='Give "processes", "serial", or a store: a folder ("/…" or "./…") or a URL.',
        )
    timeout = options.hosts_timeout
    if timeout is not None and not (type(timeout) in (int, float) and timeout > 0):
        raise JobError(f"hosts_timeout={timeout!r}.", hint="Give seconds.")
    if options.on is None or not is_place(options.on):
        if timeout is not None:
            raise JobError("hosts_timeout is for a store that hosts share.", hint="Leave it out.")
        return
    given = {"workers": options.workers, "keep": options.keep, "fresh_process": options.fresh_process}
    if named := [name for name, value in given.items() if value]:
        raise JobError(
            f"{', '.join(named)} can't be given with on={options.on!r}.",
            hint="Each host says how many processes it has: mapreduce worker STORE --processes N.",
        )


# ---------------------------------------------------------------- from the beginning, or going on


def _run_new(
    job: Job, plan: Plan, place: Place, options: Options, begin: Begin, signals: Signals
) -> JobResult:
    replaced = check_output(place, overwrite=options.overwrite)
    check_apart(place, plan)
    with (
        _telling_what_is_kept(place, options),
        _memory_told(),
        run_directory(place, keep=options.keep, replaced=replaced.run_id),
    ):
        write_plan(place.store(), 1, plan, options.invocation)
        return _finish(job, plan, place, options, begin, signals, replaced.digest, session=1)


def _go_on(job: Job, plan: Plan, begun: Begun, options: Options, begin: Begin, signals: Signals) -> JobResult:
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
    previous: str,
    *,
    session: int,
    restored: Sequence[Acceptance] = (),
) -> JobResult:
    """Run what is left to do, commit, publish and tell. Only the manifest of it all is left then."""
    outcome, workers = _execute(job, plan, place, options, begin, signals, session=session, restored=restored)
    manifest, data = account(job, plan, outcome, begin.date, previous, workers, resumed=session - 1)
    _commit(place, data)
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
    budget = host.worker_budget(executor.workers) if job.memory is None else parse_size("memory", job.memory)
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
    return ProcessExecutor(dump_job(job), setup, min(options.workers or host.processors(), useful))


# ---------------------------------------------------------------- commit


def _commit(place: Place, data: bytes) -> None:
    """One exclusive create decides; publishing follows from what it holds, and can be repeated."""
    if not place.store().create(layout.COMMIT, data):
        raise StorageError(f"Run {place.run_id} was committed by somebody else.")


def _publish_and_tell(job: Job, place: Place, manifest: Manifest, data: bytes, options: Options) -> JobResult:
    if published_by(place) is None:
        manifests.publish(place.output_store(), data, overwrite=options.overwrite)
    return tell(job, place, manifest, options.observers)

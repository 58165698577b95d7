"""`run(job)`: plan, run, commit, tell. It wires the parts and owns the run's directory."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from mapreduce.datasets import as_source
from mapreduce.datasets.replay import Replay
from mapreduce.errors import JobError
from mapreduce.importpath import Deployed, ImportPath, deployed
from mapreduce.job import Input, Job, has_inputs
from mapreduce.jobset import JobSet
from mapreduce.onhost import run_on_host
from mapreduce.options import Begin, On, Options, is_place
from mapreduce.protocols import SetObserver
from mapreduce.result import JobResult
from mapreduce.resume import (
    Invocation,
)
from mapreduce.setresult import JobSetResult
from mapreduce.signals import Signals
from mapreduce.signatures import check_signatures
from mapreduce.sinks.delivery import named_sinks

logger = logging.getLogger("mapreduce.run")


class Settings(TypedDict, total=False):
    """What `run` takes besides a job or a set; its docstring says what each means."""

    on: On | str | None
    import_path: str | ImportPath | None
    workers: int | None
    limit: int | None
    overwrite: bool
    work: str | os.PathLike[str] | None
    replay: str | os.PathLike[str] | None
    resume: bool | str | None
    accept_new_code: bool
    keep: bool
    backups: bool
    fresh_process: bool
    review: bool
    observers: Sequence[Any]
    hosts_timeout: float | None
    invocation: Invocation | None


@overload
def run(job: Job, **settings: Unpack[Settings]) -> JobResult: ...


@overload
def run(job: JobSet, **settings: Unpack[Settings]) -> JobSetResult: ...


def run(
    job: Job | JobSet,
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
    review: bool = False,
    observers: Sequence[Any] = (),
    hosts_timeout: float | None = None,
    invocation: Invocation | None = None,
) -> JobResult | JobSetResult:
    """Run a job and commit its result, or go on with a run of it that did not end; or all jobs of a JobSet.

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
    review: tell no sink before somebody has approved the result (`mapreduce approve`).
    observers: told of progress: of a job from this thread; of a JobSet they are `SetObserver`s.
    invocation: how the command line was called, for `mapreduce resume`.

    Raises MapReduceError if the job fails; nothing of it is visible then. JobChanged if a run was begun
    that is not of this job as it is now. The result is committed when this returns; a sink that failed
    is told in `result.deliveries` and undoes nothing. Ctrl-C, SIGTERM and SIGHUP (where they have
    their default meaning) let running attempts end for up to three seconds, or end at once when they
    come twice, and raise KeyboardInterrupt or SystemExit. What was accepted is kept, which a note of
    the exception says.
    """
    if not isinstance(job, (Job, JobSet)):
        raise JobError(f"run() got a {type(job).__name__}.", hint="Give it a Job or a JobSet.")
    if isinstance(job, JobSet) and (import_path is not None or replay is not None or type(resume) is str):
        raise JobError("import_path, replay and the id of a run are for a job, not for a JobSet.")
    by_hosts = None
    if isinstance(job, Job):
        by_hosts = None if import_path is None else _by_hosts(import_path, job, on, replay)
        job = job if replay is None else _replaying(job, replay)
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
        review,
    )
    begin = Begin.now()
    _check_options(options)
    for each in job.jobs if isinstance(job, JobSet) else [job]:
        check_signatures(each)
        named_sinks(each.sinks)
    if isinstance(job, JobSet):
        again = resume if isinstance(resume, bool) else None
        return _run_set(job, options, begin, limit, again, work, accept_new_code, observers)
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
        return run_on_host(
            job,
            options,
            begin,
            signals,
            limit=limit,
            resume=resume,
            work=None if work is None else Path(work),
            accept_new_code=accept_new_code,
        )


def _run_set(
    jobset: JobSet,
    options: Options,
    begin: Begin,
    limit: int | None,
    resume: bool | None,
    work: str | os.PathLike[str] | None,
    accept_new_code: bool,
    observers: Sequence[SetObserver],
) -> JobSetResult:
    from mapreduce.setrun import run_set

    named_sinks(jobset.sinks)
    if options.on in (None, "processes"):
        from mapreduce.executors import warm_up

        warm_up()
    with Signals() as signals:
        return run_set(
            jobset,
            options,
            begin,
            signals,
            observers,
            resume=resume,
            limit=limit,
            work=None if work is None else Path(work),
            accept_new_code=accept_new_code,
        )


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

"""Which job of a module is meant, what is changed about it, and what to say of a module that can't be run."""

from __future__ import annotations

import copy
import importlib
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any

from mapreduce.datasets import Records
from mapreduce.datasets.base import FileDataset
from mapreduce.errors import JobError
from mapreduce.job import Job, has_inputs
from mapreduce.jobset import JobSet

_PACKAGE = str(Path(__file__).resolve().parent) + os.sep
_EXAMPLE = 'job = Job(name="page-hits", source="logs/*.log", map=hits, reduce=Sum(), output="page-hits")'


def choose(module: ModuleType, where: str, name: str) -> Job | JobSet:
    """The job or set called `name`; "": the only one, or the one called job; a set counts for its jobs.

    where: the module, for messages. Raises JobError.
    """
    jobs = _jobs(module)
    if name:
        job = getattr(module, name, None)
        if isinstance(job, (Job, JobSet)):
            return job
        raise JobError(f"{where} has no job called {name!r}.", hint=_which(jobs, where))
    if len(jobs) == 1 or "job" in jobs:
        return jobs.get("job") or next(iter(jobs.values()))
    if jobs:
        raise JobError(f"{where} has {len(jobs)} jobs.", hint=_which(jobs, where))
    raise JobError(f"{where} has no job.", hint=f"Write, at its top level: {_EXAMPLE}")


def only_job(found: Job | JobSet, what: str) -> Job:
    """What was found, for `what` takes no set. Raises JobError."""
    if isinstance(found, Job):
        return found
    names = ", ".join(job.name for job in found.jobs[:5])
    raise JobError(
        f"{what} takes a job, and {found.name} is a JobSet.",
        hint=f"Run it with `mapreduce run`; its jobs are {names}{', …' if len(found.jobs) > 5 else ''}.",
    )


def _jobs(module: ModuleType) -> dict[str, Job | JobSet]:
    """The module's jobs and sets by the first name of each, without jobs that are in a set."""
    found: dict[str, Job | JobSet] = {}
    for name, value in vars(module).items():
        if isinstance(value, (Job, JobSet)) and not any(value is job for job in found.values()):
            found[name] = value
    sets = [value for value in found.values() if isinstance(value, JobSet)]
    held = {id(job) for jobset in sets for job in jobset.jobs}
    return {name: value for name, value in found.items() if id(value) not in held}


def _which(jobs: Mapping[str, Job | JobSet], where: str) -> str:
    if not jobs:
        return f"It has none. Write, at its top level: {_EXAMPLE}"
    return "Say which: " + ", ".join(f"{where}:{name}" for name in jobs) + "."


# ---------------------------------------------------------------- what a command changes about it


def changed(
    job: Job | JobSet, *, source: Sequence[str] = (), output: str | None = None, shards: int | None = None
) -> Job | JobSet:
    """The job with what was given, or the set with another place for its manifest. Raises JobError."""
    if isinstance(job, JobSet):
        if source or shards is not None:
            raise JobError(
                f"--source and --shards are for a job, and {job.name} is a JobSet.",
                hint='Write params["NAME"] in the job file, and give --set NAME=….',
            )
        return job if output is None else replace(job, output=output)
    changes: dict[str, Any] = {}
    if source:
        changes["source"] = _moved("--source", job.source, list(source))
    if output is not None:
        changes["output"] = _moved("--output", job.output, [output])
    if shards is not None:
        changes["shards"] = shards
    return replace(job, **changes)


def _moved(option: str, dataset: Any, paths: list[str]) -> Any:
    """A dataset of the same format at other paths; plain paths where there was no format."""
    if isinstance(dataset, FileDataset):
        moved = copy.copy(dataset)
        moved.paths = paths
        return moved
    several = has_inputs(dataset)
    if several or not isinstance(dataset, (str, os.PathLike, list, tuple, Records, NoneType)):
        name = option.removeprefix("--").upper()
        what = "several Inputs, each with its map" if several else f"a {type(dataset).__name__}"
        raise JobError(
            f"{option} can't replace {what}.",
            hint=f'Write params["{name}"] in the job file, and give --set {name}=….',
        )
    return paths[0] if len(paths) == 1 else paths


# ---------------------------------------------------------------- a module that fails


def broken(what: str, error: BaseException, missing: str) -> JobError:
    """What to tell of a module that failed while it was run. missing: what to do if it lacks another one."""
    if isinstance(error, SyntaxError):
        reason = f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    else:
        reason = f"{type(error).__qualname__}: {error}" if str(error) else type(error).__qualname__
    details = own_frames(error)
    if isinstance(error, SyntaxError):
        lines = traceback.format_exception_only(error)
        details += "".join(lines[:-1])  # the place; the message stands above
    return JobError(
        f"{what} failed while it was loaded: {reason.rstrip('.')}.",
        hint=missing if isinstance(error, ModuleNotFoundError) else "Mend the file.",
        details=details.rstrip(),
        trace="".join(traceback.format_exception(error)),
    )


def own_frames(error: BaseException) -> str:
    """The traceback without the engine's frames and the import system's."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_PACKAGE, "<frozen ")) and frame.filename != importlib.__file__
    ]
    return "".join(traceback.format_list(own)).rstrip("\n") + "\n" if own else ""

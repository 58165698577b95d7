"""Say which jobs are run and reported together: the `JobSet`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from mapreduce.datasets import as_output
from mapreduce.errors import JobError
from mapreduce.job import NAME, Input, Job, has_inputs
from mapreduce.protocols import Sink
from mapreduce.store import inputs


@dataclass(frozen=True, slots=True)
class JobSet:
    """Jobs that are run together and reported once, when the last of them has ended.

    `JobSet(name, jobs, sinks=(), on_failure="continue", output=None)`. A job that reads another's output runs
    after it; others run side by side. Validated here. Raises JobError.
    """

    name: str
    """Letters, digits, `.`, `_`, `-`; at most 100."""
    jobs: Sequence[Job]
    """Each with a name and an output of its own."""
    sinks: Sequence[Sink] = ()
    """Who is told, once, when the last job has ended. A job may have sinks of its own."""
    on_failure: Literal["continue", "stop"] | float = "continue"
    """What a failed job does to the others. "continue": all run but those that read its output. "stop": no
    other is begun. A fraction, above 0 and below 1: up to this share of the jobs may fail, and what reads
    their output goes on without them; when more fail, no other is begun."""
    output: str | os.PathLike[str] | None = None
    """Where the set's manifest lies: a folder, or the URL of one; None: in `.mapreduce`, by its name."""

    def __post_init__(self) -> None:
        for name in ("jobs", "sinks"):
            given = getattr(self, name)
            object.__setattr__(self, name, tuple(given) if isinstance(given, (list, tuple)) else given)
        _validate(self)

    @classmethod
    def from_files(
        cls,
        name: str,
        pattern: str | os.PathLike[str],
        make_job: Callable[[str], Job],
        *,
        sinks: Sequence[Sink] = (),
        on_failure: Literal["continue", "stop"] | float = "continue",
        output: str | os.PathLike[str] | None = None,
    ) -> JobSet:
        """A job for each file that a path, glob, directory or URL means, in bytewise order.

        make_job: (path) → a Job, whose name and output no other file's job has. Raises InputMissing if there
        is no file, and JobError.
        """
        paths = inputs.expand([os.fspath(pattern)])
        if not paths:
            from mapreduce.errors import InputMissing

            raise InputMissing(
                f"JobSet {name}: no file matches {os.fspath(pattern)!r}.",
                hint=f"It was looked for in {os.getcwd()}. Check the pattern.",
            )
        return cls(name, [make_job(path) for path in paths], sinks, on_failure, output)


def _validate(jobset: Any) -> None:
    def demand(holds: bool, message: str, hint: str = "") -> None:
        if not holds:
            raise JobError(message, hint=hint)

    demand(
        isinstance(jobset.name, str) and bool(NAME.match(jobset.name)),
        f"JobSet name {jobset.name!r} is not valid.",
        "Use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or a digit.",
    )
    what = f"JobSet {jobset.name}"
    demand(
        isinstance(jobset.jobs, tuple) and all(isinstance(job, Job) for job in jobset.jobs),
        f"{what}: jobs is no list of Job.",
        "Write JobSet(name, [job, …]).",
    )
    demand(len(jobset.jobs) > 0, f"{what} has no jobs.", "Give it one at least.")
    demand(isinstance(jobset.sinks, tuple), f"{what}: sinks is no list.", "Write sinks=[Log()].")
    for sink in jobset.sinks:
        demand(isinstance(sink, Sink) or callable(sink), f"{what}: {sink!r} is no sink.", "Give Log(), …")
    given = jobset.on_failure
    demand(
        given in ("continue", "stop") or (type(given) is float and 0 < given < 1),
        f"{what}: on_failure={given!r}.",
        'Give "continue", "stop", or the share of jobs that may fail, above 0 and below 1.',
    )
    demand(
        jobset.output is None or isinstance(jobset.output, (str, os.PathLike)),
        f"{what}: output is a {type(jobset.output).__name__}.",
        "Give a folder or a URL for its manifest, or None.",
    )
    _validate_apart(what, jobset.jobs, demand)
    own = None if jobset.output is None else _absolute(os.fspath(jobset.output))
    same = next((job.name for job in jobset.jobs if own is not None and output_of(job) == own), "")
    demand(not same, f"{what}: its manifest and the job {same} both go to {own}.", "Give it another output.")
    order(jobset)


def _validate_apart(what: str, jobs: Sequence[Job], demand: Callable[..., None]) -> None:
    names: set[str] = set()
    places: dict[str, str] = {}
    for job in jobs:
        demand(
            job.name not in names, f"{what} has two jobs called {job.name}.", "Give one of them another name."
        )
        names.add(job.name)
        place = output_of(job)
        if place is not None:
            demand(
                place not in places,
                f"{what}: the jobs {places.get(place)} and {job.name} both write to {place}.",
                "Give each an output of its own.",
            )
            places[place] = job.name


# ---------------------------------------------------------------- who reads whose output


def output_of(job: Job) -> str | None:
    """Where a job writes, as `sources_of` says where it reads; None where nobody else can read it."""
    path = as_output(job.output).path
    return None if path is None else _absolute(os.fspath(path))


def sources_of(job: Job) -> list[str]:
    """Paths, patterns and URLs that a job reads: absolute, without the names of stores' `file://`."""
    return [_absolute(path) for given in job.inputs for path in _paths(given.source)]


def _paths(source: Any) -> Iterator[str]:
    if isinstance(source, (str, os.PathLike)):
        yield os.fspath(source)
    elif isinstance(source, (list, tuple)):
        for item in source:
            yield from _paths(item)
    else:
        yield from _paths(list(getattr(source, "paths", ())))


def _absolute(path: str) -> str:
    local = inputs.local_path(path)
    return local.rstrip("/") if inputs.is_url(local) else os.path.realpath(local)


def reads(source: str, output: str) -> bool:
    """Whether reading a path or pattern may read what lies in `output`: there, below it or above it."""
    wanted, there = source.split("/"), output.split("/")
    for pattern, part in zip(wanted, there, strict=False):
        if pattern == "**":
            return True
        if pattern != part and not fnmatchcase(part, pattern):
            return False
    return True


def order(jobset: JobSet) -> dict[str, tuple[str, ...]]:
    """Of each job, in an order in which they can run, the jobs whose output it reads.

    Jobs that could run at once stand in the set's order. Raises JobError for a cycle.
    """
    outputs = {job.name: place for job in jobset.jobs if (place := output_of(job)) is not None}
    needs = {
        job.name: tuple(
            name
            for name, place in outputs.items()
            if name != job.name and any(reads(source, place) for source in sources)
        )
        for job in jobset.jobs
        for sources in [sources_of(job)]
    }
    ordered: dict[str, tuple[str, ...]] = {}
    while len(ordered) < len(needs):
        free = [name for name in needs if name not in ordered and ordered.keys() >= {*needs[name]}]
        if not free:
            raise JobError(
                f"JobSet {jobset.name}: jobs wait for one another: {_cycle(needs, ordered)}.",
                hint="Each reads the output of the one before it: let one of them write elsewhere.",
            )
        ordered |= {name: needs[name] for name in free}
    return ordered


def _cycle(needs: dict[str, tuple[str, ...]], ordered: dict[str, tuple[str, ...]]) -> str:
    """One of the cycles that are left: a, b, a: b reads what a writes, and a what b writes."""
    path = [next(name for name in needs if name not in ordered)]
    while path[-1] not in path[:-1]:
        path.append(next(name for name in needs[path[-1]] if name not in ordered))
    circle = path[path.index(path[-1]) :]
    return " → ".join(reversed(circle))


def without(job: Job, outputs: Sequence[str]) -> Job | None:
    """The job without the inputs that lie in these outputs; None if nothing is left that it could read.

    Patterns stay: what is not there they don't match.
    """
    if has_inputs(job.source):
        left = [
            Input(source, given.map)
            for given in job.inputs
            if (source := _without(given.source, outputs)) is not None
        ]
        return replace(job, source=left) if left else None
    source = _without(job.source, outputs)
    return None if source is None else replace(job, source=source)


def _without(source: Any, outputs: Sequence[str]) -> Any:
    if isinstance(source, (str, os.PathLike)):
        path = _absolute(os.fspath(source))
        return None if any(path == place or path.startswith(f"{place}/") for place in outputs) else source
    if isinstance(source, (list, tuple)):
        left = [item for item in (_without(item, outputs) for item in source) if item is not None]
        return left or None
    paths = getattr(source, "paths", None)
    if not paths:
        return source
    left = _without(list(paths), outputs)
    if left is None:
        return None
    import copy

    fewer = copy.copy(source)
    fewer.paths = left
    return fewer

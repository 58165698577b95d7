"""Say what to do: the `Job`, and the marks on its functions."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from mapreduce.aggregates import Aggregate, Together
from mapreduce.errors import JobError
from mapreduce.protocols import Output, Sink, Source

F = TypeVar("F", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""A job's name: it becomes a part of file names."""


def blocks(function: F) -> F:
    """Mark a map that takes a list of records at once and gives an iterable of pairs.

    The pairs must reduce to the same result wherever the input is cut into lists. A function
    that returns `zip(keys, itertools.repeat(value))` is taken as columns, without a tuple a pair.
    """
    function.__mapreduce_blocks__ = True  # type: ignore[attr-defined]
    return function


def takes_blocks(function: object) -> bool:
    """Whether `@blocks` marks the function."""
    return getattr(function, "__mapreduce_blocks__", False) is True


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a parameter is named `ctx`."""
    try:
        return "ctx" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def function_name(function: object) -> str:
    """How messages call a function: its name and, where known, its file and line."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    if code is None:
        return f"`{name}`"
    return f"`{name}` ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to read, which functions to run, and where the result goes.

    `Job(name, source, map, reduce=None, output=None, *, …)`. Validated here: a job that can be
    made can be planned. Raises JobError.
    """

    name: str
    """Letters, digits, `.`, `_`, `-`; at most 100."""
    source: Source | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    """A dataset; or a path, glob, directory, URL, or a list of these, read as `Text`."""
    map: Callable[..., Any]
    """(record) → an iterable of 2-tuples, or None for nothing; under `@blocks` (list of records)."""
    reduce: Callable[..., Any] | Aggregate | Mapping[str, Aggregate] | None = None
    """(key, values) → an iterable of records, or None; an aggregate, or a dict of them: its records are
    {"key": …, name: result, …}; or None: no shuffle, and the map gives records."""
    output: Output | str | os.PathLike[str] | None = None
    """A dataset, or a directory for `JsonLines`; None keeps the result with the run."""
    combine: Callable[..., Any] | None = None
    """(key, values) → one value; associative. It gets neighbours in input order, any number of
    times, none included."""
    shards: int | Literal["auto"] = "auto"
    """Number of reducers and of part files; "auto": one for each 128 MB of stored input."""
    allow_empty: bool = False
    """A pattern that matches no file is no error."""
    side: Mapping[str, Any] = field(default_factory=dict)
    """Small data that every function reads as `ctx.side[name]`; sent once to each worker."""
    max_attempts: int = 4
    """Attempts a task."""
    sinks: Sequence[Sink] = ()
    """Who is told when the run has committed."""

    def __init__(
        self,
        name: str,
        source: Source | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        map: Callable[..., Any],
        reduce: Callable[..., Any] | Aggregate | Mapping[str, Aggregate] | None = None,
        output: Output | str | os.PathLike[str] | None = None,
        *,
        combine: Callable[..., Any] | None = None,
        shards: int | Literal["auto"] = "auto",
        allow_empty: bool = False,
        side: Mapping[str, Any] | None = None,
        max_attempts: int = 4,
        sinks: Sequence[Sink] = (),
    ) -> None:
        given = locals()
        given |= {"side": _as_dict(side), "sinks": _as_tuple(sinks)}
        for item in fields(self):
            object.__setattr__(self, item.name, given[item.name])
        _validate(self)

    def __setstate__(self, state: list[Any]) -> None:
        for item, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, item.name, value)

    def __getstate__(self) -> list[Any]:
        return [getattr(self, item.name) for item in fields(self)]


def _as_dict(given: Any) -> Any:
    return dict(given or {}) if given is None or isinstance(given, Mapping) else given


def _as_tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, (list, tuple)) else given


def _demand(holds: bool, message: str, hint: str = "") -> None:
    if not holds:
        raise JobError(message, hint=hint)


def _validate(job: Any) -> None:
    _demand(
        isinstance(job.name, str) and bool(NAME.match(job.name)),
        f"Job name {job.name!r} is not valid.",
        "Use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or a digit.",
    )
    _validate_source(job)
    _validate_functions(job)
    _demand(
        job.output is None or isinstance(job.output, (str, os.PathLike, Output)),
        f"Job {job.name}: output is a {type(job.output).__name__}.",
        "Give a directory, JsonLines(…), Text(…), or None.",
    )
    if isinstance(job.output, Output):
        _demand(
            bool(job.output.path),
            f"Job {job.name}: the output dataset has no path.",
            "Give it one directory.",
        )
    _demand(
        job.shards == "auto" or (type(job.shards) is int and 1 <= job.shards <= 100_000),
        f"Job {job.name}: shards={job.shards!r}.",
        'Give a number from 1 to 100,000, or "auto".',
    )
    _demand(
        type(job.max_attempts) is int and job.max_attempts >= 1,
        f"Job {job.name}: max_attempts={job.max_attempts!r}.",
        "Give a number from 1.",
    )
    _demand(
        isinstance(job.side, dict) and all(isinstance(key, str) for key in job.side),
        f"Job {job.name}: side is no dict with names.",
        'Write side={"name": value}.',
    )
    _validate_sinks(job)


def _validate_source(job: Any) -> None:
    source = job.source
    if isinstance(source, Source) and not isinstance(source, str):
        return
    paths = [source] if isinstance(source, (str, os.PathLike)) else source
    valid = isinstance(paths, (list, tuple)) and all(isinstance(p, (str, os.PathLike)) for p in paths)
    _demand(
        valid and len(paths) > 0,
        f"Job {job.name}: source is {source!r}.",
        "Give a dataset, a path, a glob, a directory, a URL, or a list of these.",
    )


def _validate_functions(job: Any) -> None:
    _demand(
        callable(job.map) and not isinstance(job.map, type),
        f"Job {job.name}: map is a {type(job.map).__name__}, not a function.",
        "Give a function (record) -> pairs.",
    )
    _validate_reduce(job)
    if job.combine is not None:
        _demand(callable(job.combine), f"Job {job.name}: combine is not a function.")
        _demand(
            job.reduce is not None and not isinstance(job.reduce, (Aggregate, Mapping)),
            f"Job {job.name}: combine goes with a reduce function.",
            "Aggregates bring their own; without a reduce there is nothing to combine.",
        )
    for name in ("reduce", "combine"):
        _demand(not takes_blocks(getattr(job, name)), f"Job {job.name}: @blocks marks maps, not {name}.")


def _validate_reduce(job: Any) -> None:
    if isinstance(job.reduce, Mapping):
        _validate_aggregates(job)
        return
    _no_class(job, "reduce", job.reduce)
    _demand(
        job.reduce is None or isinstance(job.reduce, Aggregate) or callable(job.reduce),
        f"Job {job.name}: reduce is a {type(job.reduce).__name__}.",
        "Give a function (key, values) -> records, an aggregate such as Sum(), a dict of them, or None.",
    )


def _validate_aggregates(job: Any) -> None:
    example = 'Write reduce={"hits": Count(), "bytes": Sum(of=1)}.'
    _demand(len(job.reduce) > 0, f"Job {job.name}: reduce is an empty dict.", example)
    for name, aggregate in job.reduce.items():
        _demand(isinstance(name, str), f"Job {job.name}: reduce has the name {name!r}.", example)
        _demand(
            name != "key",
            f'Job {job.name}: reduce has the name "key".',
            "Choose another: it is the field of the group's key.",
        )
        _no_class(job, f"reduce[{name!r}]", aggregate)
        _demand(
            isinstance(aggregate, Aggregate) and not isinstance(aggregate, Together),
            f"Job {job.name}: reduce[{name!r}] is a {type(aggregate).__name__}, not an aggregate.",
            example,
        )


def _no_class(job: Any, role: str, given: Any) -> None:
    if isinstance(given, type) and issubclass(given, Aggregate):
        raise JobError(
            f"Job {job.name}: {role} is the class {given.__name__}.", hint=f"Write {given.__name__}()."
        )


def _validate_sinks(job: Any) -> None:
    _demand(isinstance(job.sinks, tuple), f"Job {job.name}: sinks is no list.", "Write sinks=[Log()].")
    for sink in job.sinks:
        _demand(
            isinstance(sink, Sink) or callable(sink),
            f"Job {job.name}: {sink!r} is no sink.",
            "Give Log(), ReportFile(path), or a function (result).",
        )

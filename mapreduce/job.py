"""Say what to do: the `Job`, and the marks on its functions."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from mapreduce.aggregates import Aggregate, Together, as_aggregate
from mapreduce.errors import JobError
from mapreduce.functions import Identity, takes_blocks, takes_frames
from mapreduce.ordering import TotalOrder
from mapreduce.protocols import FrameSource, Output, Sink, Source
from mapreduce.quarantine import Quarantine
from mapreduce.units import parse_size, show_size

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""A job's name: it becomes a part of file names."""

LEAST_MEMORY = 256 * 2**20
"""Bytes below which no budget of a worker makes sense."""


@dataclass(frozen=True, slots=True)
class Input:
    """One of several inputs of a job, with a map function of its own.

    A job's values keep the inputs' order: those of the first input come first.
    """

    source: Source | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    map: Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to read, which functions to run, and where the result goes.

    `Job(name, source, map, reduce=None, output=None, *, …)`. Validated here: a job that can be
    made can be planned. Raises JobError.
    """

    name: str
    """Letters, digits, `.`, `_`, `-`; at most 100."""
    source: Source | str | os.PathLike[str] | Sequence[Any]
    """A dataset; or a path, glob, directory, URL, or a list of these, read as `Text`; or a list of
    `Input`, each with a map of its own."""
    map: Callable[..., Any] | None = None
    """(record) → an iterable of 2-tuples, or None for nothing; under `@blocks` (list of records), under
    `@frames` (DataFrame) → DataFrame; `Identity()`; None with a list of `Input`."""
    reduce: Callable[..., Any] | Aggregate | Mapping[str, Aggregate] | None = None
    """(key, values) → an iterable of records, or None; under `@frames` (DataFrame) → DataFrame; an
    aggregate, or a dict of them: its records are {"key": …, name: result, …}; or None: no shuffle, and
    the map gives records."""
    output: Output | str | os.PathLike[str] | None = None
    """A dataset, or a directory for `JsonLines`; None keeps the result with the run."""
    combine: Callable[..., Any] | None = None
    """(key, values) → one value; associative. It gets neighbours in input order, any number of
    times, none included."""
    shards: int | Literal["auto"] = "auto"
    """Number of reducers and of part files; "auto": one for each 128 MB of stored input."""
    allow_empty: bool = False
    """A pattern that matches no file is no error."""
    key_names: Sequence[str] | None = None
    """Names of a tuple key's elements, which become fields of the output in the place of `key`."""
    partition: Callable[[Any], int] | TotalOrder | None = None
    """(key) → the number of its part, from 0; `TotalOrder()`: parts follow one another in key order;
    None: by the key's hash."""
    order_values: Callable[[Any], Any] | None = None
    """(value) → what a key's values are ordered by, compared as keys are; ties stay in input order."""
    side: Mapping[str, Any] = field(default_factory=dict)
    """Small data that every function reads as `ctx.side[name]`; sent once to each worker."""
    on_error: Literal["fail"] | Quarantine = "fail"
    """What a bad record does: it fails the run, or is set aside, as far as the `Quarantine` allows."""
    max_attempts: int = 4
    """Attempts a task."""
    timeout: float | None = None
    """Seconds that an attempt may run in a worker process; None: as long as it takes."""
    memory: int | str | None = None
    """Bytes that a worker process may hold, interpreter and libraries included, such as "512MB"; None: its
    share of four fifths of the machine, or of its control group. An attempt that takes more is stopped and
    tried once more, alone."""
    sinks: Sequence[Sink] = ()
    """Who is told when the run has committed."""

    def __init__(
        self,
        name: str,
        source: Source | str | os.PathLike[str] | Sequence[Any],
        map: Callable[..., Any] | None = None,
        reduce: Callable[..., Any] | Aggregate | Mapping[str, Aggregate] | None = None,
        output: Output | str | os.PathLike[str] | None = None,
        *,
        combine: Callable[..., Any] | None = None,
        shards: int | Literal["auto"] = "auto",
        allow_empty: bool = False,
        key_names: Sequence[str] | None = None,
        partition: Callable[[Any], int] | TotalOrder | None = None,
        order_values: Callable[[Any], Any] | None = None,
        side: Mapping[str, Any] | None = None,
        on_error: Literal["fail"] | Quarantine = "fail",
        max_attempts: int = 4,
        timeout: float | None = None,
        memory: int | str | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        given = locals()
        given |= {"side": _as_dict(side), "sinks": _as_tuple(sinks), "key_names": _as_tuple(key_names)}
        for item in fields(self):
            object.__setattr__(self, item.name, given[item.name])
        _validate(self)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What is read, each with its map: one input, or the list that `source` is."""
        if has_inputs(self.source):
            return tuple(self.source)  # type: ignore[arg-type]
        return (Input(self.source, self.map),)  # type: ignore[arg-type]

    @property
    def quarantine(self) -> Quarantine | None:
        """What `on_error` allows; None: a bad record fails the run."""
        return self.on_error if isinstance(self.on_error, Quarantine) else None

    @property
    def combines(self) -> bool:
        """The map side holds an aggregate's states instead of values."""
        aggregate = as_aggregate(self.reduce)
        return aggregate is not None and aggregate.combines and self.order_values is None

    def __setstate__(self, state: list[Any]) -> None:
        for item, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, item.name, value)

    def __getstate__(self) -> list[Any]:
        return [getattr(self, item.name) for item in fields(self)]


def has_inputs(source: Any) -> bool:
    """Whether a source is a list of `Input`."""
    return isinstance(source, (list, tuple)) and any(isinstance(item, Input) for item in source)


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
    _validate_inputs(job)
    _validate_reduce(job)
    _validate_order(job)
    _validate_key_names(job)
    _demand(
        job.output is None or isinstance(job.output, (str, os.PathLike, Output)),
        f"Job {job.name}: output is a {type(job.output).__name__}.",
        "Give a directory, a dataset such as JsonLines(…), Csv(…), Parquet(…), Text(…), or None.",
    )
    if isinstance(job.output, Output):
        _demand(
            bool(job.output.path),
            f"Job {job.name}: the output dataset has no path.",
            "Give it one directory.",
        )
    _demand(
        not getattr(job.output, "profile", ""),
        f"Job {job.name}: storage_options of an output mean nothing: it is a folder, or a bucket that is "
        "opened as the environment says.",
        "Leave them out.",
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
        job.timeout is None or (type(job.timeout) in (int, float) and 0 < job.timeout < math.inf),
        f"Job {job.name}: timeout={job.timeout!r}.",
        "Give seconds, more than 0; or None.",
    )
    if job.memory is not None:
        _demand(
            parse_size(f"Job {job.name}: memory", job.memory) >= LEAST_MEMORY,
            f"Job {job.name}: memory={job.memory!r} is too little for a worker.",
            f"An interpreter with its libraries takes half of {show_size(LEAST_MEMORY)}: give that or more.",
        )
    _demand(
        job.on_error == "fail" or isinstance(job.on_error, Quarantine),
        f"Job {job.name}: on_error={job.on_error!r}.",
        'Give "fail", or Quarantine(max_records=…, max_fraction=…).',
    )
    _demand(
        isinstance(job.side, dict) and all(isinstance(key, str) for key in job.side),
        f"Job {job.name}: side is no dict with names.",
        'Write side={"name": value}.',
    )
    _validate_sinks(job)


def _validate_inputs(job: Any) -> None:
    if not has_inputs(job.source):
        _demand(
            job.map is not None,
            f"Job {job.name} has no map.",
            "Give a function (record) -> pairs, or Identity() for records that are pairs.",
        )
        _validate_input(job.name, Input(job.source, job.map))
        return
    _demand(
        all(isinstance(item, Input) for item in job.source),
        f"Job {job.name}: source mixes Input with other things.",
        "Wrap each of them: Input(source, map).",
    )
    _demand(job.map is None, f"Job {job.name}: each Input has a map of its own.", "Leave the job's map out.")
    for item in job.source:
        _validate_input(job.name, item)


def _validate_input(name: str, given: Input) -> None:
    source: Any = given.source
    function: Any = given.map
    if not isinstance(source, Source) or isinstance(source, str):
        paths = [source] if isinstance(source, (str, os.PathLike)) else source
        _demand(
            isinstance(paths, (list, tuple))
            and len(paths) > 0
            and all(isinstance(path, (str, os.PathLike)) for path in paths),
            f"Job {name}: source is {source!r}.",
            "Give a dataset, a path, a glob, a directory, a URL, or a list of these.",
        )
    _demand(
        function is not Identity,
        f"Job {name}: map is the class Identity.",
        "Write Identity().",
    )
    _demand(
        callable(function) and not isinstance(function, type),
        f"Job {name}: map is a {type(function).__name__}, not a function.",
        "Give a function (record) -> pairs.",
    )
    _demand(
        not takes_frames(function) or not isinstance(source, Source) or isinstance(source, FrameSource),
        f"Job {name}: {type(source).__name__} gives no frames.",
        "Mark the map with @blocks, or let it take one record.",
    )


def _validate_reduce(job: Any) -> None:
    if isinstance(job.reduce, Mapping):
        _validate_aggregates(job)
    else:
        _no_class(job, "reduce", job.reduce)
        _demand(
            job.reduce is None or isinstance(job.reduce, Aggregate) or callable(job.reduce),
            f"Job {job.name}: reduce is a {type(job.reduce).__name__}.",
            "Give a function (key, values) -> records, an aggregate such as Sum(), a dict of them, or None.",
        )
    if job.combine is not None:
        _demand(callable(job.combine), f"Job {job.name}: combine is not a function.")
        _demand(
            job.reduce is not None and not isinstance(job.reduce, (Aggregate, Mapping)),
            f"Job {job.name}: combine goes with a reduce function.",
            "Aggregates bring their own; without a reduce there is nothing to combine.",
        )
        _demand(
            not takes_frames(job.combine), f"Job {job.name}: @frames marks maps and reduces, not combine."
        )
    for name in ("reduce", "combine"):
        _demand(not takes_blocks(getattr(job, name)), f"Job {job.name}: @blocks marks maps, not {name}.")


def _validate_order(job: Any) -> None:
    for name in ("partition", "order_values"):
        given = getattr(job, name)
        if given is None:
            continue
        _demand(
            job.reduce is not None,
            f"Job {job.name}: {name} needs a reduce.",
            "Without a reduce nothing is shuffled: parts follow the input.",
        )
        _demand(
            given is not TotalOrder,
            f"Job {job.name}: partition is the class TotalOrder.",
            "Write TotalOrder().",
        )
        _demand(
            callable(given) or (name == "partition" and isinstance(given, TotalOrder)),
            f"Job {job.name}: {name} is a {type(given).__name__}.",
            "Give a function (key) -> int, or TotalOrder()."
            if name == "partition"
            else "Give a function (value) -> sort key.",
        )
    _demand(
        not callable(job.partition) or job.shards != "auto",
        f'Job {job.name}: a partition function needs to know the number of parts, and shards is "auto".',
        "Say shards=N, and return numbers from 0 to N - 1.",
    )
    _demand(
        job.order_values is None or job.combine is None,
        f"Job {job.name}: order_values and combine exclude each other.",
        "A combined value has no place in the order.",
    )


def _validate_key_names(job: Any) -> None:
    names = job.key_names
    if names is None:
        return
    _demand(
        isinstance(names, tuple)
        and len(names) > 0
        and all(isinstance(name, str) and name != "" for name in names),
        f"Job {job.name}: key_names is {names!r}.",
        'Give the names of the key\'s elements: ("hour", "status").',
    )
    _demand(
        len(set(names)) == len(names) and "value" not in names,
        f"Job {job.name}: key_names {names!r} are not all different, or one is 'value'.",
    )
    taken = [name for name in names if isinstance(job.reduce, Mapping) and name in job.reduce]
    _demand(
        not taken,
        f"Job {job.name}: key_names and reduce both have the name {', '.join(map(repr, taken))}.",
        "Choose another for one of them.",
    )
    _demand(
        getattr(job.output, "suffix", "").split(".")[1:2] != ["txt"],
        f"Job {job.name}: Text has no fields for key_names.",
        "Write JsonLines, Csv or Parquet.",
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

"""The reference: what a job means, in Python so plain that it is right by reading.

`run_sequential(job)` reads every file whole, calls the map, groups with a dict, sorts, and calls the
reduce. The engine's part files are byte-identical to its parts. It shares with the engine the way
in (which files a path means) and the way out (the output's writer), and nothing between: files are read
(`wholefiles`), keys compared, ordered and hashed (`keyrules`), and aggregates computed (`meanings`) by
code of its own that follows the written rules. It holds everything in memory, and it is slow.

A job that is not valid fails here with any exception; good messages are the engine's business.
"""

from __future__ import annotations

import copy
import inspect
import io
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import Any, cast

from mapreduce.aggregates import Aggregate
from mapreduce.context import Context
from mapreduce.datasets import Csv, JsonLines, Kept, Parquet, Records, Text, as_output, as_source
from mapreduce.datasets.compression import compressing
from mapreduce.functions import Identity, takes_blocks, takes_context, takes_frames
from mapreduce.job import Input, Job
from mapreduce.model import Location, Split
from mapreduce.ordering import TotalOrder
from mapreduce.protocols import Block, Source
from mapreduce.testing.keyrules import identity, place, rank, returned
from mapreduce.testing.meanings import aggregated
from mapreduce.testing.wholefiles import Whole, read_whole

AUTO_SHARD = 128 * 2**20
"""Stored bytes of input for each shard of `shards="auto"`."""
SAMPLES = 1024
"""Keys for each shard from which `TotalOrder` takes the borders."""


@dataclass
class SequentialResult:
    """What a job comes to."""

    parts: list[bytes] = field(default_factory=list)
    """One for each shard; for a job without reduce a single one, to compare with all parts end to end."""
    records: list[Any] = field(default_factory=list)
    """Of all parts, as they were given to the output's writer."""
    counters: dict[str, int] = field(default_factory=dict)
    records_in: int = 0
    pairs: int = 0
    """That the map gave; for a job without reduce, its records."""


def run_sequential(job: Job, *, limit: int | None = None) -> SequentialResult:
    """Run a job in this process, one step after another. `limit`: read the first records only."""
    result = SequentialResult()
    context = Context(job.side)
    emitted = [item for given in job.inputs for item in _map_all(job, given, limit, context, result)]
    if job.reduce is None:
        _write_part(job, emitted, result)
    else:
        for groups in _grouped(job, emitted):
            _write_part(job, _reduce_all(job, groups, context), result)
    result.counters = dict(context.counters)
    context.close()
    return result


# ---------------------------------------------------------------- read


def _read(source: Source, lenient: bool) -> Iterator[Block]:
    if isinstance(source, Records):
        places = [Location("records:", index, 1, "item") for index in range(len(source.items))]
        yield Whole(source.items, places, Location("records:", 0, len(places), "item"))
    elif isinstance(source, (Text, JsonLines, Csv, Parquet)):
        for file in source.files():
            yield read_whole(source, file, lenient=lenient)
    else:  # a format of the user's own decides what its records are
        for index, cut in enumerate(source.splits(source.files())):
            yield from source.read(Split.of(index, cut))


# ---------------------------------------------------------------- map


def _map_all(
    job: Job, given: Input, limit: int | None, context: Context, result: SequentialResult
) -> list[Any]:
    """Everything the map of one input gives, in input order: pairs, or without a reduce records."""
    emitted: list[Any] = []
    source, function = as_source(given.source), given.map
    lenient = job.quarantine is not None
    if isinstance(function, Identity):
        function = _passed_through if job.reduce is not None else lambda record: [record]
    call = _with_context(function, context)
    left = limit
    with _set_up(function, context):
        for block in _read(source, lenient):
            records = block.records[:left]
            left = None if left is None else left - len(records)
            result.records_in += len(records)
            if lenient:
                block = _without_bad(job, source, function, call, block, records, context)
                records = block.records
            if records and takes_frames(function):
                context.at(block)
                emitted.extend(_rows(call(_frame(source, block, records))))
            elif records:
                emitted.extend(_taken(_mapped(function, call, block, records, context)))
    context.at(None)
    result.pairs += len(emitted)
    return emitted


def _without_bad(
    job: Job,
    source: Source,
    function: Callable[..., Any],
    call: Callable[..., Any],
    block: Block,
    records: list[Any],
    context: Context,
) -> Whole:
    """The records for which the map, called for each of them alone, gives what it may."""
    good = []
    counted = dict(context.counters)
    for index in range(len(records)):
        single = Whole([records[index]], [block.locate(index)], block.locate(index))
        try:
            if takes_frames(function):
                context.at(single)
                given = _rows(call(_frame(source, single, single.records)))
            else:
                given = list(_taken(_mapped(function, call, single, single.records, context)))
            for item in given:
                _check(job, item)
            good.append(index)
        except Exception:  # noqa: BLE001 - whatever it is, the record is bad
            pass
    context.counters.clear()
    context.counters.update(counted)
    return Whole([records[index] for index in good], [block.locate(index) for index in good], block.location)


def _check(job: Job, given: Any) -> None:
    """Raise an exception for what a map must not give."""
    if job.reduce is None:
        as_output(job.output).writer(io.BytesIO()).write([given])
        return
    if type(given) is not tuple:
        raise TypeError(given)
    key, value = given
    rank(key)
    if not _may_be_key(key):
        raise TypeError(key)
    if isinstance(job.reduce, Aggregate):
        aggregated(job.reduce, [value])
    elif isinstance(job.reduce, Mapping):
        for member in job.reduce.values():
            aggregated(member, [value])


def _may_be_key(key: Any) -> bool:
    if type(key) is tuple:
        return all(map(_may_be_key, key))
    return type(key) in (type(None), bool, int, float, str, bytes, date, datetime)


def _mapped(
    function: Callable[..., Any], call: Callable[..., Any], block: Block, records: list[Any], context: Context
) -> Iterator[Any]:
    if takes_blocks(function):
        context.at(block)
        yield from call(records) or ()
        return
    for index, record in enumerate(records):
        context.at(block, index)
        yield from call(record) or ()


def _passed_through(record: Any) -> list[Any]:
    """What `Identity` means where there is a reduce."""
    if type(record) is dict:
        return [(_as_tuples(record["key"]), record["value"])]
    return [record]


def _as_tuples(key: Any) -> Any:
    key = list(key.values()) if type(key) is dict else key
    return tuple(map(_as_tuples, key)) if type(key) is list else key


@contextmanager
def _set_up(function: Any, context: Context) -> Iterator[None]:
    """`setup` and `teardown` of an object with `__call__`."""
    if hasattr(function, "setup"):
        function.setup(context)
    yield
    if hasattr(function, "teardown"):
        function.teardown()


def _frame(source: Any, block: Block, records: list[Any]) -> Any:
    """Records as a `@frames` map gets them."""
    import polars as pl

    if isinstance(source, Parquet):
        return pl.read_parquet(block.location.uri, columns=source.columns).head(len(records))
    if isinstance(source, JsonLines | Csv) and source.schema:
        types = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean, date: pl.Date}
        schema = {name: types.get(kind, kind) for name, kind in source.schema.items()}
        if isinstance(source, Csv) and source.header is False:
            records = [dict(zip(schema, record, strict=True)) for record in records]
        columns = {name: [record.get(name) for record in records] for name in schema}
        if isinstance(source, JsonLines):
            return pl.DataFrame(columns, schema=schema)
        empty = {name: [value or None for value in column] for name, column in columns.items()}
        kept = {name: columns[name] if kind == pl.String else empty[name] for name, kind in schema.items()}
        return pl.DataFrame(kept, schema=dict.fromkeys(schema, pl.String)).cast(cast(Any, schema))
    return pl.DataFrame({"line": records}, schema={"line": pl.String})


def _rows(frame: Any) -> list[Any]:
    """What a `@frames` function gave, as pairs or dicts; a struct is a tuple."""
    if frame is None:
        return []
    frame = frame.lazy().collect()
    rows = [dict(zip(frame.columns, map(_untied, row), strict=True)) for row in frame.rows()]
    pairs = set(frame.columns) == {"key", "value"}
    return [(row["key"], row["value"]) for row in rows] if pairs else rows


def _untied(value: Any) -> Any:
    if type(value) is dict:
        return tuple(map(_untied, value.values()))
    return list(map(_untied, value)) if type(value) is list else value


def _taken(given: Iterable[Any]) -> Iterator[Any]:
    """What a function gives, as it is at that moment: it may change a list that it gave."""
    return map(copy.deepcopy, given)


def _with_context(function: Callable[..., Any], context: Context) -> Callable[..., Any]:
    if not takes_context(function):
        return function
    names = list(inspect.signature(function).parameters)

    def call(*args: Any) -> Any:
        others = iter(args)
        return function(**{name: context if name == "ctx" else next(others) for name in names})

    return call


# ---------------------------------------------------------------- group


Group = tuple[Any, list[Any]]
"""A key as it comes back, and its values in input order."""


def _grouped(job: Job, pairs: Iterable[tuple[Any, Any]]) -> list[list[Group]]:
    """The groups of each shard, in key order. A key's first form in the input stays."""
    found: dict[Any, Group] = {}
    for key, value in pairs:
        found.setdefault(identity(key), (returned(key), []))[1].append(value)
    groups = sorted(found.values(), key=lambda group: rank(group[0]))
    shards = _shards(job)
    part_of = _partition(job, [key for key, _ in groups], shards)
    parts: list[list[Group]] = [[] for _ in range(shards)]
    for key, values in groups:
        if order := job.order_values:
            values.sort(key=lambda value: rank(order(value)))
        parts[part_of(key)].append((key, values))
    return parts


def _shards(job: Job) -> int:
    if job.shards != "auto":
        return job.shards
    sources = [as_source(given.source) for given in job.inputs]
    files = [file for source in sources if not isinstance(source, Records) for file in source.files()]
    return max(1, math.ceil(sum(file.size for file in files) / AUTO_SHARD))


def _partition(job: Job, keys: list[Any], shards: int) -> Callable[[Any], int]:
    """Which part a key belongs to. `keys` ascend."""
    if isinstance(job.partition, TotalOrder):
        smallest = sorted(keys, key=lambda key: (place(key), rank(key)))[: SAMPLES * shards]
        sample = sorted(map(rank, smallest))
        borders = [sample[part * len(sample) // shards] for part in range(1, shards)] if sample else []
        return lambda key: bisect_right(borders, rank(key))
    return job.partition or (lambda key: place(key) * shards // 2**64)


# ---------------------------------------------------------------- reduce


def _reduce_all(job: Job, groups: list[Group], context: Context) -> list[Any]:
    """The records of one shard. `combine` must not change them, so it isn't called."""
    if isinstance(job.reduce, Aggregate):
        return [(key, aggregated(job.reduce, values)) for key, values in groups]
    if isinstance(job.reduce, Mapping):
        return [
            {"key": key, **{name: aggregated(member, values) for name, member in job.reduce.items()}}
            for key, values in groups
        ]
    call = _with_context(cast("Callable[..., Any]", job.reduce), context)
    with _set_up(job.reduce, context):
        if takes_frames(job.reduce):
            return _rows(call(_group_frame(job, groups))) if groups else []
        return list(_taken(chain.from_iterable(call(key, iter(values)) or () for key, values in groups)))


def _group_frame(job: Job, groups: list[Group]) -> Any:
    """Groups as a `@frames` reduce gets them."""
    import polars as pl

    def tied(value: Any, names: Sequence[str] | None = None) -> Any:
        if type(value) is not tuple:
            return value
        return dict(zip(names or map(str, range(len(value))), value, strict=True))

    keys = pl.Series("key", [tied(key, job.key_names) for key, _ in groups])
    return pl.DataFrame([keys, pl.Series("values", [list(map(tied, values)) for _, values in groups])])


# ---------------------------------------------------------------- write


def _write_part(job: Job, records: list[Any], result: SequentialResult) -> None:
    stream = io.BytesIO()
    output = as_output(job.output)
    named = records
    if job.key_names:
        kept = isinstance(output, Kept)
        named = [
            record if kept and type(record) is tuple else _named(record, job.key_names) for record in records
        ]
    with compressing(stream, output.compression) as plain:
        writer = output.writer(plain)
        writer.write(named)
        writer.close()
    result.parts.append(stream.getvalue())
    result.records.extend(named if isinstance(output, Kept) else records)


def _named(record: Any, names: Sequence[str]) -> Any:
    """A record whose key is written as fields with the job's `key_names`."""
    if type(record) is tuple and len(record) == 2:
        return {**dict(zip(names, record[0], strict=True)), "value": record[1]}
    if type(record) is dict and type(record.get("key")) is tuple:
        rest = {name: value for name, value in record.items() if name != "key"}
        return {**dict(zip(names, record["key"], strict=True)), **rest}
    return record

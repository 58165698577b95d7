"""The reference: what a job means, in Python so plain that it is right by reading.

`run_sequential(job)` reads every file whole, calls the map, groups with a dict, sorts, and calls the
reduce. The engine's part files are byte-identical to its parts. It shares with the engine the way
in (which files a path means) and the way out (the output's writer), and nothing between: keys are
compared, ordered and hashed, and aggregates computed, by code of its own that follows the written
rules. It holds everything in memory, and it is slow.

A job that is not valid fails here with any exception; good messages are the engine's business.
"""

from __future__ import annotations

import copy
import inspect
import io
import math
import statistics
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import chain
from typing import Any, cast

import xxhash

from mapreduce.aggregates import (
    Aggregate,
    BottomK,
    Collect,
    CollectSet,
    Count,
    CountDistinct,
    First,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    Quantiles,
    Stats,
    Sum,
    TopK,
)
from mapreduce.context import Context
from mapreduce.datasets import Csv, JsonLines, Kept, Parquet, Records, Text, as_output, as_source
from mapreduce.datasets.compression import compressing
from mapreduce.functions import Identity, takes_blocks, takes_context, takes_frames
from mapreduce.job import Input, Job
from mapreduce.model import Location, Split
from mapreduce.ordering import TotalOrder
from mapreduce.protocols import Block, Source
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
    return result


# ---------------------------------------------------------------- read


def _read(source: Source) -> Iterator[Block]:
    if isinstance(source, Records):
        places = [Location("records:", index, 1, "item") for index in range(len(source.items))]
        yield Whole(source.items, places, Location("records:", 0, len(places), "item"))
    elif isinstance(source, (Text, JsonLines, Csv, Parquet)):
        for file in source.files():
            yield read_whole(source, file)
    else:  # a format of the user's own decides what its records are
        for index, cut in enumerate(source.splits(source.files())):
            yield from source.read(Split(index, cut.file, cut.start, cut.stop, more=cut.more))


# ---------------------------------------------------------------- map


def _map_all(
    job: Job, given: Input, limit: int | None, context: Context, result: SequentialResult
) -> list[Any]:
    """Everything the map of one input gives, in input order: pairs, or without a reduce records."""
    emitted: list[Any] = []
    source, function = as_source(given.source), given.map
    if isinstance(function, Identity):
        function = _passed_through if job.reduce is not None else lambda record: [record]
    call = _with_context(function, context)
    left = limit
    with _set_up(function, context):
        for block in _read(source):
            records = block.records[:left]
            left = None if left is None else left - len(records)
            result.records_in += len(records)
            if records and takes_frames(function):
                context.at(block)
                emitted.extend(_rows(call(_frame(source, block, records))))
            elif records:
                emitted.extend(_taken(_mapped(function, call, block, records, context)))
    context.at(None)
    result.pairs += len(emitted)
    return emitted


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
        found.setdefault(_identity(key), (_returned(key), []))[1].append(value)
    groups = sorted(found.values(), key=lambda group: _rank(group[0]))
    shards = _shards(job)
    part_of = _partition(job, [key for key, _ in groups], shards)
    parts: list[list[Group]] = [[] for _ in range(shards)]
    for key, values in groups:
        if order := job.order_values:
            values.sort(key=lambda value: _rank(order(value)))
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
        smallest = sorted(keys, key=lambda key: (_hash(key), _rank(key)))[: SAMPLES * shards]
        sample = sorted(map(_rank, smallest))
        borders = [sample[part * len(sample) // shards] for part in range(1, shards)] if sample else []
        return lambda key: bisect_right(borders, _rank(key))
    return job.partition or (lambda key: _hash(key) * shards // 2**64)


def _returned(key: Any) -> Any:
    """A key as it comes back: aware datetimes in UTC, and no `fold`."""
    if type(key) is tuple:
        return tuple(_returned(element) for element in key)
    if type(key) is datetime:
        in_utc = key if key.tzinfo is None else key.astimezone(UTC)
        return in_utc.replace(fold=0)
    return key


def _identity(key: Any) -> Any:
    """Equal for equal keys, and then only: Python's equality, but one NaN, and no text that equals bytes."""
    if type(key) is tuple:
        return "tuple", tuple(_identity(element) for element in key)
    if type(key) is datetime:
        return ("naive" if key.tzinfo is None else "aware"), _microseconds(key)
    if type(key) in (bool, int, float):
        return ("number", key) if key == key else ("nan", None)
    return type(key).__name__, key


def _rank(key: Any) -> Any:
    """Sorts as the key order says: None < numbers (NaN last) < str < bytes < date < datetimes < tuple."""
    if key is None:
        return (0,)
    if type(key) in (bool, int, float):
        return (1, 0, key) if key == key else (1, 1)
    if type(key) is str:
        return (2, key)
    if type(key) is bytes:
        return (3, key)
    if type(key) is date:
        return (4, key)
    if type(key) is datetime:
        return (5 if key.tzinfo is None else 6, _microseconds(key))
    return (7, tuple(_rank(element) for element in key))


def _microseconds(moment: datetime) -> int:
    """Since 1970, in UTC where the datetime is aware."""
    passed: timedelta = _returned(moment).replace(tzinfo=None) - datetime(1970, 1, 1)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


# ---------------------------------------------------------------- hash


def _hash(key: Any) -> int:
    """The 64-bit place of a key, as the design writes it down."""
    if key is None:
        return 0
    if type(key) is str:
        return _hash(key.encode("utf-8", "surrogatepass"))
    if type(key) is bytes:
        return int(xxhash.xxh64_intdigest(key))
    if type(key) is date:
        return _mix((key - date(1970, 1, 1)).days)
    if type(key) is datetime:
        return _mix(_microseconds(key))
    if type(key) is tuple:
        state = len(key)
        for element in key:
            state = _mix(state * 0x9E3779B97F4A7C15 + _hash(element))
        return state
    return _hash_number(key)


def _hash_number(number: int | float) -> int:
    if number != number:
        return _mix(0x7FF8000000000000)
    if -(2**63) <= number < 2**63 and number == int(number):
        return _mix(int(number))
    try:
        nearest = float(number)
    except OverflowError:
        nearest = math.inf
    if nearest == number:
        return _mix(struct.unpack("<q", struct.pack("<d", nearest))[0])
    number = int(number)
    return _hash(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _mix(number: int) -> int:
    """splitmix64's finisher of a number modulo 2**64."""
    x = number % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


# ---------------------------------------------------------------- reduce


def _reduce_all(job: Job, groups: list[Group], context: Context) -> list[Any]:
    """The records of one shard. `combine` must not change them, so it isn't called."""
    if isinstance(job.reduce, Aggregate):
        return [(key, _aggregated(job.reduce, values)) for key, values in groups]
    if isinstance(job.reduce, Mapping):
        return [
            {"key": key, **{name: _aggregated(member, values) for name, member in job.reduce.items()}}
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


# ---------------------------------------------------------------- aggregates


def _aggregated(aggregate: Any, values: list[Any]) -> Any:
    """What an aggregate means. One of the user's own means what its Python form says, and the number
    that ApproxDistinct gives is its own.
    """
    meaning = _MEANINGS.get(type(aggregate))
    return meaning(aggregate, values) if meaning else aggregate.apply(values)


def _chosen(choice: Any, value: Any) -> Any:
    """What `of` or `by` says of a value."""
    if choice is None or value is None:
        return value
    if callable(choice):
        return choice(value)
    if isinstance(choice, str):
        return value.get(choice)
    return value[choice] if -len(value) <= choice < len(value) else None


def _present(aggregate: Any, values: list[Any]) -> list[Any]:
    chosen = [_chosen(aggregate.of, value) for value in values]
    return [value for value in chosen if value is not None]


def _by(aggregate: Any, values: list[Any]) -> list[tuple[Any, Any]]:
    """(what is compared, what is returned) of the values that have both."""
    by = aggregate.of if aggregate.by is None else aggregate.by
    pairs = [(_chosen(by, value), _chosen(aggregate.of, value)) for value in values]
    return [pair for pair in pairs if pair[0] is not None and pair[1] is not None]


def _count(aggregate: Any, values: list[Any]) -> int:
    return len(values) if aggregate.of is None else len(_present(aggregate, values))


def _wild(present: list[Any]) -> float | None:
    """The sum, if an infinity or NaN decides it."""
    infinities = {value for value in present if value in (math.inf, -math.inf)}
    if len(infinities) == 2 or any(value != value for value in present):
        return math.nan
    return float(infinities.pop()) if infinities else None


def _nearest(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _sum(aggregate: Any, values: list[Any]) -> int | float:
    """Exact, and rounded once if there is a float: Fraction is, math.fsum overflows on the way."""
    present = _present(aggregate, values)
    if float not in map(type, present):
        return int(sum(present))
    wild = _wild(present)
    return _nearest(sum(map(Fraction, present), Fraction(0))) if wild is None else wild


def _mean(aggregate: Any, values: list[Any]) -> float | None:
    present = _present(aggregate, values)
    if not present:
        return None
    wild = _wild(present)
    return _nearest(sum(map(Fraction, present), Fraction(0)) / len(present)) if wild is None else wild


def _deviation(present: list[Any]) -> float | None:
    if len(present) < 2:
        return None
    if _wild(present) is not None:
        return math.nan
    try:
        return float(statistics.stdev(map(Fraction, present)))
    except OverflowError:
        return math.inf


def _stats(aggregate: Any, values: list[Any]) -> dict[str, Any]:
    present = _present(aggregate, values)
    return {
        "count": len(present),
        "sum": _sum(aggregate, values),
        "mean": _mean(aggregate, values),
        "min": min(present, key=_rank, default=None),
        "max": max(present, key=_rank, default=None),
        "stddev": _deviation(present),
    }


def _min(aggregate: Any, values: list[Any]) -> Any:
    return min(_by(aggregate, values), key=lambda pair: _rank(pair[0]), default=(None, None))[1]


def _max(aggregate: Any, values: list[Any]) -> Any:
    return max(_by(aggregate, values), key=lambda pair: _rank(pair[0]), default=(None, None))[1]


def _top(aggregate: Any, values: list[Any]) -> list[Any]:
    """`reverse` keeps the order of equal ones."""
    ranked = sorted(_by(aggregate, values), key=lambda pair: _rank(pair[0]), reverse=True)
    return [returned for _, returned in ranked[: aggregate.k]]


def _bottom(aggregate: Any, values: list[Any]) -> list[Any]:
    ranked = sorted(_by(aggregate, values), key=lambda pair: _rank(pair[0]))
    return [returned for _, returned in ranked[: aggregate.k]]


def _set(aggregate: Any, values: list[Any]) -> list[Any]:
    forms: dict[Any, Any] = {}
    for value in _present(aggregate, values):
        forms.setdefault(_identity(value), value)
    return sorted(forms.values(), key=_rank)


def _histogram(aggregate: Any, values: list[Any]) -> list[int]:
    counts = [0] * (len(aggregate.edges) + 1)
    for value in _present(aggregate, values):
        passed = [edge for edge in aggregate.edges if value >= edge or value != value]
        counts[len(passed)] += 1
    return counts


def _quantiles(aggregate: Any, values: list[Any]) -> list[float | None]:
    numbers = sorted((_as_float(value) for value in _present(aggregate, values)), key=_rank)
    if not numbers:
        return [None] * len(aggregate.qs)
    ranks = [max(1, math.ceil(Fraction(str(q)) * len(numbers))) for q in aggregate.qs]
    return [_log_linear(numbers[rank - 1]) for rank in ranks]


def _as_float(number: Any) -> float:
    return number if type(number) is float else _nearest(Fraction(number))


def _log_linear(number: float) -> float:
    """The middle of the numbers that share the sign, the exponent and 7 bits of the fraction."""
    if number == 0 or math.isinf(number):
        return number or 0.0
    if number != number:
        return math.nan
    exponent = max(math.frexp(number)[1] - 1, -1022)
    width = Fraction(2) ** (exponent - 7)
    low = math.floor(Fraction(abs(number)) / width) * width
    return math.copysign(float(low + width / 2), number)


_MEANINGS: dict[type, Callable[[Any, list[Any]], Any]] = {
    Count: _count,
    Sum: _sum,
    Mean: _mean,
    Stats: _stats,
    Min: _min,
    Max: _max,
    First: lambda aggregate, values: next(iter(_present(aggregate, values)), None),
    Last: lambda aggregate, values: next(reversed(_present(aggregate, values)), None),
    TopK: _top,
    BottomK: _bottom,
    CountDistinct: lambda aggregate, values: len(_set(aggregate, values)),
    Collect: _present,
    CollectSet: _set,
    Histogram: _histogram,
    Quantiles: _quantiles,
}


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

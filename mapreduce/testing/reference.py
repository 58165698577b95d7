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
import gzip
import inspect
import io
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from mapreduce.datasets import Records, Text, as_output, as_source
from mapreduce.job import Job, takes_blocks, takes_context
from mapreduce.model import InputFile, Location, Split
from mapreduce.protocols import Block, Source
from mapreduce.store import inputs

AUTO_SHARD = 128 * 2**20
"""Stored bytes of input for each shard of `shards="auto"`."""


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
    source = as_source(job.source)
    emitted = _map_all(job, source, limit, context, result)
    if job.reduce is None:
        _write_part(job, emitted, result)
    else:
        shards = _shards(job, source)
        for groups in _grouped(emitted, shards):
            _write_part(job, _reduce_all(job, groups, context), result)
    result.counters = dict(context.counters)
    return result


# ---------------------------------------------------------------- read


@dataclass
class _Whole:
    """All records of one file, with the place of each."""

    records: list[Any]
    places: list[Location]
    location: Location

    @property
    def size(self) -> int:
        return self.location.length

    def locate(self, index: int) -> Location:
        return self.places[index]


def _read(source: Source) -> Iterator[Block]:
    if isinstance(source, Records):
        places = [Location("records:", index, 1) for index in range(len(source.items))]
        yield _Whole(source.items, places, Location("records:", 0, len(places)))
    elif isinstance(source, Text):
        for file in source.files():
            yield _read_text(source, file)
    else:  # a format of the user's own decides what its records are
        for index, cut in enumerate(source.splits(source.files())):
            yield from source.read(Split(index, cut.file, cut.start, cut.stop, more=cut.more))


def _read_text(source: Text, file: InputFile) -> _Whole:
    with inputs.opened(file) as stream:
        data = stream.read()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    start = 3 if source.encoding == "utf-8" and data.startswith(b"\xef\xbb\xbf") else 0
    *ended, rest = data[start:].split(b"\n")
    lines = [(line, line.removesuffix(b"\r")) for line in ended] + ([(rest, rest)] if rest else [])
    whole = _Whole([], [], Location(file.uri, start, len(data) - start))
    for line, text in lines:
        whole.records.append(text.decode(source.encoding, source.errors))
        whole.places.append(Location(file.uri, start, len(text)))
        start += len(line) + 1
    return whole


# ---------------------------------------------------------------- map


def _map_all(
    job: Job, source: Source, limit: int | None, context: Context, result: SequentialResult
) -> list[Any]:
    """Everything the map gives, in input order: pairs, or without a reduce records."""
    emitted: list[Any] = []
    call = _with_context(job.map, context)
    for block in _read(source):
        left = None if limit is None else limit - result.records_in
        records = block.records[:left]
        result.records_in += len(records)
        if takes_blocks(job.map):
            context.at(block)
            emitted.extend(_taken((call(records) if records else None) or ()))
            continue
        for index, record in enumerate(records):
            context.at(block, index)
            given = call(record)
            emitted.extend(_taken(() if given is None else given))
    context.at(None)
    result.pairs = len(emitted)
    return emitted


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


def _shards(job: Job, source: Source) -> int:
    if job.shards != "auto":
        return job.shards
    if isinstance(source, Records):
        return 1
    return max(1, math.ceil(sum(file.size for file in source.files()) / AUTO_SHARD))


def _grouped(pairs: Iterable[tuple[Any, Any]], shards: int) -> list[list[Group]]:
    """The groups of each shard, in key order. A key's first form in the input stays."""
    groups: dict[Any, Group] = {}
    for key, value in pairs:
        groups.setdefault(_identity(key), (_returned(key), []))[1].append(value)
    parts: list[list[Group]] = [[] for _ in range(shards)]
    for group in sorted(groups.values(), key=lambda group: _rank(group[0])):
        parts[_hash(group[0]) * shards // 2**64].append(group)
    return parts


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


def _reduce_all(job: Job, groups: Iterable[Group], context: Context) -> list[Any]:
    """The records of one shard. `combine` must not change them, so it isn't called."""
    if isinstance(job.reduce, Aggregate):
        return [(key, _aggregated(job.reduce, values)) for key, values in groups]
    if isinstance(job.reduce, Mapping):
        return [
            {"key": key, **{name: _aggregated(member, values) for name, member in job.reduce.items()}}
            for key, values in groups
        ]
    call = _with_context(cast("Callable[..., Any]", job.reduce), context)
    return list(_taken(chain.from_iterable(call(key, iter(values)) or () for key, values in groups)))


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
    exact = list(map(Fraction, present))
    mean = sum(exact, Fraction(0)) / len(exact)
    return math.sqrt(_nearest(sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (len(exact) - 1)))


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
    writer = as_output(job.output).writer(stream)
    writer.write(records)
    writer.close()
    result.parts.append(stream.getvalue())
    result.records.extend(records)

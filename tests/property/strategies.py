"""What random tests draw: keys, values, and whole jobs, with the awkward ones drawn often."""

import gzip
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mapreduce.aggregates import (
    Aggregate,
    ApproxDistinct,
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
from mapreduce.datasets import Records, Text
from mapreduce.functions import blocks
from mapreduce.job import Input, Job
from mapreduce.keys import order_bytes
from mapreduce.ordering import TotalOrder

NAN = math.nan
ODD_NAN: float = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0123))[0]
"""Another NaN: its sign and payload must survive as a value, and not matter in a key."""


def _zones() -> list[Any]:
    zones: list[Any] = [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=3), "home")]
    with suppress(ZoneInfoNotFoundError):  # a machine without the zone database
        zones.append(ZoneInfo("Europe/Berlin"))
    return zones


ZONES = _zones()

# ---------------------------------------------------------------- keys

EQUAL_NUMBERS = [True, 1, 1.0, False, 0, 0.0, -0.0, NAN, ODD_NAN, 2**53, 2.0**53, 2**53 + 1, 2**53 + 2]
LARGE_NUMBERS = [
    2**63 - 1,
    2**63,
    2.0**63,
    -(2**63),
    -(2.0**63),
    -(2**63) - 1,
    2**64,
    2**70,
    2.0**70,
    2**70 + 1,
]
FAR_NUMBERS = [
    10**400,
    -(10**400),
    math.inf,
    -math.inf,
    5e-324,
    -5e-324,
    1.7976931348623157e308,
    2**1023,
    0.1,
]
ODD_FLOATS = [
    0.0,
    -0.0,
    NAN,
    ODD_NAN,
    math.inf,
    -math.inf,
    5e-324,
    1e308,
    1.5,
    2.0**53,
    2.0**63,
    -(2.0**63),
    2.0**64,
]
TEXTS = ["", "a", "b", "ab", "a\0", "a\0b", "\0", "é", "\ud800", "\udfff", "\uffff", "\U0001f600", "1"]
BYTES = [text.encode("utf-8", "surrogatepass") for text in TEXTS] + [b"\xff", b"\0\xff"]
DAYS = [date(1, 1, 1), date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(9999, 12, 31)]
NOON = datetime(2024, 10, 27, 0, 30)
CLOCKS = [
    NOON,
    NOON.replace(fold=1),
    NOON.replace(tzinfo=UTC),
    NOON.replace(tzinfo=UTC, fold=1),
    *(datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=zone) for zone in ZONES for fold in (0, 1)),
    datetime(1, 1, 1),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999),
]


def a_share(parts: int) -> Any:
    """So many times fewer examples, for a law that many parameters share."""
    return settings(max_examples=max(3, settings.default.max_examples // parts))


def one_of_these(items: list[Any]) -> SearchStrategy[Any]:
    """`sampled_from` with a short repr: hypothesis warns of long ones, and a warning is a failure."""
    return st.integers(0, len(items) - 1).map(lambda index: items[index])


integers = st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
floats = one_of_these(ODD_FLOATS) | st.floats()
numbers = one_of_these(EQUAL_NUMBERS + LARGE_NUMBERS + FAR_NUMBERS) | st.integers() | st.floats()
# All characters, lone surrogates among them.
texts = one_of_these(TEXTS) | st.text(st.characters(exclude_categories=()), max_size=8)
plain_texts = st.text(max_size=8)
binaries = one_of_these(BYTES) | st.binary(max_size=8)
dates = one_of_these(DAYS) | st.dates()
# A year from the ends, because an instant outside of the calendar can't be brought to UTC.
naive_datetimes = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), allow_imaginary=True)
aware_datetimes = st.builds(
    lambda naive, zone, fold: naive.replace(tzinfo=zone, fold=fold),
    naive_datetimes,
    one_of_these(ZONES),
    st.integers(0, 1),
)
datetimes = one_of_these(CLOCKS) | naive_datetimes | aware_datetimes
scalars = st.none() | numbers | texts | binaries | dates | datetimes


def tuples_of(elements: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
    return st.lists(elements, max_size=3).map(tuple)


keys = st.recursive(scalars, tuples_of, max_leaves=5)
"""Any key."""

_columns: list[SearchStrategy[Any]] = [
    integers,
    floats,
    plain_texts,
    texts,
    binaries,
    st.booleans(),
    dates,
    naive_datetimes,
    aware_datetimes,
    st.integers(),
    numbers,
]


def _maybe_none(strategy: SearchStrategy[Any]) -> SearchStrategy[SearchStrategy[Any]]:
    return st.sampled_from([strategy, strategy, st.none() | strategy])


column_kinds = st.sampled_from(_columns).flatmap(_maybe_none)
"""Strategies of one exact type, perhaps with None: what the engine keeps in a native column."""

key_kinds: SearchStrategy[SearchStrategy[Any]] = (
    column_kinds
    | st.lists(column_kinds, min_size=1, max_size=3).map(lambda kinds: st.tuples(*kinds))
    | st.sampled_from([keys, one_of_these(EQUAL_NUMBERS), st.tuples(one_of_these(EQUAL_NUMBERS), texts)])
)
"""Strategies of the keys of one job: of one type, of tuples of one shape, or of anything."""

# ---------------------------------------------------------------- values

_zoned_times = st.builds(
    lambda t, zone, fold: t.replace(tzinfo=zone, fold=fold),
    st.times(),
    st.none() | one_of_these(ZONES),
    st.integers(0, 1),
)
dated = (
    dates
    | datetimes
    | _zoned_times
    | st.timedeltas()
    | st.decimals()
    | st.fractions().map(Fraction)
    | st.uuids()
    | st.binary(max_size=4).map(bytearray)
    | one_of_these([Decimal("-0.00"), Decimal("sNaN12"), UUID(int=0), time(0, fold=1)])
)
"""Values that marshal does not know."""
plain = st.none() | st.booleans() | numbers | texts | binaries | st.complex_numbers()


def hashable(value: Any) -> Any:
    """Something like the value that a set can hold."""
    kind = type(value)
    if kind in (list, tuple):
        return tuple(map(hashable, value))
    if kind is dict:
        return tuple((name, hashable(item)) for name, item in value.items())
    if kind is Decimal and value.is_snan():
        return Decimal("NaN")
    if kind is complex and value != value:  # marshal can't order two of them in a set
        return 0j
    if kind is set:
        return frozenset(value)
    return bytes(value) if kind is bytearray else value


def _containers(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    names = inner.map(hashable)
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(names, inner, max_size=3)
        | st.lists(names, max_size=3).map(set)
        | st.lists(names, max_size=3).map(frozenset)
    )


plain_values = st.recursive(plain, _containers, max_leaves=6)
"""Anything that marshal packs."""
values = st.recursive(plain | dated, _containers, max_leaves=6)
"""Any value."""
ordered_values = keys
"""Anything that Min and Max compare."""

json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts | binaries | dates | datetimes | st.times(),
    lambda inner: st.lists(inner, max_size=3) | tuples_of(inner) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
"""Anything that JSON lines write, sets apart."""

value_kinds: SearchStrategy[SearchStrategy[Any]] = (
    column_kinds
    | st.lists(column_kinds, min_size=1, max_size=3).map(lambda kinds: st.tuples(*kinds))
    | st.sampled_from([plain_values, values])
)


def exact(value: Any) -> Any:
    """Equal exactly for values that are the same in type, bits and order at every depth."""
    kind = type(value)
    if kind is float:
        return "float", struct.pack("<d", value)
    if kind is complex:
        return "complex", struct.pack("<dd", value.real, value.imag)
    if kind in (list, tuple):
        return kind.__name__, [exact(item) for item in value]
    if kind is dict:
        return "dict", [(exact(name), exact(item)) for name, item in value.items()]
    if kind in (set, frozenset):
        return kind.__name__, sorted((exact(item) for item in value), key=repr)
    if kind in (datetime, time):
        return kind.__name__, value.replace(tzinfo=None, fold=0), value.fold, repr(value.tzinfo)
    if kind is Decimal:
        return "Decimal", value.as_tuple()
    return kind.__name__, value


# ---------------------------------------------------------------- jobs

Pair = tuple[Any, Any]


@dataclass(frozen=True)
class Functions:
    """A reduce, perhaps a combine, and the values that they take."""

    name: str
    reduce: Callable[..., Any] | Aggregate | dict[str, Aggregate] | None
    combine: Callable[..., Any] | None = None
    kinds: SearchStrategy[SearchStrategy[Any]] = value_kinds
    wrap: bool = False
    """Values are lists of one value, so that a combine can join them."""

    @property
    def any_values(self) -> bool:
        return self.kinds in (value_kinds, _json_kinds) and self.name != "no reduce"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"<{self.name}>")


def listing(key: Any, values: Iterator[Any]) -> Iterator[Pair]:
    yield key, list(values)


def flattened(key: Any, values: Iterator[list[Any]]) -> list[Pair]:
    return [(key, [value for group in values for value in group])]


def joined(key: Any, values: Iterable[list[Any]]) -> list[Any]:
    return [value for group in values for value in group]


def text_joined(key: Any, values: Iterable[str]) -> str:
    return "".join(values)


def whole_text(key: Any, values: Iterable[str]) -> list[Pair]:
    return [(key, "".join(values))]


def added(key: Any, values: Iterable[int]) -> int:
    return sum(values)


def total(key: Any, values: Iterable[int]) -> list[Pair]:
    return [(key, sum(values))]


def singly(key: Any, values: Iterator[Any]) -> Iterator[Any]:
    yield from ((key, value) for value in values)


def bare(key: Any, values: Iterator[Any]) -> Iterator[Any]:
    """Records that are no pairs."""
    first, *rest = values
    yield key
    yield first
    yield [key, "rest", *rest]


def sometimes(key: Any, values: Iterator[Any], ctx: Any) -> list[Any] | None:
    """Nothing, without a look at the values, or their number; it counts too."""
    ctx.count("groups")
    if type(key) in (str, bytes, tuple) and len(key) % 2:
        return None
    return [(key, sum(1 for _ in values))]


def as_dicts(key: Any, values: Iterator[Any]) -> Iterator[dict[str, Any]]:
    record = {"key": key}
    for index, value in enumerate(values):
        record |= {"n": index, "value": value}
        yield record  # and changes it then


summable = st.sampled_from(
    [integers, floats, st.booleans(), st.none() | integers, st.none() | floats, numbers, numbers, st.none()]
)


def length(value: Any) -> int:
    return len(repr(value))


rows = st.tuples(summable, key_kinds).map(lambda two: st.tuples(*two) | st.tuples(two[0]) | st.none())
"""Strategies of tuples of a number and something that is compared, some short, some None."""
fields = st.tuples(summable, key_kinds).map(
    lambda two: st.none() | st.fixed_dictionaries({"size": two[0]}, optional={"name": two[1]})
)
AGGREGATES = [
    Functions("Count", Count()),
    Functions("Sum", Sum(), kinds=summable),
    Functions("Mean", Mean(), kinds=summable),
    Functions("Stats", Stats(), kinds=summable),
    Functions("Histogram", Histogram([-1, 0, 0.5, 2**53 + 1]), kinds=summable),
    Functions("Quantiles", Quantiles([0, 0.5, 0.99]), kinds=summable),
    Functions("Min", Min(), kinds=key_kinds),
    Functions("Max", Max(), kinds=key_kinds),
    Functions("TopK", TopK(2), kinds=key_kinds),
    Functions("BottomK", BottomK(3), kinds=key_kinds),
    Functions("CountDistinct", CountDistinct(), kinds=key_kinds),
    Functions("ApproxDistinct", ApproxDistinct(8), kinds=key_kinds),
    Functions("CollectSet", CollectSet(), kinds=key_kinds),
    Functions("First", First()),
    Functions("Last", Last()),
    Functions("Collect", Collect()),
]
PARTS = [
    Functions("Count of", Count(of=1), kinds=rows),
    Functions("Sum of", Sum(of=0), kinds=rows),
    Functions("Mean of", Mean(of="size"), kinds=fields),
    Functions("Max by", Max(by=0), kinds=rows),
    Functions("TopK by", TopK(2, by="size", of="name"), kinds=fields),
    Functions("BottomK by", BottomK(2, by=length)),
    Functions("Last of", Last(of=lambda value: [value])),
    Functions("counts", {"n": Count()}),
    Functions("values", {"n": Count(), "last": Last(), "all": Collect()}),
    Functions(
        "numbers", {"n": Count(), "sum": Sum(), "half": Quantiles([0.5]), "max": Max()}, kinds=summable
    ),
    Functions(
        "rows",
        {"sum": Sum(of=0), "mean": Mean(of=0), "kinds": CountDistinct(of=1), "top": TopK(2, of=1, by=0)},
        kinds=rows,
    ),
    Functions(
        "fields",
        {
            "all": Stats(of="size"),
            "first": First(of="name"),
            "set": CollectSet(of="name"),
            "max": Max(by="size"),
        },
        kinds=fields,
    ),
]
FUNCTIONS = [
    Functions("no reduce", None),
    Functions("listing", listing),
    Functions("singly", singly),
    Functions("lists", flattened, wrap=True),
    Functions("lists, combined", flattened, joined, wrap=True),
    Functions("texts, combined", whole_text, text_joined, kinds=st.sampled_from([plain_texts, texts])),
    Functions("numbers, combined", total, added, kinds=st.sampled_from([integers, st.integers()])),
    *AGGREGATES,
    *PARTS,
]
TYPED_FUNCTIONS = [*FUNCTIONS, Functions("bare", bare), Functions("sometimes", sometimes)]
"""For an output that keeps all types."""
_json_kinds = st.sampled_from([json_values, integers, plain_texts])
JSON_FUNCTIONS = [
    *(replace(f, kinds=_json_kinds) if f.kinds is value_kinds else f for f in FUNCTIONS),
    Functions("as_dicts", as_dicts, kinds=_json_kinds),
]


TAKE_ONE = (*(function.name for function in AGGREGATES), "counts", "values", "numbers", "numbers, combined")
"""Functions that take the value 1."""


def each_of(pairs: list[Pair], ctx: Any) -> Iterator[Pair]:
    """A record is a list of pairs."""
    ctx.count("records")
    yield from pairs


def maybe_each_of(pairs: list[Pair]) -> list[Pair] | None:
    return pairs or None


def generated(pairs: list[Pair]) -> Iterator[Pair]:
    yield from pairs


def reused(pairs: list[Pair]) -> Iterator[Pair]:
    """Values that change after they were given."""
    value: list[Any] = []
    for key, given in pairs:
        value[:] = given if type(given) is list else [given]
        yield key, value


@blocks
def block_of(records: list[list[Pair]]) -> Iterator[Pair]:
    for pairs in records:
        yield from pairs


@blocks
def block_list(records: list[list[Pair]], ctx: Any) -> list[Pair]:
    ctx.count("pairs", sum(map(len, records)))
    return [pair for pairs in records for pair in pairs]


@blocks
def block_zip(records: list[list[Pair]]) -> Any:
    pairs = [pair for pairs in records for pair in pairs]
    return zip([key for key, _ in pairs], [value for _, value in pairs], strict=True)


@blocks
def block_repeat(records: list[list[Pair]]) -> Any:
    """One value for all keys: the shape that the engine takes without a tuple for each pair."""
    keys = [key for pairs in records for key, _ in pairs]
    return zip(keys, repeat(1))


def looked_up(line: str, ctx: Any) -> list[Pair]:
    """A line is the number of a record in the side data."""
    ctx.count("bytes", ctx.location.length)
    return ctx.side["records"][int(line)]


@blocks
def block_looked_up(lines: list[str], ctx: Any) -> list[Pair]:
    ctx.count("lines", len(lines))
    return [pair for line in lines for pair in ctx.side["records"][int(line)]]


class Prepared:
    """An object that must be set up before it is called, and must not be used afterwards."""

    def setup(self, ctx: Any) -> None:
        self.ctx = ctx

    def __call__(self, pairs: list[Pair]) -> list[Pair]:
        self.ctx.count("records")
        return pairs

    def teardown(self) -> None:
        del self.ctx


class Modulo:
    """A partition that gives equal keys one part."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def __call__(self, key: Any) -> int:
        return sum(order_bytes(key)) % self.shards


def by_length(value: Any) -> Any:
    """A sort key of several types, with many ties."""
    return len(value) if hasattr(value, "__len__") else type(value).__name__


MAPS = [Prepared(), each_of, maybe_each_of, generated, block_of, block_list, block_zip]
TEXT_MAPS = [looked_up, block_looked_up]


@dataclass(frozen=True)
class Case:
    """A random job, in words that a failing example can be read by."""

    records: list[list[Pair]]
    functions: Functions
    map: Callable[..., Any]
    shards: int | Literal["auto"] = 1
    split_size: int = 100
    block_size: int = 0
    """0: the records come from memory; else by lines of files."""
    gz: bool = False
    files: int = 1
    json: bool = False
    limit: int | None = None
    partition: str = ""
    ordered: bool = False
    joined: bool = False
    """The same input comes twice, the second time by another map."""

    def job(self, folder: Path) -> Job:
        """The job, with its input in `folder`."""
        source = (
            self._source(folder) if self.block_size else Records(self.records, split_size=self.split_size)
        )
        inputs: Any = [Input(source, self.map), Input(Records(self.records), each_of)]
        return Job(
            name="random",
            source=inputs if self.joined else source,
            map=None if self.joined else self.map,
            reduce=self.functions.reduce,
            combine=self.functions.combine,
            output=folder / "output" if self.json else None,
            shards=self.shards,
            partition=self._partition(),
            order_values=by_length if self.ordered else None,
            side={"records": self.records},
        )

    def _partition(self) -> Any:
        if self.partition == "by function" and type(self.shards) is int:
            return Modulo(self.shards)
        return TotalOrder() if self.partition == "by key" else None

    def _source(self, folder: Path) -> Text:
        lines = [f"{number}\n".encode() for number in range(len(self.records))]
        paths = [folder / f"input-{number}" for number in range(self.files)]
        for number, path in enumerate(paths):
            share = len(lines) // self.files + 1
            data = b"".join(lines[number * share : (number + 1) * share])
            path.write_bytes(gzip.compress(data) if self.gz else data)
        return Text(paths, split_size=self.split_size, block_size=self.block_size)


@st.composite
def cases(draw: Any) -> Case:
    """Any job whose functions hold the contract."""
    json = draw(st.integers(0, 3)) == 3
    functions = draw(st.sampled_from(JSON_FUNCTIONS if json else TYPED_FUNCTIONS))
    keys_pool = draw(st.lists(draw(key_kinds), min_size=1, max_size=6))
    values_kind = draw(functions.kinds)
    if draw(st.integers(0, 3)) == 3:  # types that change on the way
        values_kind |= draw(functions.kinds)
        keys_pool += draw(st.lists(keys, min_size=1, max_size=3))
    pair = st.tuples(st.sampled_from(keys_pool), values_kind)
    if functions.wrap:
        pair = pair.map(lambda item: (item[0], [item[1]]))
    text = draw(st.booleans())
    maps = TEXT_MAPS if text else MAPS
    if not text:
        maps = [*maps, *([reused] if functions.any_values else [])]
        maps += [block_repeat] if functions.name in TAKE_ONE else []
    return Case(
        records=draw(st.lists(st.lists(pair, max_size=5), max_size=12)),
        functions=functions,
        map=draw(st.sampled_from(maps)),
        shards="auto" if draw(st.integers(0, 5)) == 5 else draw(st.integers(1, 5)),
        split_size=draw(st.integers(1, 40)) if text else draw(st.integers(1, 13)),
        block_size=draw(st.integers(1, 50)) if text else 0,
        gz=text and draw(st.booleans()),
        files=draw(st.integers(1, 3)) if text else 1,
        json=json,
        limit=draw(st.none() | st.integers(1, 15)),
        partition=draw(st.sampled_from(["", "", "by key", "by function"])) if functions.reduce else "",
        ordered=bool(functions.reduce) and not functions.combine and draw(st.integers(0, 3)) == 3,
        joined=draw(st.integers(0, 4)) == 4,
    )

"""Histogram and Quantiles: numbers are counted by buckets."""

from __future__ import annotations

import math
import struct
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import Aggregate, Grouping
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.exact import INF, check_numbers
from mapreduce.errors import JobError

if TYPE_CHECKING:
    import polars as pl

_NO_BUCKET = -(2**30)
"""Of rows of states for None; their count is 0."""


class _Bucketed(Aggregate):
    """Counts by buckets. The Python state is a dict from bucket to count; rows are (bucket, count)."""

    @property
    def keeps_values(self) -> bool:
        return False

    def check(self, kinds: set[type]) -> None:
        check_numbers(self.name, "count", kinds)

    @abstractmethod
    def bucket(self, value: Any) -> int:
        """The number of a value's bucket."""

    @abstractmethod
    def buckets(self, layout: str) -> pl.Expr:
        """`bucket` of the column v0 of the layout i, o or f; of null anything."""

    @abstractmethod
    def summary(self, counts: dict[int, int]) -> Any:
        """What counts by buckets, in any order, come to."""

    def empty(self) -> dict[int, int]:
        return {}

    def add(self, state: dict[int, int], value: Any) -> dict[int, int]:
        if value is not None:
            bucket = self.bucket(value)
            state[bucket] = state.get(bucket, 0) + 1
        return state

    def merge(self, state: dict[int, int], other: dict[int, int]) -> dict[int, int]:
        for bucket, count in other.items():
            state[bucket] = state.get(bucket, 0) + count
        return state

    def result(self, state: dict[int, int]) -> Any:
        return self.summary(state)

    def can_tally(self, value: Any) -> bool:
        return type(value) is int

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        buckets = pl.Series("s0", [self.bucket(value)] * len(counts), dtype=pl.Int32)
        return "B", [buckets, pl.Series("s1", counts, dtype=pl.Int64)]

    def single(self, layout: str) -> bool:
        return layout == "P"

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        import polars as pl

        if layout not in ("i", "o", "f", "n"):
            return None
        null = pl.lit(_NO_BUCKET, pl.Int32)
        buckets = pl.when(pl.col("v0").is_not_null()).then(self.buckets(layout)) if layout != "n" else null
        frame = frame.with_columns(s0=buckets.cast(pl.Int32).fill_null(_NO_BUCKET))
        return "B", group.by(frame, pl.col("v0").count().cast(pl.Int64).alias("s1"), also=["s0"])

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        return group.by(frame, pl.col("s1").sum(), also=["s0"])

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        import polars as pl

        merged = group.by(self.merge_rows(frame, group, layout), pl.col("s0", "s1").sort_by("s0"))
        return merged, list(map(self.result, self.to_states(merged, layout)))

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        rows = zip(frame["s0"].to_list(), frame["s1"].to_list(), strict=True)
        return [_counts(*row) if isinstance(row[0], list) else _counts([row[0]], [row[1]]) for row in rows]


def _counts(buckets: list[int], counts: list[int]) -> dict[int, int]:
    return {bucket: count for bucket, count in zip(buckets, counts, strict=True) if count}


# ---------------------------------------------------------------- Histogram


class Histogram(_Bucketed):
    """How many values are below edges[0], from there to below edges[1], …, from the last edge on.

    A list of len(edges) + 1 counts. Edges are finite numbers, strictly ascending. Comparison is
    exact, and NaN is the largest number. None is skipped. Takes bool, int, float.
    """

    def __init__(self, edges: Sequence[float], *, of: Choice = None) -> None:
        self.edges = _valid_edges(edges)
        self.of = valid("Histogram", "of", of)

    def bucket(self, value: Any) -> int:
        return len(self.edges) if value != value else bisect_right(self.edges, value)

    def buckets(self, layout: str) -> pl.Expr:
        import polars as pl

        if layout == "f":
            edges, below, dtype = [_float_from(edge) for edge in self.edges], 0, pl.Float64
        else:
            whole = [math.ceil(edge) for edge in self.edges]
            below = sum(edge < -(2**63) for edge in whole)
            edges, dtype = [edge for edge in whole if -(2**63) <= edge < 2**63], pl.Int64  # type: ignore[assignment]
        bounds = pl.lit(pl.Series(edges, dtype=dtype))
        return bounds.search_sorted(pl.col("v0").cast(dtype), side="right").cast(pl.Int32) + below

    def summary(self, counts: dict[int, int]) -> list[int]:
        return [counts.get(bucket, 0) for bucket in range(len(self.edges) + 1)]


def _valid_edges(edges: Any) -> list[float]:
    hint = "Give finite numbers in ascending order, such as [0, 10, 100]."
    if not isinstance(edges, (list, tuple)) or not edges:
        raise JobError(f"Histogram: edges={edges!r}.", hint=hint)
    for edge in edges:
        if type(edge) not in (int, float) or (type(edge) is float and not math.isfinite(edge)):
            raise JobError(f"Histogram: {edge!r} is no edge.", hint=hint)
    for low, high in pairwise(edges):
        if low >= high:
            raise JobError(f"Histogram: the edge {high!r} follows {low!r}.", hint=hint)
    return list(edges)


def _float_from(edge: float) -> float:
    """The smallest float that is not below an edge."""
    try:
        near = float(edge)
    except OverflowError:
        return INF if edge > 0 else math.nextafter(-INF, 0.0)
    return near if near >= edge else math.nextafter(near, INF)


# ---------------------------------------------------------------- Quantiles

_BITS = 45
_ZERO, _INFINITE, _NAN = 0, (0x7FF << 7) + 1, 2**20


class Quantiles(_Bucketed):
    """A list with the value at each q of `qs`: of n sorted values the one of rank ceil(q * n), at least 1.

    Values are counted in log-linear buckets, 128 to each power of two, and a bucket's middle stands
    for all its values: at most 1/256 (0.4 %) from the exact quantile, below 2.3e-308 at most 2**-1030.
    Zero is exact, ±inf are their own, NaN comes last, and ints count as their nearest floats. The
    counts of buckets are exact however they are merged. Floats; None of no values. None is skipped.

    The buckets are those of HdrHistogram (Tene, 2012) for floats, by their bits as in the log-linear
    mapping of DDSketch (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch
    with relative-error guarantees", VLDB 2019).
    """

    def __init__(self, qs: Sequence[float], *, of: Choice = None) -> None:
        self.qs = _valid_qs(qs)
        # q counts as it is written: 0.1 is a tenth, not the float next to it
        self._ratios = [Fraction(repr(q)).as_integer_ratio() for q in self.qs]
        self.of = valid("Quantiles", "of", of)

    def bucket(self, value: Any) -> int:
        """0 for zero; for a positive number one more than its bits >> 45; the negative of that below."""
        try:
            number = float(value)
        except OverflowError:
            number = INF if value > 0 else -INF
        if number != number or number == 0:
            return _NAN if number else _ZERO
        size: int = (struct.unpack("<Q", struct.pack("<d", abs(number)))[0] >> _BITS) + 1
        return size if number > 0 else -size

    def buckets(self, layout: str) -> pl.Expr:
        import polars as pl

        number = pl.col("v0").cast(pl.Float64)
        bits = number.abs().reinterpret(dtype=pl.UInt64)
        size = (bits // pl.lit(2**_BITS, pl.UInt64)).cast(pl.Int32) + 1
        signed = pl.when(number < 0).then(-size).otherwise(size)
        return pl.when(number.is_nan()).then(_NAN).when(number == 0).then(_ZERO).otherwise(signed)

    def summary(self, counts: dict[int, int]) -> list[float | None]:
        if not counts:
            return [None] * len(self.qs)
        buckets = sorted(counts)
        upto = list(accumulate(map(counts.__getitem__, buckets)))
        ranks = [max(1, -(-upto[-1] * part // whole)) for part, whole in self._ratios]
        return [_middle(buckets[bisect_left(upto, rank)]) for rank in ranks]


def _middle(bucket: int) -> float:
    if bucket == _ZERO:
        return 0.0
    if bucket == _NAN:
        return math.nan
    size = abs(bucket)
    if size == _INFINITE:
        return math.copysign(INF, bucket)
    bits = ((size - 1) << _BITS) + (1 << _BITS - 1)
    number: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return math.copysign(number, bucket)


def _valid_qs(qs: Any) -> list[float]:
    hint = "Give a list of numbers from 0 to 1, such as [0.5, 0.99]."
    if not isinstance(qs, (list, tuple)) or not qs:
        raise JobError(f"Quantiles: qs={qs!r}.", hint=hint)
    for q in qs:
        if type(q) not in (int, float) or not 0 <= q <= 1:
            raise JobError(f"Quantiles: {q!r} is no quantile.", hint=hint)
    return list(qs)

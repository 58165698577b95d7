"""Quantiles."""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.buckets import Bucketed
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.exact import INF
from mapreduce.errors import JobError

if TYPE_CHECKING:
    import polars as pl

_BITS = 45
_ZERO, _INFINITE, _NAN = 0, (0x7FF << 7) + 1, 2**20


class Quantiles(Bucketed):
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

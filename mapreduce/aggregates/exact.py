"""Exact sums of numbers: one at a time, and of float columns.

Every finite float is an integer multiple of 2**-1074, and every square of one of 2**-2148.

Float columns are added as integers in buckets of exponents (after Neal, "Fast exact summation
using small and large superaccumulators", 2015): with buckets of `width` exponents, the value v
with biased exponent e is the integer v * 2**(1075 - width * b) in the bucket b = e // width, and
integers add exactly in any order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.comparing import names
from mapreduce.errors import ValueTypeError

if TYPE_CHECKING:
    import polars as pl

NUMBERS = frozenset({bool, int, float})
INT_BUCKET, PLUS, MINUS, NAN = -1, 3001, 3002, 3003
SCALE = 1074
INF = float("inf")


def check_numbers(name: str, does: str, kinds: set[type]) -> None:
    """Raise ValueTypeError for what is no number and not None."""
    wrong = kinds - NUMBERS - {type(None)}
    if wrong:
        raise ValueTypeError(
            f"{name} can't {does} a value of type {names(wrong)}.", hint="Give int, float, bool or None."
        )


# ---------------------------------------------------------------- one at a time


def no_numbers() -> list[Any]:
    """The state: ints, floats * 2**1074 (None: no float), and how many +inf, -inf, NaN."""
    return [0, None, 0, 0, 0]


def scaled(value: float) -> int:
    """A finite float * 2**1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (SCALE + 1 - denominator.bit_length())


def add_number(state: list[Any], value: Any) -> list[Any]:
    """Change the state by a bool, int or float."""
    if type(value) is not float:
        state[0] += value
        return state
    state[1] = state[1] or 0
    if value != value:
        state[4] += 1
    elif value in (INF, -INF):
        state[2 if value > 0 else 3] += 1
    else:
        state[1] += scaled(value)
    return state


def merge_numbers(state: list[Any], other: list[Any]) -> list[Any]:
    """The state of both."""
    floats = None if state[1] is None and other[1] is None else (state[1] or 0) + (other[1] or 0)
    return [state[0] + other[0], floats, *(a + b for a, b in zip(state[2:], other[2:], strict=True))]


def wild(state: list[Any]) -> float | None:
    """The sum if an infinity or NaN decides it."""
    _, _, plus, minus, nan = state
    if nan or (plus and minus):
        return float("nan")
    if plus or minus:
        return INF if plus else -INF
    return None


def total(state: list[Any]) -> int | float:
    """The sum: an int of ints, else the float nearest to the exact sum."""
    if state[1] is None:
        return int(state[0])
    found = wild(state)
    return quotient(state[1] + (state[0] << SCALE), 1 << SCALE) if found is None else found


def mean(state: list[Any], number: int) -> float | None:
    """The float nearest to the exact mean; None of no numbers."""
    if not number:
        return None
    found = wild(state)
    if found is not None:
        return found
    if state[1] is None:
        return quotient(int(state[0]), number)
    return quotient(state[1] + (state[0] << SCALE), number << SCALE)


def quotient(numerator: int, denominator: int) -> float:
    """Of integers, correctly rounded; beyond all floats an infinity."""
    try:
        return numerator / denominator
    except OverflowError:
        return INF if numerator > 0 else -INF


def root(numerator: int, denominator: int) -> float:
    """The square root of a quotient of integers from 0, correctly rounded; beyond all floats an infinity.

    The integer root has at least 60 bits, and its last one says whether anything was cut off, so
    that rounding it to a float rounds the exact root.
    """
    shift = max(0, 120 - numerator.bit_length() + denominator.bit_length()) + 1 & ~1
    whole, rest = divmod(numerator << shift, denominator)
    found = math.isqrt(whole)
    inexact = rest > 0 or found * found < whole
    return quotient(2 * found + inexact, 2 << shift // 2)


# ---------------------------------------------------------------- columns of floats


def split_floats(frame: pl.DataFrame, width: int) -> pl.DataFrame:
    """For the float column v0: `bucket` (nulls INT_BUCKET), `special`, `neg`, the significand `m`, an
    integer below 2**53 (0 for null and special values), and `power`, its factor in the bucket as Float64.
    """
    import polars as pl

    def u64(number: int) -> pl.Expr:
        return pl.lit(number, dtype=pl.UInt64)

    bits, fraction = pl.col("bits"), pl.col("bits") % u64(2**52)
    frame = frame.with_columns(bits=pl.col("v0").reinterpret(dtype=pl.UInt64))
    frame = frame.with_columns(e=(bits // u64(2**52)) % u64(2**11), m=fraction, neg=bits >= u64(2**63))
    special, null = pl.col("e") == 2047, pl.col("v0").is_null()
    x = pl.max_horizontal(pl.col("e"), u64(1))
    infinite = pl.when(pl.col("neg")).then(MINUS).otherwise(PLUS)
    wilds = pl.when(pl.col("m") == 0).then(infinite).otherwise(NAN)
    implicit = pl.when(pl.col("e") > 0).then(pl.col("m") + u64(2**52)).otherwise(pl.col("m"))
    return frame.with_columns(
        bucket=pl.when(null).then(INT_BUCKET).when(special).then(wilds).otherwise(x // width).cast(pl.Int16),
        special=special & ~null,
        m=pl.when(null | special).then(u64(0)).otherwise(implicit),
        power=((x % width + 1023) * u64(2**52)).reinterpret(dtype=pl.Float64),
    ).drop("bits", "e")


def bucketed(frame: pl.DataFrame, width: int = 32) -> pl.DataFrame:
    """The float column v0 as a bucket s0 and an integer s1: for specials their number."""
    import polars as pl

    frame = split_floats(frame, width)
    size = pl.col("m").cast(pl.Int128) * pl.col("power").cast(pl.Int128)
    signed = pl.when(pl.col("neg")).then(pl.lit(0, pl.Int128) - size).otherwise(size)
    null, zero = pl.col("v0").is_null(), pl.lit(0, pl.Int128)
    part = pl.when(null).then(zero).when(pl.col("special")).then(pl.lit(1, pl.Int128)).otherwise(signed)
    return frame.with_columns(s0=pl.col("bucket"), s1=part)


def bucket_state(bucket: int, part: int, width: int = 32) -> list[Any]:
    """The state of one bucket."""
    return add_buckets([bucket], [part], width)


def add_buckets(buckets: list[int], parts: list[int], width: int = 32) -> list[Any]:
    """The state of several buckets."""
    ints, floats, wilds = 0, None, [0, 0, 0]
    for bucket, part in zip(buckets, parts, strict=True):
        if bucket == INT_BUCKET:
            ints += part
            continue
        floats = floats or 0
        if bucket >= PLUS:
            wilds[bucket - PLUS] += part
        else:
            floats += part << width * bucket >> 1
    return [ints, floats, *wilds]

"""Sums of squares, exact, in columns: a number is cut in two halves, so that products fit.

With v = h * 2**c + l, v² is h² * 2**(2c) + hl * 2**(c+1) + l², and the three sums are kept apart.
An int is cut at c = 32, the significand of a float at 27; floats are in buckets of 16 exponents, as
`exact` has them, so that the largest product is below 2**84 and 2**43 of them can be added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapreduce.aggregates.exact import INT_BUCKET, PLUS, split_floats

if TYPE_CHECKING:
    import polars as pl

WIDTH = 16


def int_parts(frame: pl.DataFrame) -> pl.DataFrame:
    """The column v0 of ints or bools as s1 (values) and s2, s3, s4 (h², hl, l²); s0 is 0."""
    import polars as pl

    value = pl.col("v0").cast(pl.Int64)
    frame = frame.with_columns(h=value // 2**32, s0=pl.lit(0, pl.Int16), s1=value.cast(pl.Int128))
    frame = frame.with_columns(l=value - pl.col("h") * 2**32)
    high, low = pl.col("h").cast(pl.Int128), pl.col("l").cast(pl.Int128)
    return frame.with_columns(s2=high * high, s3=high * low, s4=low * low).drop("h", "l")


def int_squares(high: int, middle: int, low: int) -> int:
    """The sum of the squares of ints."""
    return (high << 64) + (middle << 33) + low


def float_parts(frame: pl.DataFrame) -> pl.DataFrame:
    """The float column v0 as bucket s0, s1 (values; of specials their number) and s2, s3, s4."""
    import polars as pl

    frame = split_floats(frame, WIDTH)
    cut = pl.lit(2**27, pl.UInt64)
    power = pl.col("power").cast(pl.Int128)
    frame = frame.with_columns(h=pl.col("m") // cut, l=pl.col("m") % cut, q=power * power, p=power)
    size = pl.col("m").cast(pl.Int128) * pl.col("p")
    signed = pl.when(pl.col("neg")).then(pl.lit(0, pl.Int128) - size).otherwise(size)
    h, l = pl.col("h"), pl.col("l")  # noqa: E741 - as the formula has it
    return frame.with_columns(
        s0=pl.col("bucket"),
        s1=pl.when(pl.col("special")).then(pl.lit(1, pl.Int128)).otherwise(signed),
        s2=(h * h).cast(pl.Int128) * pl.col("q"),
        s3=(h * l).cast(pl.Int128) * pl.col("q"),
        s4=(l * l).cast(pl.Int128) * pl.col("q"),
    )


def bucket_squares(bucket: int, high: int, middle: int, low: int) -> int:
    """The sum of the squares of a bucket's floats * 2**2148."""
    if bucket == INT_BUCKET or bucket >= PLUS:
        return 0
    return ((high << 54) + (middle << 28) + low) << 2 * WIDTH * bucket >> 2

"""The place of every key of a frame: `keys.hash_key` for whole columns."""

from __future__ import annotations

import polars as pl
import polars_hash as plh

from mapreduce.codec import load_value
from mapreduce.keys import MIX_1, MIX_2, TUPLE_FACTOR, hash_key

_NAN_BITS = 0x7FF8000000000000
_TWO_63 = 2.0**63


def places(frame: pl.DataFrame, layout: str) -> pl.Series:
    """64-bit places of the keys, in row order."""
    if layout == "*":
        found = [hash_key(load_value(key)) for key in frame["ko"].to_list()]
        return pl.Series("place", found, dtype=pl.UInt64)
    if not layout.startswith("("):
        return _hash(frame, "k0", layout)["h"].alias("place")
    codes = layout[1:-1]
    mixed = pl.DataFrame({"place": pl.repeat(len(codes), frame.height, dtype=pl.UInt64, eager=True)})
    for index, code in enumerate(codes):
        element = _hash(frame, f"k{index}", code)["h"]
        # One step at a time: nested into a single expression this costs ten times as much.
        mixed = mixed.with_columns(place=pl.col("place") * _u64(TUPLE_FACTOR), h=element)
        mixed = mixed.with_columns(h=pl.col("place") + pl.col("h"))
        mixed = _mix(mixed).select(place="h")
    return mixed["place"]


def _u64(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.UInt64)


def _hash(frame: pl.DataFrame, name: str, code: str) -> pl.DataFrame:
    """A frame with the column h: the hash of one native column; None is 0."""
    if code in "sb":
        return frame.select(h=plh.col(name).nchash.xxhash64().fill_null(0))
    if code == "f":
        return _hash_floats(frame, name)
    if code == "n":
        return frame.select(h=pl.repeat(0, frame.height, dtype=pl.UInt64))
    column = pl.col(name).cast(pl.Int32).cast(pl.Int64) if code == "d" else pl.col(name).cast(pl.Int64)
    mixed = _mix(frame.select(h=column.reinterpret(signed=False)))
    return mixed.with_columns(pl.col("h").fill_null(0))


def _hash_floats(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    value = pl.col(name)
    whole = (value == value.floor()) & (value >= -_TWO_63) & (value < _TWO_63)
    as_int = value.cast(pl.Int64, strict=False).reinterpret(signed=False)
    bits = pl.when(value.is_nan()).then(_u64(_NAN_BITS)).otherwise(value.reinterpret(dtype=pl.UInt64))
    mixed = _mix(frame.select(h=pl.when(whole).then(as_int).otherwise(bits)))
    return mixed.with_columns(pl.col("h").fill_null(0))


def _mix(frame: pl.DataFrame) -> pl.DataFrame:
    """`keys.mix` of the column h; multiplication wraps, and a division by 2**n shifts."""
    h = pl.col("h")
    frame = frame.with_columns(h=h ^ (h // _u64(2**30)))
    frame = frame.with_columns(h=h * _u64(MIX_1))
    frame = frame.with_columns(h=h ^ (h // _u64(2**27)))
    frame = frame.with_columns(h=h * _u64(MIX_2))
    return frame.with_columns(h=h ^ (h // _u64(2**31)))

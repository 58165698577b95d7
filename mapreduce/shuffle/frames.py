"""Frames of the user's functions, to pairs and records, and from groups.

A struct column stands for a tuple. Columns of the types that `columns` keeps natively are taken
as they are, wider ones are narrowed to them, and all others become Python objects first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from mapreduce.codec import MutableValues, dump_values
from mapreduce.errors import PairError, ValueTypeError
from mapreduce.protocols import RecordWriter
from mapreduce.shuffle.columns import Pairs, key_columns, nulls, packed_series, value_columns
from mapreduce.shuffle.groups import batches

_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)
_NATIVE: list[tuple[tuple[Any, ...], str, Any]] = [
    (_INTEGERS, "i", pl.Int64),
    ((pl.Float32, pl.Float64), "f", pl.Float64),
    ((pl.String, pl.Categorical, pl.Enum), "s", pl.String),
    ((pl.Binary,), "b", pl.Binary),
    ((pl.Boolean,), "o", pl.Boolean),
    ((pl.Null,), "n", pl.Null),
]
_NEGATIVE_ZERO = 2**63
_HINT = "A @frames map gives a DataFrame with the columns key and value, or None for nothing."


SAMPLE = 2**12
"""Rows that say whether most keys are different."""
REDUCE_HINT = "A @frames reduce gives a DataFrame, or None for nothing."


def as_frame(given: Any, hint: str = _HINT) -> pl.DataFrame | None:
    """What a function gave, as a DataFrame. Raises PairError with the hint."""
    if isinstance(given, pl.LazyFrame):
        return given.collect()
    if given is None or isinstance(given, pl.DataFrame):
        return given
    raise PairError(f"it gave a {type(given).__qualname__} where a DataFrame belongs.", hint=hint)


def frame_pairs(frame: pl.DataFrame) -> Pairs:
    """The rows of a frame as pairs.

    Raises PairError for other columns than `key` and `value`, KeyTypeError, ValueTypeError.
    """
    if set(frame.columns) != {"key", "value"}:
        columns = ", ".join(frame.columns) or "none"
        raise PairError(f"it gave a frame with the columns {columns}.", hint=_HINT)
    keys, key_series = _columns(frame["key"], "k") or key_columns(_objects(frame["key"]))
    values, value_series = _columns(frame["value"], "v") or _values(_objects(frame["value"]))
    return Pairs(pl.DataFrame([*key_series, *value_series]), keys, values)


def frame_records(frame: pl.DataFrame) -> Iterator[Any]:
    """The rows of a frame as records: pairs if its columns are `key` and `value`, else dicts."""
    if set(frame.columns) == {"key", "value"}:
        return zip(_objects(frame["key"]), _objects(frame["value"]), strict=True)
    columns = [_objects(series) for series in frame]
    return (dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True))


def write_rows(writer: RecordWriter, frame: pl.DataFrame) -> None:
    """Write the rows of a frame as records."""
    if not writer.write_frame(frame):
        writer.write(frame_records(frame))


def pairs_frame(keys: Pairs, values: pl.Series) -> pl.DataFrame | None:
    """Keys, and a column of integers, as a frame with `key` and `value`, a tuple as a struct; None for
    keys that are no integers, text or bool.
    """
    if not set(keys.keys) <= set("(iso)"):
        return None
    small = values.cast(pl.Int64, strict=False)
    key = _struct([pl.col(name) for name in keys.grouping.columns], keys.keys).alias("key")
    return keys.frame.select(key).with_columns((values if small.null_count() else small).alias("value"))


def _columns(series: pl.Series, prefix: str) -> tuple[str, list[pl.Series]] | None:
    """Flat native columns, as `columns` has them; None if there are none that fit."""
    if series.dtype != pl.Struct:
        single = _native(series.alias(f"{prefix}0"), prefix)
        return (single[0], [single[1]]) if single else None
    fields = series.struct.fields
    if series.null_count() or not fields:
        return None
    built = [
        _native(series.struct.field(name).alias(f"{prefix}{i}"), prefix) for i, name in enumerate(fields)
    ]
    found = [item for item in built if item]
    if len(found) < len(built):
        return None
    return "(" + "".join(code for code, _ in found) + ")", [column for _, column in found]


def _native(series: pl.Series, prefix: str) -> tuple[str, pl.Series] | None:
    for kinds, code, dtype in _NATIVE:
        if series.dtype in kinds:
            return _checked(code, series.cast(dtype), prefix)
    if prefix == "k" and series.dtype == pl.Date:
        return "d", series
    if prefix == "k" and isinstance(series.dtype, pl.Datetime):
        clock = series.cast(pl.Datetime("us", series.dtype.time_zone))
        if series.dtype.time_zone is None:
            return "t", clock
        return "u", clock.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return None


def _checked(code: str, series: pl.Series, prefix: str) -> tuple[str, pl.Series] | None:
    """No layout for a float key -0.0, which comes back as it was, nor for a column of only None."""
    if series.null_count() == len(series):
        return "n", nulls(series.name, len(series))
    if code == "f" and prefix == "k" and (series.reinterpret(dtype=pl.UInt64) == _NEGATIVE_ZERO).any():
        return None
    return code, series


def _objects(series: pl.Series) -> list[Any]:
    objects = series.to_list()
    return list(map(_plain, objects)) if series.dtype.is_nested() else objects


def _plain(value: Any) -> Any:
    if type(value) is dict:
        return tuple(map(_plain, value.values()))
    return list(map(_plain, value)) if type(value) is list else value


def _values(objects: list[Any]) -> tuple[str, list[pl.Series]]:
    try:
        return value_columns(objects)
    except MutableValues:
        return "*", [packed_series(dump_values(objects))]


# ---------------------------------------------------------------- for a reduce


def group_frames(pairs: Pairs, key_names: Sequence[str] | None) -> Iterator[tuple[pl.DataFrame, int]]:
    """Frames of whole groups in key order, with the number of groups: `key`, and the list `values`.

    Tuples are structs, with the fields `key_names`, or "0", "1", …. Raises ValueTypeError for keys or
    values that have no one type.
    """
    if not len(pairs):
        return
    for what, layout in (("keys", pairs.keys), ("values", pairs.values)):
        if layout == "*":
            raise ValueTypeError(
                f"A @frames reduce needs {what} of one type each; these are mixed or no scalars.",
                hint="Let the map give one type, or reduce by a function (key, values).",
            )
    width = len(pairs.keys) - 2 if pairs.keys.startswith("(") else 1
    names = list(key_names) if key_names and len(key_names) == width else [str(i) for i in range(width)]
    value = _struct([pl.col(c).alias(c[1:]) for c in pairs.value_columns], pairs.values).alias("values")
    grouping = pairs.grouping
    sample = pairs.frame.head(SAMPLE).select(grouping.columns)
    many = 2 * sample.n_unique() > len(sample)  # then it costs less to bring equal keys together first
    rows = grouping.in_order(pairs.frame) if many else pairs.frame
    frame = grouping.by(rows.with_columns(value), pl.col("values"), pl.len().alias("rows"))
    frame = frame if many else grouping.in_order(frame)
    clock = [c for c, code in zip(grouping.columns, pairs.keys.strip("()"), strict=True) if code == "u"]
    frame = frame.with_columns(pl.col(c).dt.replace_time_zone("UTC") for c in clock)
    key = _struct(
        [pl.col(c).alias(n) for c, n in zip(grouping.columns, names, strict=True)], pairs.keys
    ).alias("key")
    for start, stop in batches(frame["rows"].to_list()):
        yield frame.slice(start, stop - start).select(key, "values"), stop - start


def _struct(columns: list[pl.Expr], layout: str) -> pl.Expr:
    return pl.struct(columns) if layout.startswith("(") else columns[0]

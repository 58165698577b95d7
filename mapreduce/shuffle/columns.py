"""Pairs as columns: Python objects to a polars DataFrame and back, without losing a type.

A *layout* says how a column of Python objects is stored:

    i int64   f float64   s str   b bytes   o bool   d date   t naive datetime   u aware datetime
    n only None   (…) tuples of one length, a column an element   * anything else

The small letters may have None among the values. Key columns are k0, k1, …; a key of layout `*`
is k0, its `order_bytes`, and ko, the packed original. Value columns are v0, v1, …; a value of
layout `*` is v0, packed; an element of a tuple may be packed too, as in `(i*)`. `f` in a key has
no -0.0, which equals 0.0 and comes back as it was.

A column is native only if all its objects are of one exact type: polars would turn [1, True]
into [1, 1] and [1.5, 2] into [1.5, 2.0].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from mapreduce.aggregates import Grouping
from mapreduce.codec import dump_values, load_value
from mapreduce.keys import SCALARS, normal_datetime, normal_key, order_bytes, refuse

_NATIVE: dict[type, tuple[str, Any]] = {
    int: ("i", pl.Int64),
    float: ("f", pl.Float64),
    str: ("s", pl.String),
    bytes: ("b", pl.Binary),
    bool: ("o", pl.Boolean),
    date: ("d", pl.Date),
}
_CLOCKS = {"t": pl.Datetime("us"), "u": pl.Datetime("us")}
DTYPES = dict(_NATIVE.values()) | _CLOCKS | {"n": pl.Null}
_NEGATIVE_ZERO = 2**63
_NONE = type(None)


@dataclass(frozen=True)
class Pairs:
    """Rows of pairs, or of keys and states, in input order."""

    frame: pl.DataFrame
    keys: str
    """Layout of the keys."""
    values: str
    """Layout of the values, or of an aggregate's states."""

    def __len__(self) -> int:
        return self.frame.height

    @property
    def size(self) -> int:
        """Bytes of the columns, about. polars does not count the 16 bytes that a text has beside it."""
        return int(self.frame.estimated_size()) + 16 * sum(map(_texts, self.frame))

    @property
    def grouping(self) -> Grouping:
        """The columns that decide which keys are equal."""
        return grouping(self.keys)

    @property
    def value_columns(self) -> list[str]:
        """Names of all columns that are not the key's."""
        return [name for name in self.frame.columns if not name.startswith("k")]


def _texts(series: pl.Series) -> int:
    """How many texts a column has."""
    if series.dtype in (pl.String, pl.Binary):
        return len(series)
    if series.dtype in (pl.List(pl.String), pl.List(pl.Binary)):
        return int(series.list.len().sum() or 0)
    return 0


def grouping(layout: str) -> Grouping:
    """The columns of a key layout."""
    width = len(layout) - 2 if layout.startswith("(") else 1
    return Grouping(tuple(f"k{i}" for i in range(width)), "ko" if layout == "*" else None)


# ---------------------------------------------------------------- from Python


def key_columns(keys: Sequence[Any]) -> tuple[str, list[pl.Series]]:
    """Keys as columns. Raises KeyTypeError for a key that can't be one."""
    layout, columns = _native(keys, "k", _key_series)
    if layout:
        return layout, columns
    packed = dump_values([normal_key(key) for key in keys])
    ordered = list(map(order_bytes, keys))
    return "*", [pl.Series("k0", ordered, dtype=pl.Binary), pl.Series("ko", packed, dtype=pl.Binary)]


def value_columns(values: Sequence[Any], *, frozen: bool = True) -> tuple[str, list[pl.Series]]:
    """Values as columns.

    Raises ValueTypeError for a value that would not come back as it is, and with `frozen`
    MutableValues for values that their function may have changed since it gave them.
    """
    layout, columns = _native(values, "v", _value_series)
    if layout:
        return layout, columns
    return "*", [packed_series(dump_values(list(values), frozen=frozen))]


def input_columns(columns: Sequence[list[Any]], *, wide: bool, frozen: bool) -> tuple[str, list[pl.Series]]:
    """What an aggregate took of values, as columns: with `wide` those of tuples, else of values.

    Raises ValueTypeError, and with `frozen` MutableValues, as `value_columns` does.
    """
    if not wide:
        return value_columns(columns[0], frozen=frozen)
    built = [_input_series(f"v{index}", column, frozen) for index, column in enumerate(columns)]
    return "(" + "".join(code for code, _ in built) + ")", [series for _, series in built]


def _input_series(name: str, column: list[Any], frozen: bool) -> tuple[str, pl.Series]:
    built = _value_series(name, column)
    return built or ("*", pl.Series(name, dump_values(column, frozen=frozen), dtype=pl.Binary))


def packed_series(packed: Sequence[bytes]) -> pl.Series:
    """Values that were packed one by one, as the column of layout `*`."""
    return pl.Series("v0", packed, dtype=pl.Binary)


def nulls(name: str, length: int) -> pl.Series:
    """A column of layout `n`."""
    return pl.Series(name, [None], dtype=pl.Null).new_from_index(0, length)


Build = Callable[[str, Sequence[Any]], "tuple[str, pl.Series] | None"]


def _native(objects: Sequence[Any], prefix: str, build: Build) -> tuple[str, list[pl.Series]]:
    """Flat native columns, or the layout "" if there are none that fit."""
    if objects and type(objects[0]) is tuple and set(map(type, objects)) == {tuple}:
        widths = set(map(len, objects))
        if len(widths) != 1 or widths == {0}:
            return "", []
        built = [build(f"{prefix}{i}", column) for i, column in enumerate(zip(*objects, strict=True))]
        if not all(built):
            return "", []
        found = [item for item in built if item]
        return "(" + "".join(code for code, _ in found) + ")", [series for _, series in found]
    single = build(f"{prefix}0", objects)
    return (single[0], [single[1]]) if single else ("", [])


def _one_type(objects: Iterable[Any]) -> type | None:
    """The exact type of all objects that are not None; NoneType if all are; None if they differ."""
    kinds = set(map(type, objects))
    if len(kinds) == 1:
        return kinds.pop()
    kinds.discard(_NONE)
    return kinds.pop() if len(kinds) == 1 else None


def _series(name: str, objects: Sequence[Any], kind: type) -> tuple[str, pl.Series] | None:
    code, dtype = _NATIVE[kind]
    try:
        return code, pl.Series(name, objects, dtype=dtype)
    except UnicodeEncodeError:  # a lone surrogate
        return None
    except (TypeError, OverflowError):
        if kind is int:  # beyond int64
            return None
        raise


def _value_series(name: str, objects: Sequence[Any]) -> tuple[str, pl.Series] | None:
    kind = _one_type(objects)
    if kind is _NONE:
        return "n", pl.Series(name, objects, dtype=pl.Null)
    return _series(name, objects, kind) if kind in _NATIVE and kind is not date else None


def _key_series(name: str, objects: Sequence[Any]) -> tuple[str, pl.Series] | None:
    kind = _one_type(objects)
    if kind is datetime:
        return _clock_series(name, objects)
    if kind is _NONE:
        return "n", pl.Series(name, objects, dtype=pl.Null)
    if kind not in _NATIVE:
        if kind is not None and kind is not tuple and kind not in SCALARS:
            raise refuse(next(key for key in objects if type(key) is kind))
        return None
    built = _series(name, objects, kind)
    if built and kind is float and (built[1].reinterpret(dtype=pl.UInt64) == _NEGATIVE_ZERO).any():
        return None
    return built


def _clock_series(name: str, objects: Sequence[Any]) -> tuple[str, pl.Series] | None:
    normal = [None if value is None else normal_datetime(value) for value in objects]
    aware = {value.tzinfo is not None for value in normal if value is not None}
    if len(aware) > 1:
        return None
    naive = [None if value is None else value.replace(tzinfo=None) for value in normal]
    return "u" if aware == {True} else "t", pl.Series(name, naive, dtype=pl.Datetime("us"))


# ---------------------------------------------------------------- to Python


def python_keys(frame: pl.DataFrame, layout: str) -> list[Any]:
    """The key column as Python objects."""
    if layout == "*":
        return list(map(load_value, frame["ko"].to_list()))
    return _objects(frame, layout, "k")


def python_values(frame: pl.DataFrame, layout: str) -> list[Any]:
    """The value column as Python objects."""
    if layout == "*":
        return list(map(load_value, frame["v0"].to_list()))
    return _objects(frame, layout, "v")


def _objects(frame: pl.DataFrame, layout: str, prefix: str) -> list[Any]:
    if layout.startswith("("):
        columns = [_to_list(frame[f"{prefix}{i}"], code) for i, code in enumerate(layout[1:-1])]
        return list(zip(*columns, strict=True))
    return _to_list(frame[f"{prefix}0"], layout)


def _to_list(series: pl.Series, code: str) -> list[Any]:
    objects = series.to_list()
    if code == "*":
        return list(map(load_value, objects))
    if code != "u":
        return objects
    return [value and value.replace(tzinfo=UTC) for value in objects]


# ---------------------------------------------------------------- together


def concat(parts: Sequence[Pairs], layouts: Iterable[str] = ()) -> Pairs:
    """One after another. Parts whose layouts differ become general, so that they could hold pairs of
    `layouts` (of keys and of values, with a bar between) too.
    """
    others = [layout.split("|") for layout in layouts]
    keys = _common_keys({part.keys for part in parts} | {keys for keys, _ in others})
    values = common_values({part.values for part in parts} | {values for _, values in others})
    frames = [_as_values(_as_keys(part.frame, part.keys, keys), part.values, values) for part in parts]
    columns = frames[0].columns
    return Pairs(pl.concat([frame.select(columns) for frame in frames]), keys, values)


def concat_keys(parts: Sequence[Pairs]) -> list[Pairs]:
    """The same parts with one key layout."""
    keys = _common_keys({part.keys for part in parts})
    return [Pairs(_as_keys(part.frame, part.keys, keys), keys, part.values) for part in parts]


def _common(layouts: set[str]) -> str:
    """The layout that can hold them all: None goes with every scalar."""
    if len(layouts) == 1:
        return next(iter(layouts))
    others = layouts - {"n"}
    if len(others) == 1 and next(iter(others)) in DTYPES:
        return others.pop()
    return "*"


def common_values(layouts: set[str]) -> str:
    """The layout of values that can hold them all: tuples of one length stay columns."""
    if len(layouts) > 1 and all(layout.startswith("(") for layout in layouts):
        elements = [layout[1:-1] for layout in layouts]
        if len(set(map(len, elements))) == 1:
            return "(" + "".join(_common(set(codes)) for codes in zip(*elements, strict=True)) + ")"
    return _common(layouts)


def _common_keys(layouts: set[str]) -> str:
    """The layout of keys that can hold them all: tuples of one length stay columns of scalars."""
    layout = common_values(layouts)
    return "*" if "*" in layout else layout


def _as_keys(frame: pl.DataFrame, layout: str, wanted: str) -> pl.DataFrame:
    if layout == wanted:
        return frame
    if layout == "n" and wanted in DTYPES:
        return frame.with_columns(pl.col("k0").cast(DTYPES[wanted]))
    if layout.startswith("(") and wanted.startswith("("):
        return frame.with_columns(
            pl.col(f"k{index}").cast(DTYPES[code]) for index, code in enumerate(wanted[1:-1])
        )
    keys = python_keys(frame, layout)
    rest = frame.drop([name for name in frame.columns if name.startswith("k")])
    ordered = pl.Series("k0", list(map(order_bytes, keys)), dtype=pl.Binary)
    return rest.with_columns(ordered, pl.Series("ko", dump_values(keys), dtype=pl.Binary))


def _as_values(frame: pl.DataFrame, layout: str, wanted: str) -> pl.DataFrame:
    if layout == wanted:
        return frame
    if layout == "n" and wanted in DTYPES:
        return frame.with_columns(pl.col("v0").cast(DTYPES[wanted]))
    if layout.startswith("(") and wanted.startswith("("):
        return frame.with_columns(
            _converted(frame[f"v{index}"], *codes)
            for index, codes in enumerate(zip(layout[1:-1], wanted[1:-1], strict=True))
        )
    packed = dump_values(python_values(frame, layout))
    rest = frame.drop([name for name in frame.columns if name.startswith("v")])
    return rest.with_columns(pl.Series("v0", packed, dtype=pl.Binary))


def _converted(series: pl.Series, code: str, wanted: str) -> pl.Series:
    if code == wanted:
        return series
    if wanted == "*":
        return pl.Series(series.name, dump_values(_to_list(series, code)), dtype=pl.Binary)
    return series.cast(DTYPES[wanted])

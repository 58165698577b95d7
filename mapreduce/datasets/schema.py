"""Types that a user gives for columns: `schema={"path": str, "bytes": int}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from mapreduce.errors import JobError

_NAMES = "str, int, float, bool, date, datetime, or a polars type"


def checked_schema(schema: Any, owner: str) -> dict[str, Any] | None:
    """A copy of a schema. polars types are looked at when frames are made. Raises JobError."""
    if schema is None:
        return None
    if not isinstance(schema, Mapping) or not schema or not all(isinstance(name, str) for name in schema):
        raise JobError(
            f"{owner}: schema is no dict of columns: {schema!r}.", hint='Write {"path": str, "bytes": int}.'
        )
    for name, kind in schema.items():
        module = getattr(kind, "__module__", "") or ""
        ours = kind in (str, int, float, bool, date, datetime)
        if not ours and not (module + "." + type(kind).__module__).count("polars"):
            raise JobError(f"{owner}: the column {name!r} has the type {kind!r}.", hint=f"Give {_NAMES}.")
    return dict(schema)


def polars_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The columns with polars' types."""
    import polars as pl

    types = {
        str: pl.String,
        int: pl.Int64,
        float: pl.Float64,
        bool: pl.Boolean,
        date: pl.Date,
        datetime: pl.Datetime("us"),
    }
    return {name: types.get(kind, kind) for name, kind in schema.items()}


def demanded_schema(schema: dict[str, Any] | None, owner: str) -> dict[str, Any]:
    """The schema that frames need, with polars' types. Raises JobError if there is none."""
    if schema is None:
        raise JobError(
            f"{owner}: frames need schema=, because what a column holds would depend on where files are cut.",
            hint=f'Give schema={{"name": type}}, where a type is {_NAMES}.',
        )
    return polars_schema(schema)


class Misfit(Exception):
    """A value that its column can't hold: which row, which column, and why."""

    def __init__(self, row: int, column: str, value: object, kind: object) -> None:
        super().__init__(f"the column {column!r} is {kind}, and can't hold {repr(value)[:200]}")
        self.row = row


def column(name: str, values: Sequence[Any], kind: Any) -> Any:
    """Values as a polars Series of a type, None as null; no value becomes another. Raises Misfit."""
    import polars as pl

    base = kind.base_type() if hasattr(kind, "base_type") else kind
    convert = _CONVERSIONS.get(str(base), _as_it_is)
    converted: list[Any] = []
    for row, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except (ValueError, TypeError):
            raise Misfit(row, name, value, kind) from None
    try:
        return pl.Series(name, converted, dtype=kind, strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        raise _misfit(name, values, converted, kind) from None


def _misfit(name: str, values: Sequence[Any], converted: list[Any], kind: Any) -> Misfit:
    import polars as pl

    for row, value in enumerate(converted):
        try:
            pl.Series(name, [value], dtype=kind, strict=True)
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
            return Misfit(row, name, values[row], kind)
    return Misfit(0, name, values[0] if values else None, kind)


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError
        return value

    return convert


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _date(value: Any) -> date:
    return value if type(value) is date else date.fromisoformat(value)


def _datetime(value: Any) -> datetime:
    return value if type(value) is datetime else datetime.fromisoformat(value)


def _as_it_is(value: Any) -> Any:
    return value


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "String": _exactly(str),
    "Boolean": _exactly(bool),
    "Float64": _float,
    "Float32": _float,
    "Date": _date,
    "Datetime": _datetime,
    **dict.fromkeys(
        ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"), _exactly(int)
    ),
}

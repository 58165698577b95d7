"""Records as rows of a table: which columns they need, and what stands in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from mapreduce.datasets.jsontext import field_text
from mapreduce.errors import JobError, RecordError, SinkRefused

RUN = "run_id"
"""The column that tells whose row it is."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
NAMES = "Use a letter or _, then up to 62 letters, digits or _."

_KINDS: dict[type, str] = {
    bool: "bool",
    float: "float",
    str: "text",
    bytes: "bytes",
    date: "date",
    time: "time",
}
_LARGEST = 2**63


def row_of(record: Any, key_names: Sequence[str]) -> dict[str, Any]:
    """A record's fields: a dict's own, a pair's key and value, or else the one field `record`.

    A tuple key is a field for each of `key_names`, if it has as many elements.
    """
    if type(record) is tuple and len(record) == 2:
        record = {"key": record[0], "value": record[1]}
    if type(record) is not dict:
        return {"record": record}
    key = record.get("key")
    if type(key) is tuple and len(key) == len(key_names):
        others = {name: value for name, value in record.items() if name != "key"}
        if others.keys().isdisjoint(key_names):
            return dict(zip(key_names, key, strict=True)) | others
    return record


def kinds_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The kinds of all columns, in the order in which they first come.

    Kinds: "null", "bool", "int" (of 64 bits), "large" (other ints), "float", "text", "bytes", "date", "time",
    "datetime", "moment" (with a time zone), and "mixed" for values that only text can hold: nested ones, and
    those of several kinds, but for ints beside floats. Raises SinkRefused for a name that no column can have.
    """
    found: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kind = _kind(value)
            before = found.get(name)
            if before is None:
                _check_name(name, found)
                found[name] = kind
            elif before != kind:
                found[name] = _both(before, kind)
    return found


def _check_name(name: Any, others: Iterable[str]) -> None:
    what = f"The records have a field {repr(name)[:100]}"
    if type(name) is not str or not NAME.match(name):
        raise SinkRefused(f"{what}, which is no name of a column.", hint=f"Rename it in the job. {NAMES}")
    if name.lower() == RUN:
        raise SinkRefused(f"{what}, and so has each row: it tells the run.", hint="Rename it in the job.")
    if name.lower() in {other.lower() for other in others}:
        raise SinkRefused(f"{what}, and another of this name in other letters.", hint="Rename one of them.")


def _kind(value: Any) -> str:
    kind = type(value)
    if kind is int:
        return "int" if -_LARGEST <= value < _LARGEST else "large"
    if kind is datetime:
        return "datetime" if value.tzinfo is None else "moment"
    return "null" if value is None else _KINDS.get(kind, "mixed")


def _both(first: str, second: str) -> str:
    if "null" in (first, second):
        return second if first == "null" else first
    kinds = {first, second}
    if kinds == {"int", "float"}:
        return "float"
    return "large" if kinds == {"int", "large"} else "mixed"


# ---------------------------------------------------------------- what a database's column takes


def type_for(kind: str) -> Any:
    """SQLAlchemy's type of a new column."""
    import sqlalchemy as sa

    types: dict[str, Any] = {
        "bool": sa.Boolean(),
        "int": sa.BigInteger(),
        "float": sa.Double(),
        "bytes": sa.LargeBinary(),
        "date": sa.Date(),
        "time": sa.Time(),
        "datetime": sa.DateTime(),
        "moment": sa.DateTime(timezone=True),
    }
    return types.get(kind, sa.Text())


Conversion = Callable[[Any], Any]


def conversion(kind: str, column: Any, dialect: str) -> Conversion | None:
    """How values of a kind are written into a column of one of SQLAlchemy's types; None if they don't fit."""
    import sqlalchemy as sa

    if isinstance(column, sa.JSON):  # it would be written as text in quotes
        return None
    if isinstance(column, sa.String):
        return _text
    keeps_all = dialect == "postgresql"
    taken: list[tuple[type, dict[str, Conversion]]] = [
        (sa.Boolean, {"bool": _same}),
        (sa.Integer, {"int": _same, "bool": int}),
        (sa.Float, {"int": float, "float": _same if keeps_all else _finite}),
        (sa.Numeric, {"int": Decimal, "large": Decimal, "float": _decimal}),
        (sa.LargeBinary, {"bytes": _same}),
        (sa.DateTime, {"datetime": _same, "moment": _same if _has_zone(column) and keeps_all else _in_utc}),
        (sa.Date, {"date": _same}),
        (sa.Time, {"time": _same}),
    ]
    return next((by.get(kind) for type_, by in taken if isinstance(column, type_)), None) or (
        _same if kind == "null" else None
    )


def _has_zone(column: Any) -> bool:
    return bool(getattr(column, "timezone", False))


def _same(value: Any) -> Any:
    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decimal(value: float) -> Decimal | None:
    return Decimal(repr(value)) if math.isfinite(value) else None


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(tzinfo=None)


def _text(value: Any) -> str:
    """As in a file of lines; NUL and lone surrogates, which databases refuse, as escapes."""
    text = str(value) if type(value) is Decimal else field_text(value)
    text = text.replace("\0", "\\u0000")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def converted(
    rows: Iterable[Mapping[str, Any]], conversions: Mapping[str, Conversion], run_id: str
) -> Iterator[dict[str, Any]]:
    """Rows as the database gets them, all with the same fields. Raises SinkRefused for what has no form."""
    for row in rows:
        ready: dict[str, Any] = {RUN: run_id}
        for name, convert in conversions.items():
            value = row.get(name)
            try:
                ready[name] = None if value is None else convert(value)
            except (RecordError, JobError, OverflowError) as error:
                why = error.message if isinstance(error, (RecordError, JobError)) else f"{error}."
                raise SinkRefused(f"The column {name!r}: {why}", hint="Convert it in the job.") from None
        yield ready

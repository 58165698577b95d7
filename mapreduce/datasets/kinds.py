"""The exact types of values, as the columns of a table have them: one for each column, None aside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

Kind = Any
"""None (only None so far), a type, "aware" (a datetime with a time zone), ListOf or Struct."""

_SIMPLE = frozenset((bool, int, float, str, bytes, date))


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, and what its items are."""

    item: Kind


@dataclass(frozen=True, slots=True)
class Struct:
    """A dict, and what its fields are."""

    fields: tuple[tuple[str, Kind], ...]


class Conflict(Exception):
    """Two kinds that no column holds together."""

    def __init__(self, one: Kind, other: Kind) -> None:
        super().__init__(one, other)
        self.one, self.other = one, other


class Unsupported(Exception):
    """A value that no column holds."""


def kind_of_all(values: Iterable[Any]) -> Kind:
    """The one kind of some values. Raises Conflict, Unsupported."""
    values = list(values)
    types = set(map(type, values)) - {type(None)}
    if not types:
        return None
    if len(types) == 1 and types <= _SIMPLE:
        return types.pop()
    kind: Kind = None
    for value in values:
        if value is not None:
            kind = merged(kind, _kind_of(value))
    return kind


def _kind_of(value: Any) -> Kind:
    kind = type(value)
    if kind in _SIMPLE:
        return kind
    if kind is datetime:
        return datetime if value.tzinfo is None else "aware"
    if kind is list:
        return ListOf(kind_of_all(value))
    if kind is dict and value and all(type(name) is str for name in value):
        return Struct(tuple((name, kind_of_all([item])) for name, item in value.items()))
    raise Unsupported(f"{kind.__qualname__}: {repr(value)[:200]}")


def merged(one: Kind, other: Kind) -> Kind:
    """The kind of a column that holds both; a struct keeps the order of the first. Raises Conflict."""
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, ListOf) and isinstance(other, ListOf):
        return ListOf(merged(one.item, other.item))
    if isinstance(one, Struct) and isinstance(other, Struct):
        theirs = dict(other.fields)
        if theirs.keys() == dict(one.fields).keys():
            return Struct(tuple((name, merged(kind, theirs[name])) for name, kind in one.fields))
    raise Conflict(one, other)


def polars_type(kind: Kind) -> Any:
    """polars' type of a kind."""
    import polars as pl

    if isinstance(kind, ListOf):
        return pl.List(polars_type(kind.item))
    if isinstance(kind, Struct):
        return pl.Struct({name: polars_type(inner) for name, inner in kind.fields})
    return {
        None: pl.Null(),
        bool: pl.Boolean(),
        int: pl.Int64(),
        float: pl.Float64(),
        str: pl.String(),
        bytes: pl.Binary(),
        date: pl.Date(),
        datetime: pl.Datetime("us"),
        "aware": pl.Datetime("us", "UTC"),
    }[kind]


def shown(kind: Kind) -> str:
    """A kind as messages say it."""
    if isinstance(kind, ListOf):
        return f"list of {shown(kind.item)}"
    if isinstance(kind, Struct):
        return "{" + ", ".join(f"{name}: {shown(inner)}" for name, inner in kind.fields) + "}"
    if kind is None:
        return "None"
    return "datetime with a time zone" if kind == "aware" else str(kind.__name__)

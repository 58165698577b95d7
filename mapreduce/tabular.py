"""Records of a result as the columns of a polars DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.errors import JobError, RecordError

if TYPE_CHECKING:
    import polars as pl


def data_frame(records: Iterable[Any], key_names: Sequence[str]) -> pl.DataFrame:
    """A row for each record: a dict's fields, or a pair's key and value; other records are `record`.

    A tuple key becomes a column for each of `key_names`, or else a struct with the fields "0", "1", ….
    Fields stand in the order in which they first come; a missing one is null. Raises RecordError for a
    column whose values have no one type.
    """
    import polars as pl

    rows = [_fields(record, key_names) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    _rebuild_keys(rows)
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])


def _fields(record: Any, key_names: Sequence[str]) -> dict[str, Any]:
    if type(record) is tuple and len(record) == 2:
        record = {"key": record[0], "value": record[1]}
    if type(record) is not dict:
        return {"record": record}
    row = {str(name): value for name, value in record.items()}
    key = row.get("key")
    others = {name: value for name, value in row.items() if name != "key"}
    if type(key) is tuple and len(key) == len(key_names) and others.keys().isdisjoint(key_names):
        return dict(zip(key_names, key, strict=True)) | others
    return row


def _rebuild_keys(rows: list[dict[str, Any]]) -> None:
    """Make tuples of keys that are lists of one length, as JSON has them."""
    keys = [row["key"] for row in rows if row.get("key") is not None]
    if set(map(type, keys)) == {list} and len(set(map(len, keys))) == 1 and keys[0]:
        for row in rows:
            if row.get("key") is not None:
                row["key"] = _tuples(row["key"])


def _tuples(key: Any) -> Any:
    return tuple(map(_tuples, key)) if type(key) is list else key


def _column(name: str, values: list[Any]) -> pl.Series:
    import polars as pl

    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int, float}:
        values = [value if value is None else float(value) for value in values]
    elif len(kinds) > 1:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise RecordError(
            f"The column {name!r} holds {shown}: a column of a table has one type.",
            hint="Iterate the result instead, or let the reduce give one type.",
        )
    try:
        return pl.Series(name, list(map(_plain, values)), strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        why = str(error).partition("\n")[0].removesuffix(".")
        raise RecordError(
            f"The column {name!r} can't be a column of a table: {why}.", hint="Iterate the result instead."
        ) from error


def _plain(value: Any) -> Any:
    """Tuples as structs, sets as lists."""
    kind = type(value)
    if kind is tuple:
        return {str(index): _plain(item) for index, item in enumerate(value)}
    if kind in (list, set, frozenset):
        return list(map(_plain, value))
    return {name: _plain(item) for name, item in value.items()} if kind is dict else value


def demand(module: str, extra: str, method: str) -> None:
    """Raise JobError, with the command to install it, if a module is not there."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise JobError(f"{method}() needs {module}.", hint=f"Install it: pip install 'mapreduce[{extra}]'.")

"""Records as the rows of a table: which fields there are, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mapreduce.errors import RecordError

_SHOWN = 200


def fields(record: Any, owner: str) -> tuple[list[str], list[Any]]:
    """Names and values: of a dict, or `key` and `value` of a pair. Raises RecordError."""
    if type(record) is tuple and len(record) == 2:
        return ["key", "value"], list(record)
    if isinstance(record, dict) and record and all(type(name) is str for name in record):
        return list(record), list(record.values())
    raise RecordError(
        f"{owner} can't write a record of type {type(record).__name__}: {repr(record)[:_SHOWN]}.",
        hint="Give a dict with names of type str, or a pair (key, value).",
    )


def in_order(wanted: Sequence[str], names: Sequence[str], values: Sequence[Any]) -> list[Any]:
    """A record's values in the order of a table. Raises RecordError if it has other fields."""
    if len(names) != len(wanted) or set(names) != set(wanted):
        raise RecordError(
            f"A record has the fields {', '.join(names)[:_SHOWN]}, "
            f"its part has {', '.join(wanted)[:_SHOWN]}.",
            hint="Give every record the same fields, or write JsonLines.",
        )
    found = dict(zip(names, values, strict=True))
    return [found[name] for name in wanted]

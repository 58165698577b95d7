"""The leading records of a result, as rows of a table."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

from mapreduce.datasets.jsontext import json_text
from mapreduce.errors import JobError, RecordError
from mapreduce.figures import visible
from mapreduce.result import JobResult

Order = Literal["auto", "first", "largest"]

MOST_SORTED = 1_000_000
"""Records up to which `auto` looks for the largest values: every record is read for it."""


@dataclass(frozen=True)
class Leading:
    """Some records of a result. `values` are there if they are pairs of a key and a number."""

    records: list[Any]
    values: list[float] | None
    order: Literal["first", "largest"]
    total: int
    key_names: tuple[str, ...] = ()
    """The job's names of a tuple key's elements."""

    def __str__(self) -> str:
        if len(self.records) == self.total:
            which = "all, the largest first" if self.order == "largest" else "all"
            return f"{self.total:,} records, {which}" if self.total != 1 else "1 record"
        return f"the {self.order} {len(self.records):,} of {self.total:,} records"


@dataclass(frozen=True)
class Table:
    """Rows of text, safe to show. `numeric` tells which columns are aligned to the right."""

    columns: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def leading(result: JobResult, number: int, order: Order = "auto") -> Leading:
    """The first records, or those with the largest values. Ties: the one that comes first.

    `auto`: the largest, of pairs of key and number, unless there are more than MOST_SORTED.
    Raises JobError if `largest` is asked of other records; ManifestError.
    """
    total = sum(part.records for part in result.parts)
    as_text = result.manifest.output in ("Text", "Csv")
    names = result.manifest.key_names
    records = iter(result)
    first = list(islice(records, max(number, 1)))
    if order != "first":
        found = None
        if order == "largest" or total <= MOST_SORTED:
            found = _largest(chain(first, records), number, as_text)
        if found is not None:
            return Leading(
                [pair for _, pair in found], [value for value, _ in found], "largest", total, names
            )
        if order == "largest":
            raise JobError(
                "Not all records of this result are pairs of a key and a number.",
                hint="Look at the first ones with --limit.",
            )
    first = first[:number]
    values = [_number(record, as_text) for record in first]
    numbers = None if None in values else [value for value in values if value is not None]
    return Leading(first, numbers, "first", total, names)


class _NoNumber(Exception):
    """A record is no pair of a key and a number."""


def _largest(records: Iterable[Any], number: int, as_text: bool) -> list[tuple[float, Any]] | None:
    def rated() -> Iterator[tuple[float, Any]]:
        for record in records:
            value = _number(record, as_text)
            if value is None:
                raise _NoNumber
            yield value, record

    try:
        return heapq.nlargest(number, rated(), key=lambda item: item[0])
    except _NoNumber:
        return None


def _number(record: Any, as_text: bool) -> float | None:
    """The value of a (key, number) pair; numbers in lines of text are text."""
    if type(record) is not tuple or len(record) != 2:
        return None
    value = record[1]
    if as_text and type(value) is str:
        value = _parsed(value)
    if type(value) not in (int, float) or (type(value) is float and math.isnan(value)):
        return None
    return value  # type: ignore[no-any-return]


def _parsed(text: str) -> float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


# ---------------------------------------------------------------- as text


def table(leading: Leading, *, separators: bool = True) -> Table:
    """The records as a table: a column for the key, or for each of its elements, or for each field.

    separators: write 84529 as 84,529.
    """
    records = leading.records
    if records and all(type(record) is dict for record in records):
        names = list(dict.fromkeys(name for record in records for name in record))
        cells = [[record.get(name, "") for name in names] for record in records]
    elif records and all(type(record) is tuple and len(record) == 2 for record in records):
        names, cells = _of_pairs(records, leading.key_names)
    else:
        names, cells = ["record"], [[record] for record in records]
    if leading.values is not None:  # a number from a line of text too
        cells = [[*row[:-1], value] for row, value in zip(cells, leading.values, strict=True)]
    numeric = [_is_numeric(column) for column in zip(*cells, strict=True)] or [False] * len(names)
    rows = [[cell(value, separators=separators) for value in row] for row in cells]
    return Table([visible(str(name)) for name in names], numeric, rows)


def _of_pairs(pairs: list[Any], key_names: tuple[str, ...]) -> tuple[list[str], list[list[Any]]]:
    widths = {len(key) if type(key) is tuple else -1 for key, _ in pairs}
    width = widths.pop()
    if widths or width < 1:
        return ["key", "value"], [[key, value] for key, value in pairs]
    fits = len(key_names) == width
    names = list(key_names) if fits else [f"key[{index}]" for index in range(width)]
    return [*names, "value"], [[*key, value] for key, value in pairs]


def _is_numeric(column: Iterable[Any]) -> bool:
    kinds = set(map(type, column)) - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def cell(value: Any, *, separators: bool = True) -> str:
    """One value as one line of safe text."""
    kind = type(value)
    if kind is str:
        return visible(value) if value else '""'
    if kind is int:
        return _integer(value, separators)
    if kind is float and separators and math.isfinite(value) and 1000 <= abs(value) < 1e15:
        return f"{value:,}"
    if kind in (tuple, list, dict):
        try:
            return visible(json_text(value))
        except RecordError:
            return visible(repr(value))
    return visible(str(value) if kind is not bytes else repr(value))


def _integer(value: int, separators: bool) -> str:
    try:
        return f"{value:,}" if separators else str(value)
    except ValueError:  # Python refuses to write integers of more than 4,300 digits
        return hex(value)


def fractions(values: list[float]) -> list[float]:
    """How long each value's bar is: from 0 to 1, the largest without its sign being 1."""
    peak = max((abs(value) for value in values if _is_finite(value)), default=0)
    return [_fraction(abs(value), peak) for value in values]


def _is_finite(value: float) -> bool:
    return type(value) is int or math.isfinite(value)


def _fraction(value: float, peak: float) -> float:
    if not _is_finite(value):
        return 1.0
    try:
        return value / peak if peak else 0.0
    except OverflowError:  # an integer beyond every float beside a float
        return 1.0 if value >= peak else 0.0

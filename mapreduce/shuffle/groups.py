"""Groups: the pairs of a frame by key, in key order, as Python objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import polars as pl

from mapreduce.errors import UserFunctionError
from mapreduce.shuffle.columns import Pairs, python_keys, python_values

BATCH = 2**15
"""Values that become Python objects at once; a longer group is one batch."""


class Values:
    """A key's values: an iterator that can be used once. A second pass raises UserFunctionError."""

    __slots__ = ("_left",)

    def __init__(self, values: list[Any]) -> None:
        self._left: Any = iter(values)

    def __iter__(self) -> Iterator[Any]:
        if (
            len(self._left.__reduce__()) == 2
        ):  # a list's iterator that has told its end has let go of the list
            raise UserFunctionError(
                "The values of a key were iterated twice.",
                hint="They are an iterator; write values = list(values) first if they fit in memory.",
            )
        return cast("Iterator[Any]", self._left)

    def __next__(self) -> Any:
        return next(self._left)

    def __length_hint__(self) -> int:
        return int(self._left.__length_hint__())


def grouped(pairs: Pairs) -> Iterator[list[tuple[Any, list[Any]]]]:
    """Batches of (key, values): keys ascend, values keep the order of the rows."""
    if not len(pairs):
        return
    values = pairs.value_columns
    keys = pairs.grouping
    frame = keys.by(pairs.frame, *[pl.col(name) for name in values], pl.len().alias("rows"))
    frame = frame.sort(keys.columns, nulls_last=False)
    for start, stop in batches(frame["rows"].to_list()):
        batch = frame.slice(start, stop - start)
        names = python_keys(batch, pairs.keys)
        flat = python_values(batch.select(values).explode(values), pairs.values)
        yield list(zip(names, _cut(flat, batch["rows"].to_list()), strict=True))


def ordered(pairs: Pairs, sort_key: Callable[[Any], bytes]) -> Pairs:
    """The pairs by their values' sort keys, which compare as bytes; ties stay in their order."""
    keys = [sort_key(value) for value in python_values(pairs.frame, pairs.values)]
    frame = pairs.frame.with_columns(pl.Series("order", keys, dtype=pl.Binary))
    if original := pairs.grouping.original:  # a group's key is the first in input order
        frame = frame.with_columns(pl.col(original).first().over(pairs.grouping.columns))
    frame = frame.sort("order", maintain_order=True).drop("order")
    return Pairs(frame, pairs.keys, pairs.values)


def batches(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of groups that have about BATCH values together."""
    start = rows = 0
    for index, size in enumerate(sizes):
        if rows and rows + size > BATCH:
            yield start, index
            start, rows = index, 0
        rows += size
    yield start, len(sizes)


def _cut(flat: list[Any], sizes: list[int]) -> Iterator[list[Any]]:
    start = 0
    for size in sizes:
        yield flat[start : start + size]
        start += size

"""Groups: the pairs of a frame by key, in key order, as Python objects."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import polars as pl

from mapreduce.errors import UserFunctionError
from mapreduce.shuffle.columns import Pairs, python_keys, python_values

BATCH = 2**15
"""Values that become Python objects at once; a longer group is one batch."""


class Values:
    """A key's values: an iterator that can be used once. A second pass raises UserFunctionError.

    left: a list's iterator.
    """

    __slots__ = ("_left",)

    def __init__(self, left: Iterator[Any]) -> None:
        self._left: Any = left

    def __iter__(self) -> Iterator[Any]:
        left = self._left
        # A list's iterator that has told its end has let go of the list.
        if not left.__length_hint__() and len(left.__reduce__()) == 2:
            raise UserFunctionError(
                "The values of a key were iterated twice.",
                hint="They are an iterator; write values = list(values) first if they fit in memory.",
            )
        return left  # type: ignore[no-any-return]

    def __next__(self) -> Any:
        return next(self._left)


Told = Callable[[Sequence[Any], Sequence[int]], None]
"""Hears of the keys of groups, and how many values each has."""


def grouped(pairs: Pairs, told: Told | None = None) -> Iterator[list[tuple[Any, list[Any]]]]:
    """Batches of (key, values): keys ascend, values keep the order of the rows.

    Cheap where equal keys follow one another for stretches, as they do in what a map has stored: only
    the stretches are sorted.
    """
    if not len(pairs):
        return
    groups, rows = _in_key_order(pairs)
    values = pairs.frame.select(pairs.value_columns)[rows]
    sizes = groups["rows"].to_list()
    done = 0
    for start, stop in batches(sizes):
        keys = python_keys(groups.slice(start, stop - start), pairs.keys)
        own = sizes[start:stop]
        cuts = list(accumulate(own, initial=0))
        flat = python_values(values.slice(done, cuts[-1]), pairs.values)
        done += cuts[-1]
        if told:
            told(keys, own)
        if len(flat) == len(keys):
            lists = [[value] for value in flat]
        else:
            lists = [flat[one:next_] for one, next_ in pairwise(cuts)]
        yield list(zip(keys, lists, strict=True))


def _in_key_order(pairs: Pairs) -> tuple[pl.DataFrame, pl.Series]:
    """The groups in key order, each with its key as it came first and its number of `rows`; and where
    the rows of all groups stand, one group after another.
    """
    keys = [name for name in pairs.frame.columns if name.startswith("k")]
    columns = pairs.grouping.columns
    starts = _changes(pairs.frame, columns)
    stretches = pairs.frame.select(keys)[starts].with_columns(
        start=starts, rows=starts.shift(-1, fill_value=len(pairs)) - starts
    )
    stretches = pairs.grouping.in_order(stretches)
    firsts = _changes(stretches, columns)
    before = stretches["rows"].cum_sum() - stretches["rows"]
    sizes = before[firsts].shift(-1, fill_value=len(pairs)) - before[firsts]
    if stretches.height == len(pairs):
        rows = stretches["start"]
    else:
        ranges = pl.int_ranges("start", pl.col("start") + pl.col("rows"), dtype=pl.UInt32)
        rows = stretches.select(ranges.explode()).to_series()
    return stretches.select(keys)[firsts].with_columns(rows=sizes), rows


def _changes(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The numbers of the rows whose key differs from the row before, and the first."""
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in columns)
    return frame.select((differs | (pl.int_range(pl.len()) == 0)).arg_true()).to_series()


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
    ends = list(accumulate(sizes))
    start = done = 0
    while start < len(ends):
        stop = max(start + 1, bisect_right(ends, done + BATCH, lo=start))
        yield start, stop
        start, done = stop, ends[stop - 1]

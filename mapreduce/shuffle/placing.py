"""Where a map attempt's pairs go: their order in its run, and which rows are whose.

The order is by hash, by (part, hash), or by key, always stable in emit order. With the first two a
shard's rows are one stretch of the run. By key the borders are known only when all maps are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from mapreduce import ordering
from mapreduce.errors import KeyTypeError
from mapreduce.failures import interrupts, safe_repr, user_error
from mapreduce.figures import count
from mapreduce.functions import function_name
from mapreduce.keys import order_bytes
from mapreduce.ordering import Range, Sketch, TotalOrder
from mapreduce.shuffle.columns import Pairs, python_keys
from mapreduce.shuffle.hashing import places

Partition = Callable[[Any], int] | TotalOrder | None


@dataclass(frozen=True)
class Run:
    """A map attempt's pairs in the order in which they are stored."""

    pairs: Pairs
    place: pl.Series
    """Hash of every row's key."""
    stretches: list[tuple[int, int, int]]
    """(shard, first row, row after the last) of every shard that has rows."""


def make_run(pairs: Pairs, shards: int, partition: Partition) -> Run:
    """Order the pairs. Raises UserFunctionError if the job's partition function fails."""
    place = places(pairs.frame, pairs.keys)
    if isinstance(partition, TotalOrder):
        frame = pairs.grouping.in_order(pairs.frame.with_columns(place))
        return _run(pairs, frame, [(0, 0, len(pairs))])
    if partition is None:
        frame = pairs.frame.with_columns(place).sort("place", maintain_order=True)
        return _run(pairs, frame, list(_hash_stretches(frame["place"], shards)))
    frame = pairs.frame.with_columns(place, _parts(pairs, shards, partition))
    frame = frame.sort("part", "place", maintain_order=True)
    return _run(pairs, frame.drop("part"), list(_part_stretches(frame["part"])))


def _run(pairs: Pairs, frame: pl.DataFrame, stretches: list[tuple[int, int, int]]) -> Run:
    place = frame["place"]
    return Run(Pairs(frame.drop("place").rechunk(), pairs.keys, pairs.values), place, stretches)


def _hash_stretches(place: pl.Series, shards: int) -> Iterator[tuple[int, int, int]]:
    bounds = [-(-(shard << 64) // shards) for shard in range(1, shards)]
    cuts = place.search_sorted(pl.Series(bounds, dtype=pl.UInt64), side="left").to_list() if bounds else []
    for shard, (start, stop) in enumerate(pairwise([0, *cuts, len(place)])):
        if start < stop:
            yield shard, start, stop


def _part_stretches(part: pl.Series) -> Iterator[tuple[int, int, int]]:
    start = 0
    for shard, rows in part.value_counts().sort("part").iter_rows():
        yield shard, start, start + rows
        start += rows


def _parts(pairs: Pairs, shards: int, partition: Callable[[Any], int]) -> pl.Series:
    """The part of every row; the function is asked once for each distinct key."""
    groups = pairs.grouping.by(pairs.frame.with_row_index("row"), pl.col("row"))
    found = [_part(key, shards, partition) for key in python_keys(groups, pairs.keys)]
    rows = groups.select("row").with_columns(pl.Series("part", found, dtype=pl.Int64)).explode("row")
    return rows.sort("row")["part"]


def _part(key: Any, shards: int, partition: Callable[[Any], int]) -> int:
    where = f"partition {function_name(partition)} failed for the key {safe_repr(key)[:200]}"
    try:
        part = partition(key)
    except interrupts():
        raise
    except BaseException as error:
        raise user_error(error, where) from error
    if type(part) is not int or not 0 <= part < shards:
        raise KeyTypeError(
            f"partition {function_name(partition)} gave {safe_repr(part)[:200]} for the key "
            f"{safe_repr(key)[:200]}.",
            hint=f"Return an int from 0 to {shards - 1}; the job has {count(shards, 'shard')}.",
        )
    return part


# ---------------------------------------------------------------- by key


def sketch_of(run: Run, shards: int) -> Sketch:
    """The sample of the run's distinct keys that `ordering` asks for."""
    wanted = ordering.SAMPLES * shards
    frame = run.pairs.frame.with_columns(run.place)
    smallest = run.place.unique().sort().head(wanted)
    if len(smallest) == wanted:
        frame = frame.filter(pl.col("place") <= smallest[-1])
    frame = run.pairs.grouping.by(frame, pl.col("place").first())
    keys = python_keys(frame, run.pairs.keys)
    found = (
        h.to_bytes(8, "big") + order_bytes(k) for h, k in zip(frame["place"].to_list(), keys, strict=True)
    )
    return tuple(sorted(found)[:wanted])


def first_key(run: Run, row: int) -> bytes:
    """The beginning of a row's key, as `Chunk.first` has it."""
    return key_order(run.pairs, row)[: ordering.PREFIX]


def within(pairs: Pairs, wanted: Range) -> Pairs:
    """Of pairs in key order, those whose keys are in a range."""
    low, high = wanted
    if not len(pairs):
        return pairs
    start = 0 if key_order(pairs, 0) >= low else first_not_before(pairs, low)
    inside = high is None or key_order(pairs, len(pairs) - 1) < high
    stop = len(pairs) if inside or high is None else first_not_before(pairs, high)
    return Pairs(pairs.frame.slice(start, max(0, stop - start)), pairs.keys, pairs.values)


def first_not_before(pairs: Pairs, border: bytes) -> int:
    """Of pairs in key order, the number of the first whose key's order bytes are these or more."""
    start, stop = 0, len(pairs)
    while start < stop:
        middle = (start + stop) // 2
        if key_order(pairs, middle) < border:
            start = middle + 1
        else:
            stop = middle
    return start


def key_order(pairs: Pairs, row: int) -> bytes:
    """Order bytes of a row's key."""
    return order_bytes(python_keys(pairs.frame.slice(row, 1), pairs.keys)[0])

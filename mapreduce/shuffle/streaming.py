"""Groups of a shard that is too large for memory: slice by slice, in key order.

A key that is more than a slice by itself is streamed: to a reduce function value by value, to an
aggregate as rows of states that are folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mapreduce import chunks
from mapreduce.errors import UserFunctionError
from mapreduce.model import Segments
from mapreduce.room import Room
from mapreduce.shuffle.columns import Pairs, concat, python_keys, python_values
from mapreduce.shuffle.sorting import Slice, SortedRuns, in_key_order


class StreamedValues:
    """A key's values, read as they are asked for. A second pass raises UserFunctionError."""

    __slots__ = ("_ended", "_left", "_passed")

    def __init__(self, values: Iterator[Any]) -> None:
        self._left = values
        self._ended = self._passed = False

    def pass_by(self) -> None:
        """The next group has begun: what is left can't be read any more."""
        self._passed = True

    def __iter__(self) -> StreamedValues:
        if self._ended:
            raise UserFunctionError(
                "The values of a key were iterated twice.",
                hint="They are an iterator; write values = list(values) first if they fit in memory.",
            )
        return self

    def __next__(self) -> Any:
        if self._passed and not self._ended:
            raise UserFunctionError(
                "The values of a key were read after the next key had begun.",
                hint="Write values = list(values) while the reduce works on their key.",
            )
        try:
            return next(self._left)
        except StopIteration:
            self._ended = True
            raise


@dataclass(slots=True)
class GroupSizes:
    """How many values the groups had that were seen."""

    groups: int = 0
    rows: int = 0
    largest: int = 0
    key: Any = None
    """Of the largest group, the first of several."""

    def add_batch(self, keys: Sequence[Any], sizes: Sequence[int]) -> None:
        """See whole groups."""
        self.groups += len(sizes)
        self.rows += sum(sizes)
        if (most := max(sizes)) > self.largest:
            self.largest, self.key = most, keys[sizes.index(most)]


def stored_bytes(inputs: Sequence[Segments]) -> int:
    """Of all pairs of a shard."""
    return sum(chunks.stored_bytes(segments.index) for segments in inputs)


def sorted_runs(
    parts: Iterable[Pairs],
    scratch: Path,
    room: Room,
    total: int,
    join: Callable[[list[Pairs]], Pairs] = concat,
) -> SortedRuns:
    """The pairs of a shard, sorted by key on disk.

    parts: in input order, small. total: bytes of them, about. join: makes one of the parts of a run.
    """
    runs = SortedRuns(scratch, room.slice, total)
    held: list[Pairs] = []
    size = 0
    for part in parts:
        held.append(part)
        size += part.size
        if size > room.at_once:
            run, held, size = join(held), [], 0
            runs.add(run)
            del run
    if held:
        runs.add(join(held))
    return runs


class Alone:
    """A key with more pairs than should be held, and its values bit by bit, to be read once."""

    def __init__(self, slice_: Slice) -> None:
        self._pairs = slice_.pairs()
        self.first = next(self._pairs)
        """Of the pairs."""
        (self.key,) = python_keys(self.first.frame.head(1), self.first.keys)
        self.rows = 0
        """Read so far."""
        self.about_rows, self.about_bytes = slice_.size()

    def pairs(self) -> Iterator[Pairs]:
        """In input order."""
        self.rows += len(self.first)
        yield self.first
        for pairs in self._pairs:
            self.rows += len(pairs)
            yield pairs

    def values(self) -> Iterator[Any]:
        """In input order."""
        for pairs in self.pairs():
            yield from python_values(pairs.frame, pairs.values)

    def pass_by(self) -> int:
        """Read what is left; how many pairs there are."""
        if not self.rows:
            self.rows = len(self.first)
        for pairs in self._pairs:
            self.rows += len(pairs)
        return self.rows


def ordered_values(
    alone: Alone, sort_key: Callable[[Any], bytes], scratch: Path, room: Room
) -> Iterator[Any]:
    """A key's values by their sort keys, ties in input order, by way of a file."""

    def by_sort_key() -> Iterator[Pairs]:
        for pairs in alone.pairs():
            order = [sort_key(value) for value in python_values(pairs.frame, pairs.values)]
            values = pairs.frame.select(pairs.value_columns)
            yield Pairs(values.with_columns(pl.Series("k0", order, dtype=pl.Binary)), "b", pairs.values)

    with sorted_runs(by_sort_key(), scratch, room, alone.about_bytes) as runs:
        for slice_ in runs.slices():
            for pairs in _in_order(slice_):
                yield from python_values(pairs.frame, pairs.values)


def _in_order(slice_: Slice) -> Iterator[Pairs]:
    if slice_.alone:
        yield from slice_.pairs()
    elif parts := list(slice_.pairs()):
        yield in_key_order(concat(parts))

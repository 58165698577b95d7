"""The states of one key that has more of them than should be held: joined as they come.

Most states stay small when they are joined. Of those that grow with the values, the distinct values of
`CountDistinct` are counted on disk; what must be a Python list in the end is refused before it takes
more memory than the worker may have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from mapreduce.aggregates import Aggregate, CountDistinct, Together
from mapreduce.codec import load_value
from mapreduce.room import Room
from mapreduce.shuffle.columns import Pairs, key_columns
from mapreduce.shuffle.sorting import SortedRuns, number_of_keys
from mapreduce.shuffle.states import PACKED, finish_states, join_states, members
from mapreduce.shuffle.streaming import Alone

Refuse = Callable[[Aggregate, int, int], None]
"""Told an aggregate, how many rows its states have and the bytes that they would take; raises MemoryExceeded
if these are not left.
"""


class _Fold(Protocol):
    def add(self, states: Pairs) -> None:
        """Take rows of states of the key, in input order."""

    def result(self) -> Any:
        """What they come to."""


def folded(aggregate: Aggregate, alone: Alone, scratch: Path, room: Room, refuse: Refuse) -> Any:
    """What the states of a key come to."""
    fold = _fold(aggregate, alone, scratch, room, refuse)
    for states in alone.pairs():
        fold.add(states)
    return fold.result()


def _fold(aggregate: Aggregate, alone: Alone, scratch: Path, room: Room, refuse: Refuse) -> _Fold:
    if isinstance(aggregate, Together):
        return _Each(aggregate, [_fold(m, alone, scratch, room, refuse) for m in aggregate.members.values()])
    if isinstance(aggregate, CountDistinct):
        return _Distinct(scratch, room, alone.about_bytes)
    return _Joined(aggregate, room, refuse)


class _Each:
    """Of each of several aggregates."""

    def __init__(self, together: Together, folds: list[_Fold]) -> None:
        self._together, self._folds = together, folds

    def add(self, states: Pairs) -> None:
        for fold, (_, own) in zip(self._folds, members(self._together, [states]), strict=True):
            fold.add(own[0])

    def result(self) -> dict[str, Any]:
        return {name: fold.result() for name, fold in zip(self._together.members, self._folds, strict=True)}


class _Joined:
    """Joins states whenever there are many."""

    def __init__(self, aggregate: Aggregate, room: Room, refuse: Refuse) -> None:
        self._aggregate, self._room, self._refuse = aggregate, room, refuse
        self._parts: list[Pairs] = []
        self._size = 0
        self._most = room.at_once // 4

    def add(self, states: Pairs) -> None:
        self._parts.append(states)
        self._size += states.size
        if self._size > self._most:
            self._parts = [join_states(self._aggregate, self._parts)]
            self._size = self._parts[0].size
            self._most = max(self._most, 2 * self._size)
            if self._size > self._room.at_once // 4:
                self._ask(2 * self._size)

    def _ask(self, more: int) -> None:
        (joined,) = self._parts
        self._refuse(self._aggregate, len(joined), more + as_objects(len(joined), joined))

    def result(self) -> Any:
        if self._size > self._room.at_once // 4:
            self._parts = [join_states(self._aggregate, self._parts)]
            self._size = self._parts[0].size
            self._ask(self._size)
        _, results = finish_states(self._aggregate, self._parts)
        return results[0]


class _Distinct:
    """Counts different values by sorting them."""

    def __init__(self, scratch: Path, room: Room, total: int) -> None:
        self._runs = SortedRuns(scratch, room.at_once // 4, total)
        self._room = room
        self._held: dict[str, list[pl.DataFrame]] = {}
        self._size = 0

    def add(self, states: Pairs) -> None:
        values = _unpacked(states) if states.values == PACKED else _as_keys(states)
        self._held.setdefault(values.keys, []).append(values.frame)
        self._size += values.size
        if self._size > self._room.at_once:
            self._write()

    def _write(self) -> None:
        for layout, frames in self._held.items():
            pairs = Pairs(pl.concat(frames), layout, "n")
            self._runs.add(Pairs(pairs.grouping.by(pairs.frame), layout, "n"))
        self._held, self._size = {}, 0

    def result(self) -> int:
        self._write()
        with self._runs:
            return number_of_keys(self._runs)


def _as_keys(states: Pairs) -> Pairs:
    values = states.frame.select(pl.col("s0").alias("k0")).drop_nulls()
    return Pairs(values, states.values, "n")


def _unpacked(states: Pairs) -> Pairs:
    values = [value for state in states.frame["s0"].to_list() for value in load_value(state).values()]
    layout, series = key_columns(values)
    return Pairs(pl.DataFrame(series), layout, "n")


def as_objects(rows: int, sample: Pairs) -> int:
    """Bytes that so many rows take, about, as Python objects in a list, and as the text of a record."""
    first = sample.frame.head(1_000)
    values = [item for name in sample.value_columns for item in first[name].to_list()]
    objects = sum(map(sys.getsizeof, values)) // max(1, first.height)
    return rows * (objects + 24 + 4 * (_bytes(sample) // max(1, len(sample))))


def _bytes(pairs: Pairs) -> int:
    return int(pairs.frame.select(pairs.value_columns).estimated_size())

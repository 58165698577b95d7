"""A shard that is streamed gives the groups that it gives as a whole, however it is cut and read."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from property.strategies import exact

from mapreduce import room
from mapreduce.aggregates import Aggregate, CollectSet, Count, CountDistinct, Sum, Together, TopK
from mapreduce.errors import UserFunctionError
from mapreduce.keys import normal_key, order_bytes
from mapreduce.model import Segments
from mapreduce.ordering import TotalOrder, index_within
from mapreduce.reducer import Shard
from mapreduce.room import Room
from mapreduce.shuffle import groups, sorting
from mapreduce.shuffle import segments as segments_module
from mapreduce.shuffle.columns import Pairs, concat, input_columns, key_columns, value_columns
from mapreduce.shuffle.folding import folded
from mapreduce.shuffle.segments import SegmentWriter
from mapreduce.shuffle.sorting import Slice, SortedRuns
from mapreduce.shuffle.states import make_states
from mapreduce.shuffle.streaming import Alone, StreamedValues, ordered_values, sorted_runs, stored_bytes
from mapreduce.store.local import LocalStore

SAME_HASH = [None, 0, (), 0.0, False]
"""Keys, three of them different, whose hash is 0."""
KEYS = [*SAME_HASH, "a", "b", 1, True, 2.5, ("a", 1)]
maps_of_pairs = st.lists(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 99)), min_size=1, max_size=40)
    | st.integers(20, 60).map(lambda n: [(0, i) for i in range(n)])
    | st.integers(20, 60).map(lambda n: [("a", i) for i in range(n)]),
    min_size=1,
    max_size=4,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "CHUNK_BYTES", 60)
    monkeypatch.setattr(segments_module, "READ_BYTES", 2_000)
    monkeypatch.setattr(sorting, "LEAST_CHUNK", 60)
    monkeypatch.setattr(sorting, "MOST_CHUNK", 60)


def stored(folder: str, maps: list[list[Any]], run_rows: int, partition: Any) -> Iterator[Segments]:
    """Maps that have spilled a run whenever they had so many pairs."""
    store = LocalStore(Path(folder))
    for index, pairs in enumerate(maps):
        with store.new_file(f"map-{index}", durable=False) as stream:
            writer = SegmentWriter(lambda stream=stream: stream, 1, partition)
            for start in range(0, len(pairs), run_rows):
                writer.add(pairs_of(pairs[start : start + run_rows]))
            writer.finish()
        yield from (Segments(index, f"map-{index}", run.layout, run.index) for run in writer.runs)


def pairs_of(pairs: list[Any]) -> Pairs:
    keys, key_series = key_columns([key for key, _ in pairs])
    values, value_series = value_columns([value for _, value in pairs])
    return Pairs(pl.DataFrame([*key_series, *value_series]), keys, values)


def grouped(maps: list[list[Any]]) -> list[tuple[Any, list[Any]]]:
    found: dict[bytes, tuple[Any, list[Any]]] = {}
    for key, value in (pair for pairs in maps for pair in pairs):
        found.setdefault(order_bytes(key), (normal_key(key), []))[1].append(value)
    return [found[order] for order in sorted(found)]


@pytest.mark.parametrize("by_key", [False, True])
@given(
    maps=maps_of_pairs,
    run_rows=st.sampled_from([1, 7, 100]),
    at_once=st.sampled_from([4, 700, 3_000, 20_000]),
    taken=st.integers(0, 40),
)
def test_groups_of_slices(by_key: bool, maps: list[Any], run_rows: int, at_once: int, taken: int) -> None:
    expected = grouped(maps)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST", at_once)
        folder = Path(name)
        inputs = list(stored(name, maps, run_rows, TotalOrder() if by_key else None))
        files = sorted(folder.iterdir())
        for most in (taken, 1_000):  # a reduce need not read all values
            found, rows = [], 0
            shard = Shard(0, LocalStore(folder), inputs, (b"", None) if by_key else None, Room(), folder)
            with sorted_runs(shard.pairs(lambda *_: None), folder, Room(), stored_bytes(inputs)) as runs:
                for key, values, size in groups_of(runs.slices(), most):
                    found.append((key, values))
                    rows += size
            assert exact(found) == exact([(key, values[:most]) for key, values in expected])
            assert rows == sum(map(len, maps))
        assert sorted(folder.iterdir()) == files, "nothing is left behind"


LONG = "x" * 80
"""Keys that begin with it are told apart behind what an index keeps of a key."""
RANGED = [*KEYS, "", LONG, LONG + "a", LONG + "b", "x" * 62, "x" * 63, "x" * 64, "x" * 65]


@given(
    maps=st.lists(
        st.lists(st.tuples(st.sampled_from(RANGED), st.integers(0, 99)), min_size=1, max_size=40),
        min_size=1,
        max_size=4,
    ),
    run_rows=st.sampled_from([1, 7, 100]),
    at_once=st.sampled_from([3_000, 20_000, 60_000]),
    borders=st.tuples(st.sampled_from([None, *RANGED]), st.sampled_from([None, *RANGED])),
)
@example([[(LONG + "b", 0), (LONG + "b", 1)]], 100, 60_000, (LONG + "b", LONG + "c"))
def test_groups_of_runs_that_are_stored_in_key_order(
    maps: list[Any], run_rows: int, at_once: int, borders: tuple[Any, Any]
) -> None:
    low, high = sorted(order_bytes(key) if key is not None else b"" for key in borders)
    expected = [
        group
        for group in grouped(maps)
        if low <= order_bytes(group[0]) and (not high or order_bytes(group[0]) < high)
    ]
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST", at_once)
        inputs = [
            replace(segments, index=part)
            for segments in stored(name, maps, run_rows, TotalOrder())
            if (part := index_within(segments.index, (low, high or None)))
        ]
        shard = Shard(0, LocalStore(Path(name)), inputs, (low, high or None), Room(), Path(name))
        given = shard.slices(lambda *_: None)
        event("merged" if given else "refused")
        if given:
            found = [(key, values) for key, values, _ in groups_of(given, 1_000)]
            assert exact(found) == exact(expected)


def range_of(low: bytes, high: bytes) -> Callable[[bytes], bool]:
    return lambda key: low <= key and (not high or key < high)


def groups_of(slices: Iterator[Slice], most: int) -> Iterator[tuple[Any, list[Any], int]]:
    """(key, at most so many values, number of values)."""
    for part in slices:
        if part.alone:
            alone = Alone(part)
            values = [value for value, _ in zip(alone.values(), range(most), strict=False)]
            yield alone.key, values, alone.pass_by()
        elif pairs := list(part.pairs()):
            for batch in groups.grouped(concat(pairs)):
                yield from ((key, values[:most], len(values)) for key, values in batch)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=200), st.sampled_from([4, 400, 5_000]))
def test_values_are_ordered_by_way_of_a_file(values: list[int], at_once: int) -> None:
    pairs = [("k", (value, number)) for number, value in enumerate(values)]
    with alone([pairs_of(pairs)]) as (key, folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST", at_once)
        found = list(ordered_values(key, lambda value: order_bytes(value[0]), folder, Room()))
    assert found == sorted((value for _, value in pairs), key=lambda value: value[0])


some_values = st.lists(st.sampled_from([None, 0, 1, True, 1.0, "a", 2.5, math.nan]), min_size=1, max_size=9)
REDUCES = [CountDistinct(), CollectSet(), Sum(), TopK(2), Together({"n": Count(), "kinds": CountDistinct()})]


@pytest.mark.parametrize("aggregate", REDUCES, ids=repr)
@given(st.lists(some_values, min_size=1, max_size=6), st.sampled_from([4, 200]))
def test_states_of_one_key_are_folded(aggregate: Aggregate, values: list[list[Any]], at_once: int) -> None:
    if isinstance(aggregate, Sum):
        values = [[value for value in part if value != "a"] or [1] for part in values]
    states = [make_states(aggregate, taken_of(aggregate, part)) for part in values]
    with alone(states) as (key, folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST", at_once)
        found = folded(aggregate, key, folder, Room(), lambda *_: None)
    assert exact(found) == exact(aggregate.apply(chain.from_iterable(values)))


def taken_of(aggregate: Aggregate, values: list[Any]) -> Pairs:
    keys, key_series = key_columns(["k"] * len(values))
    layout, series = input_columns(aggregate.take(values), wide=aggregate.wide, frozen=False)
    return Pairs(pl.DataFrame([*key_series, *series]), keys, layout)


@contextmanager
def alone(parts: list[Pairs]) -> Iterator[tuple[Alone, Path]]:
    """The one key of these parts, as one that is too large, and a folder."""
    with TemporaryDirectory() as name:
        with SortedRuns(Path(name), 1, 1) as runs:
            for part in parts:
                runs.add(part)
            yield Alone(next(part for part in runs.slices() if part.alone)), Path(name)
        assert list(Path(name).iterdir()) == []


def test_values_are_there_once() -> None:
    values = StreamedValues(iter([1, 2, 3]))
    assert next(values) == 1
    assert list(values) == [2, 3]
    with pytest.raises(UserFunctionError, match="iterated twice"):
        list(values)


def test_values_end_with_their_group() -> None:
    values = StreamedValues(iter([1, 2, 3]))
    assert next(values) == 1
    values.pass_by()
    with pytest.raises(UserFunctionError, match="after the next key had begun"):
        list(values)

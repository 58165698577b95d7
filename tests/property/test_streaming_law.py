"""A shard that is streamed gives the groups that it gives as a whole, however it is cut and read."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property.strategies import exact

from mapreduce.errors import UserFunctionError
from mapreduce.keys import normal_key, order_bytes
from mapreduce.model import Segments
from mapreduce.ordering import TotalOrder
from mapreduce.shuffle import segments as segments_module
from mapreduce.shuffle import streaming
from mapreduce.shuffle.columns import Pairs, key_columns, value_columns
from mapreduce.shuffle.segments import layout_of, write_segments
from mapreduce.shuffle.streaming import GroupSizes, StreamedValues, streamed
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
    monkeypatch.setattr(streaming, "CHUNK_BYTES", 60)


def stored(folder: str, maps: list[list[Any]], partition: Any) -> Iterator[Segments]:
    store = LocalStore(Path(folder))
    for index, pairs in enumerate(maps):
        keys, key_series = key_columns([key for key, _ in pairs])
        values, value_series = value_columns([value for _, value in pairs])
        made = Pairs(pl.DataFrame([*key_series, *value_series]), keys, values)
        with store.new_file(f"map-{index}", durable=False) as stream:
            chunks, _ = write_segments(stream, made, 1, partition)
        yield Segments(index, f"map-{index}", layout_of(made), chunks)


def grouped(maps: list[list[Any]]) -> list[tuple[Any, list[Any]]]:
    found: dict[bytes, tuple[Any, list[Any]]] = {}
    for key, value in (pair for pairs in maps for pair in pairs):
        found.setdefault(order_bytes(key), (normal_key(key), []))[1].append(value)
    return [found[order] for order in sorted(found)]


@pytest.mark.parametrize("by_key", [False, True])
@given(maps=maps_of_pairs, range_bytes=st.sampled_from([1, 700, 3_000, 20_000]), taken=st.integers(0, 40))
def test_streamed_groups(by_key: bool, maps: list[Any], range_bytes: int, taken: int) -> None:
    expected = grouped(maps)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "RANGE_BYTES", range_bytes)
        inputs = list(stored(folder, maps, TotalOrder() if by_key else None))
        for most in (taken, 1_000):  # a reduce need not read all values
            sizes = GroupSizes()
            wanted = ("", None) if by_key else None
            groups = streamed(LocalStore(Path(folder)), inputs, wanted, Path(folder), sizes)
            found = [
                (key, [value for value, _ in zip(values, range(most), strict=False)])
                for key, values in groups
            ]
            assert exact(found) == exact([(key, values[:most]) for key, values in expected])
            assert (sizes.groups, sizes.rows) == (len(expected), sum(map(len, maps)))
            assert sizes.largest == max(len(values) for _, values in expected)
        assert len(list(Path(folder).iterdir())) == len(maps), "nothing is left behind"


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

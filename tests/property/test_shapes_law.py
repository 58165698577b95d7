"""The reference law for functions on frames, objects that are set up, and parts in key order."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property.strategies import a_share

from mapreduce import (
    Collect,
    Count,
    First,
    Identity,
    Input,
    Job,
    JsonLines,
    Last,
    Max,
    Mean,
    Records,
    Sum,
    Text,
    TopK,
    TotalOrder,
    frames,
    ordering,
    run,
)
from mapreduce.aggregates import base
from mapreduce.shuffle import buffer
from mapreduce.testing import reference, run_sequential

words = st.lists(st.sampled_from(["a", "b", "é", "aa bb", "", "x\ty", "c d", "\u2028", "ä b c"]), max_size=30)


@frames
def first_words(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        key=pl.col("line").str.split(" ").list.first(), value=pl.col("line").str.len_chars().cast(pl.UInt16)
    )


@frames
def tuple_keys(frame: pl.DataFrame) -> pl.LazyFrame:
    line = pl.col("line")
    key = pl.struct(a=line.str.head(1), b=line.str.len_bytes() % 3 == 0)
    return (
        frame.lazy().filter(line != "").select(key=key, value=pl.struct(a=line, b=line.str.len_bytes() * 0.5))
    )


@frames
def odd_values(frame: pl.DataFrame, ctx: Any) -> pl.DataFrame | None:
    ctx.count("lines", frame.height)
    line = pl.col("line")
    lists = frame.select(key=pl.lit(None), value=line.str.split(" "))
    return lists if frame.height % 2 else frame.select(key=line.str.len_bytes() - 0.0, value=pl.lit(True))


@frames
def as_records(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(n=pl.col("line").str.len_bytes())


@frames
def totals(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("key", value=pl.col("values").list.len())


@frames
def whole_groups(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(first=pl.col("values").list.first())


def listing(key: Any, values: Iterator[Any]) -> Iterator[Any]:
    yield key, list(values)


JOBS: dict[str, tuple[Any, Any]] = {
    "count": (first_words, Count()),
    "several": (first_words, {"n": Count(), "sum": Sum(), "mean": Mean()}),
    "sum": (first_words, Sum()),
    "list": (first_words, listing),
    "frames": (first_words, totals),
    "tuples, frames": (tuple_keys, totals),
    "tuples, whole groups": (tuple_keys, whole_groups),
    "tuples": (tuple_keys, Max()),
    "tuples, collected": (tuple_keys, Collect()),
    "no reduce": (first_words, None),
    "records": (as_records, None),
}


@contextlib.contextmanager
def input_of(lines: list[str]) -> Iterator[Path]:
    with TemporaryDirectory() as name, contextlib.chdir(name):
        path = Path(name) / "input"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())
        yield path


def hold(job: Job) -> None:
    expected = run_sequential(job)
    result = run(job, on="serial", overwrite=True)
    parts = [(result.path / part.name).read_bytes() for part in result.parts]
    assert parts == expected.parts or (job.reduce is None and b"".join(parts) == b"".join(expected.parts))
    assert result.counters == expected.counters
    assert result.manifest.totals.records_in == expected.records_in
    assert result.manifest.totals.pairs == expected.pairs
    if job.output is None:
        assert repr(list(result)) == repr(expected.records)


@pytest.mark.parametrize("name", JOBS)
@a_share(3)
@given(
    lines=words,
    split_size=st.integers(1, 60),
    block_size=st.integers(1, 60),
    shards=st.integers(1, 3),
    flush=st.sampled_from([1, 4, buffer.FLUSH_ROWS]),
    streamed=st.sampled_from([1, 3, base.STREAMED_ROWS]),
)
def test_frames(
    name: str, lines: list[str], split_size: int, block_size: int, shards: int, flush: int, streamed: int
) -> None:
    function, reduce = JOBS[name]
    with input_of(lines) as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer, "FLUSH_ROWS", flush)
        patch.setattr(base, "STREAMED_ROWS", streamed)
        source = Text(path, split_size=split_size, block_size=block_size)
        partition = TotalOrder() if reduce and shards == 2 else None
        hold(Job("frames", source, function, reduce, shards=shards, partition=partition))


@given(lines=words, split_size=st.integers(1, 60))
def test_columns_of_any_type(lines: list[str], split_size: int) -> None:
    """Whole files as frames: what is given depends on the number of lines."""
    with input_of(lines) as path:
        hold(Job("odd", Text(path), odd_values, listing, shards=2))


@frames
def nested_values(frame: pl.DataFrame) -> pl.DataFrame:
    parts = pl.col("line").str.split(" ")
    return frame.select(value=pl.struct(parts.list.len(), all=parts), key=pl.col("line").str.head(1))


@a_share(3)
@given(lines=words, split_size=st.integers(1, 60), shards=st.integers(1, 3))
def test_values_with_lists_from_frames(lines: list[str], split_size: int, shards: int) -> None:
    """Also with `value` before `key`."""
    with input_of(lines) as path:
        source = Text(path, split_size=split_size)
        for reduce in (First(), Last(of=1), {"n": Sum(of=0), "all": Collect(), "most": TopK(2, by=0)}):
            hold(Job("nested", source, nested_values, reduce, shards=shards))
        hold(Job("nested", source, nested_values, None, JsonLines("nested")))


maybe = st.none() | st.integers(0, 2)


@a_share(3)
@given(st.lists(st.tuples(maybe, maybe), min_size=1, max_size=12), st.integers(1, 3), st.integers(1, 3))
def test_tuples_with_none_wherever_the_input_is_cut(items: list[Any], split_size: int, shards: int) -> None:
    """A split in which an element is only None has another layout than its neighbours."""
    with input_of([]):
        for reduce in (whole_groups, Sum(), listing):
            source = Records([(key, 1) for key in items], split_size=split_size)
            hold(Job("none", source, Identity(), reduce, shards=shards))


@a_share(6)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.sampled_from("ab"), st.floats()), max_size=40),
    st.integers(1, 4),
)
def test_key_names(items: list[Any], shards: int) -> None:
    pairs = [((number, letter), value) for number, letter, value in items]
    with input_of([]):
        for reduce in (Sum(), listing, Collect()):
            job = Job("named", Records(pairs, split_size=7), Identity(), reduce, "out", shards=shards)
            named = Job(
                "named", Records(pairs), Identity(), reduce, "named", shards=shards, key_names=("n", "l")
            )
            hold(named)
            hold(job)
            found = run(named, on="serial", overwrite=True)
            assert repr(list(found)) == repr(list(run(job, on="serial", overwrite=True)))
            assert list(JsonLines("named").read_part(_bytes(found), False))[:1] == _first(found)


def _bytes(result: Any) -> Any:
    import io

    return io.BytesIO(b"".join(result.part_bytes(part) for part in result.parts))


def _first(result: Any) -> list[dict[str, Any]]:
    return [{"n": n, "l": letter, "value": value} for (n, letter), value in result][:1]


def keyed(record: Any) -> list[Any]:
    return [(record, None)]


@pytest.mark.parametrize("split_size", [700, 10_000], ids=["maps", "one map"])
@pytest.mark.parametrize("shards", [1, 2, 7, 40])
def test_many_keys_in_key_order(
    shards: int, split_size: int, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More distinct keys than the sample holds, of all maps together and of each."""
    monkeypatch.setattr(ordering, "SAMPLES", 5)
    monkeypatch.setattr(reference, "SAMPLES", 5)
    keys: list[Any] = [
        rng.choice([rng.randrange(3_000), f"k{rng.randrange(3_000)}", None]) for _ in range(9_000)
    ]
    job = Job(
        "sorted", Records(keys, split_size=split_size), keyed, Count(), shards=shards, partition=TotalOrder()
    )
    hold(job)
    found = [key for key, _ in run(job, on="serial")]
    assert found == [
        None,
        *sorted(k for k in found if type(k) is int),
        *sorted(k for k in found if type(k) is str),
    ]
    records = [part.records for part in run(job, on="serial").parts]
    assert max(records) < 4 * len(found) / shards + 40, records


def test_inputs_keep_their_order() -> None:
    def left(record: int) -> list[Any]:
        return [(record % 3, ("left", record))]

    def right(record: int) -> list[Any]:
        return [(record % 3, ("right", record))]

    source = [Input(Records(range(9), split_size=2), left), Input(Records(range(4)), right)]
    job = Job("join", source, reduce=Collect(), shards=2)
    hold(job)
    for _, values in run(job, on="serial"):
        assert values == sorted(values)

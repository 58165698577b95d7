"""The law of bad records: what they are of nothing of the result shows, and all else is as without them."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.test_reference_law import fresh_folder

from mapreduce import (
    Collect,
    Csv,
    Job,
    JobResult,
    JsonLines,
    Quarantine,
    Records,
    Status,
    Sum,
    Text,
    blocks,
    run,
)
from mapreduce import frames as frames_mark
from mapreduce import mapper as mapper_module
from mapreduce.testing import run_sequential

ALL = Quarantine(max_fraction=1.0)


class Odd(Exception):
    """What the functions below raise."""


def emit(line: str, ctx: Any) -> Iterator[Any]:
    """Every way to be bad, and some that come after pairs and counts were given."""
    ctx.count("seen")
    yield line[:1], 1
    if line.startswith("raise"):
        raise Odd(line)
    if line.startswith("key"):
        yield [line], 1
    if line.startswith("value"):
        yield line, object()
    if line.startswith("pair"):
        yield line
    ctx.count("ended")
    yield line[-1:], len(line)


def listed(line: str) -> list[Any]:
    return list(emit(line, _NoContext()))


class _NoContext:
    def count(self, name: str) -> None:
        pass


@blocks
def in_blocks(lines: list[str]) -> Iterator[Any]:
    for line in lines:
        yield from listed(line)


def changing(line: str) -> Iterator[Any]:
    """Values that the function changes after it gave them."""
    value = [line]
    yield line[:1], value
    value.append("later")
    if line.startswith("raise"):
        raise Odd(line)
    yield line[:1], value


@frames_mark
def in_frames(frame: Any) -> Any:
    import polars as pl

    for line in frame["line"]:
        if line.startswith(("raise", "key", "value", "pair")):
            raise Odd(line)
    return frame.select(pl.col("line").str.head(1).alias("key"), pl.lit(1).alias("value"))


GOOD = st.text("abcé", min_size=1, max_size=4)
BAD = st.sampled_from(["raise", "key", "value", "pair"])
JSON_LINES = st.sampled_from(['{"a": 1}', '{"a": 22}', '{"a": ', "[1", "", "nul", '{"a": 3}\r'])
ROWS = st.sampled_from(["1,x", "22,y", "3", "4,z,z", "", "5,\r"])
LINES = st.lists(st.one_of(GOOD, GOOD, BAD, st.tuples(BAD, GOOD).map("".join)), max_size=30)


def no_text(line: str, odd: bool) -> bytes:
    return line.encode() + (b"\xff" if odd else b"")


def raw_lines(result: JobResult) -> list[bytes]:
    """What was no record, as far as it is kept."""
    found = []
    for file in result.manifest.set_aside:
        for line in (result.path / file.name).read_text().splitlines():
            fields = json.loads(line)
            if fields["kind"] == "RecordTooLarge":
                found.append(b"")
            elif "bytes" in fields:
                found.append(base64.b64decode(fields["bytes"]))
    return found


def hold(job: Job) -> JobResult:
    """The parts, counts and counters are those of the reference; what was set aside is told."""
    expected = run_sequential(job)
    result = run(job, on="serial")
    parts = [(result.path / part.name).read_bytes() for part in result.parts]
    if job.reduce is None:
        assert b"".join(parts) == b"".join(expected.parts)
    else:
        assert parts == expected.parts
    assert result.counters == expected.counters
    totals = result.manifest.totals
    assert totals.pairs == expected.pairs
    assert totals.records_in == expected.records_in + len(raw_lines(result))
    assert (result.status is Status.COMPLETED_WITH_ERRORS) == (totals.set_aside > 0)
    assert len(result.manifest.bad) == totals.set_aside
    offsets = [(bad.location.uri, bad.location.offset) for bad in result.manifest.bad]
    assert offsets == sorted(offsets)
    return result


SHAPES = {"records": emit, "lists": listed, "blocks": in_blocks, "changing": changing, "frames": in_frames}


@pytest.mark.parametrize("shape", SHAPES)
@given(lines=LINES, odd=st.sets(st.integers(0, 29), max_size=3), split=st.integers(1, 60))
@example(lines=["raise"] * 9, odd=set(), split=30)
def test_bad_lines_leave_no_trace(shape: str, lines: list[str], odd: set[int], split: int) -> None:
    with fresh_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapper_module, "BATCH", 3)
        patch.setattr(mapper_module, "SETTLE_PAIRS", 4)
        patch.setattr(mapper_module, "SETTLE_BLOCKS", 2)
        data = [no_text(line, index in odd) for index, line in enumerate(lines)]
        Path("in.log").write_bytes(b"".join(line + b"\n" for line in data))
        source = Text("in.log", split_size=split, block_size=16)
        reduce: Any = Collect() if shape == "changing" else Sum()
        result = hold(Job("bad", source, SHAPES[shape], reduce, folder / "out", shards=2, on_error=ALL))
        assert raw_lines(result) == [line for line in data if line.endswith(b"\xff")]


@given(lines=LINES, split=st.integers(1, 60))
def test_bad_lines_leave_no_trace_in_a_job_without_reduce(lines: list[str], split: int) -> None:
    def records(line: str, ctx: Any) -> Iterator[Any]:
        ctx.count("seen")
        yield {"line": line}
        if line.startswith("raise"):
            raise Odd(line)
        yield {"line": object() if line.startswith("value") else line[::-1]}

    with fresh_folder() as folder:
        Path("in.log").write_text("".join(f"{line}\n" for line in lines))
        source = Text("in.log", split_size=split, block_size=16)
        hold(Job("bad", source, records, None, folder / "out", on_error=ALL))


@pytest.mark.parametrize("shape", ["records", "frames"])
@given(
    lines=st.lists(
        st.sampled_from(['{"a": 1}', '{"a": 22}', '{"a": ', "[1", "", "nul", '{"a": 3}\r']), max_size=20
    ),
    split=st.integers(1, 60),
)
def test_lines_that_are_no_json(shape: str, lines: list[str], split: int) -> None:
    import polars as pl

    @frames_mark
    def by_frame(frame: Any) -> Any:
        return frame.select(pl.col("a").alias("key"), pl.lit(1).alias("value"))

    with fresh_folder() as folder:
        Path("in.jsonl").write_text("".join(f"{line}\n" for line in lines))
        source = JsonLines("in.jsonl", split_size=split, block_size=16, schema={"a": int})
        function: Any = by_frame if shape == "frames" else lambda record: [(record["a"], 1)]
        hold(Job("bad", source, function, Sum(), folder / "out", on_error=ALL))


@pytest.mark.parametrize("shape", ["records", "frames"])
@given(
    rows=st.lists(st.sampled_from(["1,x", "22,y", "3", "4,z,z", "", "5,\r"]), max_size=20),
    split=st.integers(1, 40),
)
def test_rows_of_another_width(shape: str, rows: list[str], split: int) -> None:
    import polars as pl

    @frames_mark
    def by_frame(frame: Any) -> Any:
        return frame.select(pl.col("b").alias("key"), pl.col("a").alias("value"))

    def by_record(row: Any) -> Iterator[Any]:
        yield (row["b"] or None) if shape == "frames" else row["b"], int(row["a"])

    with fresh_folder() as folder:
        Path("in.csv").write_text("a,b\n" + "".join(f"{row}\n" for row in rows))
        source = Csv("in.csv", split_size=split, block_size=16, schema={"a": int, "b": str})
        function: Any = by_frame if shape == "frames" else by_record
        hold(Job("bad", source, function, Sum(), folder / "out", on_error=ALL))


@given(lines=st.lists(st.integers(0, 40).map("x".__mul__), max_size=12), split=st.integers(1, 90))
def test_lines_that_are_too_long(lines: list[str], split: int) -> None:
    with fresh_folder() as folder:
        Path("in.log").write_text("\n".join(lines))
        source = Text("in.log", split_size=split, block_size=7, max_record=12)
        result = hold(Job("long", source, lambda line: [(line, 1)], Sum(), folder / "out", on_error=ALL))
        long = [len(line) for line in lines if len(line) > 12]
        assert [bad.location.length for bad in result.manifest.bad] == long
        assert {bad.kind for bad in result.manifest.bad} <= {"RecordTooLarge"}


@given(items=st.lists(st.one_of(st.integers(-3, 3), st.none(), st.text("ab", max_size=2)), max_size=20))
def test_replayed_records_are_the_ones_that_were_set_aside(items: list[Any]) -> None:
    def strict(item: Any) -> Iterator[Any]:
        yield 6 // item, 1

    def mended(item: Any) -> Iterator[Any]:
        yield repr(item), 1

    def is_bad(item: Any) -> bool:
        return not isinstance(item, int) or item == 0

    with fresh_folder() as folder:
        source = Records(items, split_size=4)
        first = run(Job("strict", source, strict, Sum(), folder / "out", on_error=ALL), on="serial")
        assert first.manifest.totals.set_aside == sum(map(is_bad, items))
        if not first.manifest.totals.set_aside:
            return
        again = run(Job("mended", source, mended, Sum(), folder / "more"), on="serial", replay=folder / "out")
        expected = run_sequential(
            Job("mended", Records([i for i in items if is_bad(i)]), mended, Sum(), folder / "x")
        )
        assert [(again.path / part.name).read_bytes() for part in again.parts] == expected.parts

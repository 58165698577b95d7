"""The reference law for jobs that read and write every format and compression."""

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from property.strategies import a_share

from mapreduce import Collect, Count, Csv, Job, JsonLines, Max, Parquet, Sum, Text, TotalOrder, frames, run
from mapreduce.testing import run_sequential

Row = dict[str, Any]
SCHEMA = {"path": str, "size": int}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
rows = st.lists(
    st.fixed_dictionaries(
        {"path": st.sampled_from(["/", "/a,b", '/"q"', "/é", "[1] x", "-"]), "size": st.integers(-9, 10**6)}
    ),
    max_size=25,
)


def as_json(given: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in given).encode()


def as_csv(given: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["path", "size"])
    writer.writeheader()
    writer.writerows(given)
    return text.getvalue().encode()


def as_parquet(given: list[Row]) -> bytes:
    data = io.BytesIO()
    pl.DataFrame(given, schema={"path": pl.String, "size": pl.Int64}).write_parquet(data, row_group_size=4)
    return data.getvalue()


def as_entries(given: list[Row]) -> bytes:
    """A record begins with a bracket and goes on over lines."""
    return "".join(f"[{row['path']}\n  size\r\n  {row['size']}\n" for row in given).encode()


def by_path(row: Row) -> Iterator[Any]:
    yield row["path"], int(row["size"])


def by_entry(entry: str) -> Iterator[Any]:
    lines = entry.split("\n")
    yield lines[0], len(lines[-1])


@frames
def frame_by_path(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key="path", value="size")


@frames
def frame_by_entry(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key=pl.col("line").str.split("\n").list.first(), value=pl.col("line").str.len_bytes())


SOURCES: dict[str, tuple[Callable[[list[Row]], bytes], Callable[..., Any], Any, Any]] = {
    "json": (as_json, lambda path, **sizes: JsonLines(path, schema=SCHEMA, **sizes), by_path, frame_by_path),
    "csv": (as_csv, lambda path, **sizes: Csv(path, schema=SCHEMA, **sizes), by_path, frame_by_path),
    "parquet": (as_parquet, Parquet, by_path, frame_by_path),
    "entries": (
        as_entries,
        lambda path, **sizes: Text(path, record_start=r"\[", **sizes),
        by_entry,
        frame_by_entry,
    ),
    "text": (as_json, Text, by_entry, frame_by_entry),
}
OUTPUTS: dict[str, Callable[[str, str | None], Any]] = {
    "json": lambda path, packed: JsonLines(path, compression=packed),
    "csv": lambda path, packed: Csv(path, compression=packed),
    "text": lambda path, packed: Text(path, compression=packed),
    "parquet": lambda path, packed: Parquet(path, schema={"key": str, "value": int}),
}
REDUCES = [Sum(), Max(), Count(), {"n": Count(), "values": Collect()}]


@pytest.mark.parametrize("shape", ["records", "frames"])
@pytest.mark.parametrize("kind", SOURCES)
@a_share(6)
@given(data=st.data(), given=rows, split_size=st.integers(1, 300), block_size=st.integers(1, 200))
def test_every_format(
    kind: str, shape: str, data: st.DataObject, given: list[Row], split_size: int, block_size: int
) -> None:
    write, source, by_record, by_frame = SOURCES[kind]
    packed = data.draw(st.sampled_from([name for name in PACK if kind != "parquet" or not name]), "input")
    output = data.draw(st.sampled_from(sorted(OUTPUTS)), "output")
    written = data.draw(st.sampled_from([name or None for name in PACK]), "written as")
    reduce = data.draw(st.sampled_from(REDUCES if output == "json" else REDUCES[:3]), "reduce")
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("input").write_bytes(PACK[packed](write(given)))
        job = Job(
            "formats",
            source("input", split_size=split_size, block_size=block_size),
            by_record if shape == "records" else by_frame,
            reduce,
            OUTPUTS[output]("out", written),
            shards=data.draw(st.integers(1, 3), "shards"),
            partition=data.draw(st.sampled_from([None, TotalOrder()]), "partition"),
        )
        expected = run_sequential(job)
        result = run(job, on="serial")
        assert [result.part_bytes(part) for part in result.parts] == expected.parts
        assert result.manifest.totals.records_in == expected.records_in
        assert len(list(result)) == len(expected.records)

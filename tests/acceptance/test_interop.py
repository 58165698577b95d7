"""What DuckDB, polars and pandas write is read here, and what is written here they read: the same rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
import zstandard

from mapreduce import Csv, Job, JobResult, JsonLines, Parquet, Records, Text, run
from mapreduce.model import Split

ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "path": ["/", "/a,b", '/"quoted"', "/é😀", "", "/two\nlines"][number % 6],
        "share": number / 7,
        "ok": number % 3 == 0,
        "day": date(2024, 1, 1 + number % 28),
        "at": datetime(2024, 1, 1, number % 24, 30, 15, 250_000),
    }
    for number in range(1, 500)
]
FRAME = pl.DataFrame(ROWS)


def read(source: Any) -> list[Any]:
    """All records, through small splits."""
    cuts = enumerate(source.splits(source.files()))
    splits = [Split.of(index, cut) for index, cut in cuts]
    return [record for split in splits for block in source.read(split) for record in block.records]


def frames(source: Any) -> list[dict[str, Any]]:
    cuts = enumerate(source.splits(source.files()))
    splits = [Split.of(index, cut) for index, cut in cuts]
    return [row for split in splits for block in source.read_frames(split) for row in block.frame.to_dicts()]


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if name in ("day", "at") else value for name, value in row.items()}


# ---------------------------------------------------------------- theirs, read here


def duck(statement: str) -> None:
    with duckdb.connect() as connection:
        connection.register("rows", FRAME.to_arrow())
        connection.execute(statement)


PARQUET: dict[str, Callable[[], object]] = {
    "duckdb": lambda: duck("COPY rows TO 'in.parquet' (FORMAT parquet)"),
    "duckdb in groups": lambda: duck(
        "SET preserve_insertion_order=true; "
        "COPY (SELECT r.* FROM rows r, range(10) n ORDER BY n.range, r.id) TO 'in.parquet' "
        "(FORMAT parquet, ROW_GROUP_SIZE 2048, COMPRESSION zstd)"
    ),
    "duckdb gzip": lambda: duck("COPY rows TO 'in.parquet' (FORMAT parquet, COMPRESSION gzip)"),
    "polars": lambda: FRAME.write_parquet("in.parquet"),
    "polars in groups": lambda: FRAME.write_parquet("in.parquet", row_group_size=50, compression="snappy"),
    "polars uncompressed": lambda: FRAME.write_parquet("in.parquet", compression="uncompressed"),
    "pandas": lambda: FRAME.to_pandas().to_parquet("in.parquet"),
    "pandas in groups": lambda: FRAME.to_pandas().to_parquet("in.parquet", row_group_size=77, version="1.0"),
}


@pytest.mark.parametrize("writer", PARQUET)
def test_their_parquet(writer: str) -> None:
    PARQUET[writer]()
    source = Parquet("in.parquet", split_size=2000, block_size=1000)
    found = read(source)
    expected = ROWS * (len(found) // len(ROWS))
    assert ("groups" in writer) == (len(source.splits(source.files())) > 1)
    assert [{**row, "day": as_date(row["day"])} for row in found] == expected
    assert frames(source) == found
    assert read(Parquet("in.parquet", columns=["ok", "id"])) == [
        {"ok": row["ok"], "id": row["id"]} for row in expected
    ]


def as_date(value: Any) -> date:
    return value.date() if isinstance(value, datetime) else value


CSV: dict[str, Callable[[], object]] = {
    "duckdb": lambda: duck("COPY rows TO 'in.csv' (FORMAT csv, HEADER)"),
    "duckdb gzip": lambda: duck("COPY rows TO 'in.csv' (FORMAT csv, HEADER, COMPRESSION gzip)"),
    "duckdb zstd": lambda: duck("COPY rows TO 'in.csv' (FORMAT csv, HEADER, COMPRESSION zstd)"),
    "polars": lambda: FRAME.write_csv("in.csv"),
    "polars quoted": lambda: FRAME.write_csv("in.csv", quote_style="always"),
    "pandas": lambda: FRAME.to_pandas().to_csv("in.csv", index=False),
    "pandas bz2": lambda: FRAME.to_pandas().to_csv("in.csv", index=False, compression="bz2"),
    "pandas xz crlf": lambda: FRAME.to_pandas().to_csv(
        "in.csv", index=False, compression="xz", lineterminator="\r\n"
    ),
}


@pytest.mark.parametrize("writer", CSV)
def test_their_csv(writer: str) -> None:
    CSV[writer]()
    schema = {"id": int, "path": str, "share": float}
    source = Csv("in.csv", multiline=True, schema=schema, block_size=1000)
    found = read(source)
    assert [(int(row["id"]), row["path"], float(row["share"])) for row in found] == [
        (row["id"], row["path"], row["share"]) for row in ROWS
    ]
    assert frames(source) == [{name: row[name] for name in schema} for row in ROWS]


JSON: dict[str, Callable[[], object]] = {
    "duckdb": lambda: duck("COPY rows TO 'in.jsonl' (FORMAT json)"),
    "duckdb gzip": lambda: duck("COPY rows TO 'in.jsonl' (FORMAT json, COMPRESSION gzip)"),
    "polars": lambda: FRAME.write_ndjson("in.jsonl"),
    "pandas": lambda: FRAME.to_pandas().to_json(
        "in.jsonl", orient="records", lines=True, double_precision=15, date_format="iso"
    ),
    "pandas xz": lambda: FRAME.to_pandas().to_json(
        "in.jsonl", orient="records", lines=True, compression="xz", double_precision=15, date_format="iso"
    ),
}


@pytest.mark.parametrize("writer", JSON)
def test_their_json_lines(writer: str) -> None:
    JSON[writer]()
    schema = {"path": str, "share": float, "ok": bool, "id": int}
    source = JsonLines("in.jsonl", schema=schema, split_size=5000, block_size=1000)
    expected = [{name: row[name] for name in schema} for row in ROWS]
    found = [{name: row[name] for name in schema} for row in read(source)]
    for row in [*found, *expected]:
        row["share"] = round(row["share"], 14)
    assert found == expected
    assert [{**row, "share": round(row["share"], 14)} for row in frames(source)] == expected


# ---------------------------------------------------------------- ours, read by them


def written(output: Any) -> JobResult:
    """The rows, written by a job in two parts."""
    return run(Job("out", Records(ROWS, split_size=300), lambda row: [row], None, output), on="serial")


def files_of(result: JobResult) -> list[str]:
    assert len(result.parts) == 2
    return [str(result.path / part.name) for part in result.parts]


def test_our_parquet() -> None:
    schema = {"id": int, "path": str, "share": float, "ok": bool, "day": date, "at": datetime}
    result = written(Parquet("out", row_group_size=64, schema=schema))
    files = files_of(result)
    assert pl.concat(pl.read_parquet(file) for file in files).rows(named=True) == ROWS
    assert list(result) == ROWS
    tables = [pd.read_parquet(file) for file in files]
    assert pl.from_pandas(pd.concat(tables))["path"].to_list() == [row["path"] for row in ROWS]
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT * FROM read_parquet(?) ORDER BY id", [files]).fetchall()
        assert rows == [tuple(row.values()) for row in ROWS]
        groups = "SELECT count(DISTINCT row_group_id) FROM parquet_metadata(?)"
        assert connection.execute(groups, [files[0]]).fetchall() == [(5,)]
    assert read(Parquet("out")) == ROWS


@pytest.mark.parametrize("compression", [None, "gz", "zst"])
def test_our_csv(compression: str | None) -> None:
    files = files_of(written(Csv("out", compression=compression)))
    assert all(file.endswith(".csv" + (f".{compression}" if compression else "")) for file in files)
    expected = [(row["id"], row["path"], row["share"]) for row in ROWS]
    tables = [pd.read_csv(file, keep_default_na=False) for file in files]
    assert list(pd.concat(tables)[["id", "path", "share"]].itertuples(index=False, name=None)) == expected
    table = pl.concat(pl.read_csv(file) for file in files)
    assert table.select("id", "path", "share").rows() == expected
    with duckdb.connect() as connection:
        query = "SELECT id, path, share, ok, day, \"at\" FROM read_csv(?, nullstr='NULL') ORDER BY id"
        assert connection.execute(query, [files]).fetchall() == [tuple(row.values()) for row in ROWS]
    found = read(Csv("out", multiline=True))
    assert [(int(row["id"]), row["path"], float(row["share"])) for row in found] == expected


@pytest.mark.parametrize("compression", [None, "gz", "bz2", "xz", "zst"])
def test_our_json_lines(compression: str | None) -> None:
    result = written(JsonLines("out", compression=compression))
    files = files_of(result)
    names = ["id", "path", "share", "ok"]
    expected = [tuple(row[name] for name in names) for row in ROWS]
    tables = [pd.read_json(file, lines=True, precise_float=True) for file in files]
    assert list(pd.concat(tables)[names].itertuples(index=False, name=None)) == expected
    if compression in (None, "gz", "zst"):
        with duckdb.connect() as connection:
            query = "SELECT id, path, share, ok FROM read_json(?, format='newline_delimited') ORDER BY id"
            assert connection.execute(query, [files]).fetchall() == expected
        table = pl.concat(pl.read_ndjson(file) for file in files)
        assert table.select(names).rows() == expected
    assert [as_tuple(row, names) for row in result] == expected
    assert [as_tuple(row, names) for row in read(JsonLines("out"))] == expected


def as_tuple(row: dict[str, Any], names: list[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def test_our_compressed_text_is_read_by_other_tools() -> None:
    job = Job("out", Records(["a", "b"]), lambda line: [line], None, Text("gz", compression="gz"))
    (part,) = run(job, on="serial").parts
    assert gzip.decompress(Path("gz", part.name).read_bytes()) == b"a\nb\n"
    job = Job("out", Records(["a", "b"]), lambda line: [line], None, Text("zst", compression="zst"))
    (part,) = run(job, on="serial").parts
    stored = Path("zst", part.name).read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(stored) == b"a\nb\n"
    assert (part.size, part.plain_size) == (len(stored), 4)
    assert json.loads(Path("zst", "_manifest.json").read_text())["parts"][0]["size"] == len(stored)

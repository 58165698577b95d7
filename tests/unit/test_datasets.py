"""Datasets: their options, their files, and the outputs' texts and tables."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
import zstandard

from mapreduce import Csv, Files, Job, JobResult, JsonLines, Parquet, Records, Sum, Text, run
from mapreduce.datasets import as_source, parquetwriter
from mapreduce.datasets.compression import compressing
from mapreduce.datasets.csvframes import plain_text_frame
from mapreduce.datasets.parquetwriter import ParquetWriter
from mapreduce.errors import InputError, JobError, RecordError
from mapreduce.model import Location, Split
from mapreduce.protocols import FrameSource, Output, Source
from mapreduce.testing import run_sequential

FORMATS = [Text, JsonLines, Csv, Parquet]


def read(source: Any) -> list[Any]:
    cuts = enumerate(source.splits(source.files()))
    splits = [Split.of(index, cut) for index, cut in cuts]
    return [record for split in splits for block in source.read(split) for record in block.records]


def frames(source: Any) -> list[Any]:
    cuts = enumerate(source.splits(source.files()))
    splits = [Split.of(index, cut) for index, cut in cuts]
    return [block.frame for split in splits for block in source.read_frames(split)]


@pytest.mark.parametrize("cls", FORMATS)
def test_each_format_is_a_source_of_frames_and_an_output(cls: Any) -> None:
    dataset = cls("folder")
    assert isinstance(dataset, Source)
    assert isinstance(dataset, FrameSource)
    assert isinstance(dataset, Output)
    assert as_source(dataset) is dataset
    assert dataset.path == "folder"
    assert cls(["a", "b"]).path is None
    assert pickle.loads(pickle.dumps(dataset)).paths == ["folder"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Text("x", compression="zip"), "compression='zip'"),
        (lambda: Text("x", max_ratio=0), "max_ratio=0"),
        (lambda: Text("x", growing=True), "growing=True"),
        (lambda: Text("x", record_start="("), r"record_start='\(' is no regular expression"),
        (lambda: Text("x", record_start=b"a"), "record_start=b'a'"),
        (lambda: Text("x", storage_options=""), "storage_options=''"),
        (lambda: JsonLines("x", encoding="utf-16"), "JsonLines: utf-16 can't be cut"),
        (lambda: JsonLines("x", schema={}), "schema is no dict"),
        (lambda: JsonLines("x", schema={"a": "int"}), "the column 'a' has the type 'int'"),
        (lambda: Csv("x", separator="ab"), "separator='ab'"),
        (lambda: Csv("x", separator="\n"), "separator"),
        (lambda: Csv("x", quote=","), "both ','"),
        (lambda: Csv("x", header=["a", "a"]), r"header=\['a', 'a'\]"),
        (lambda: Csv("x", header=[]), r"header=\[\]"),
        (lambda: Parquet("x", columns="a"), "columns='a'"),
        (lambda: Parquet("x", row_group_size=0), "row_group_size=0"),
        (lambda: Files("x", per_task=0), "per_task=0"),
    ],
)
def test_wrong_options_are_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises(JobError, match=says) as caught:
        make()
    assert caught.value.hint


@pytest.mark.parametrize("cls", [JsonLines, Csv])
def test_frames_need_a_schema(cls: Any) -> None:
    Path("a").write_text("1\n")
    with pytest.raises(JobError, match="frames need schema=") as caught:
        frames(cls("a"))
    assert "datetime" in caught.value.hint


def test_frames_hold_no_escaped_bytes() -> None:
    Path("a").write_text("1\n")
    with pytest.raises(JobError, match="surrogateescape"):
        frames(Text("a", errors="surrogateescape"))


def test_types_of_frames() -> None:
    schema: dict[str, Any] = {"s": str, "i": int, "f": float, "b": bool, "d": date, "t": datetime}
    schema |= {"u": pl.UInt8, "c": pl.Decimal(9, 2)}
    Path("a.csv").write_text(
        "c,u,t,d,b,f,i,s\n1.25,255,2024-01-02T03:04:05,2024-01-02,true,1e3,-7,x\n,,,,,,,\n"
    )
    Path("a.jsonl").write_text(
        '{"s":"x","i":-7,"f":1000,"b":true,"d":"2024-01-02","t":"2024-01-02T03:04:05","u":255,"c":"1.25"}\n'
        '{"s":"","extra":1}\n'
    )
    (table,) = frames(Csv("a.csv", schema=schema))
    assert table.columns == list(schema)
    first = ("x", -7, 1000.0, True, date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5), 255)
    assert [row[:-1] for row in table.rows()] == [first, ("", *[None] * 6)]
    assert str(table["c"][0]) == "1.25"
    del schema["c"]
    (table,) = frames(JsonLines("a.jsonl", schema=schema))
    assert table.rows() == [first, ("", *[None] * 6)]
    assert table.schema == pl.Schema(
        {"s": pl.String, "i": pl.Int64, "f": pl.Float64, "b": pl.Boolean, "d": pl.Date}
        | {"t": pl.Datetime("us"), "u": pl.UInt8}
    )


def test_ordinary_rows_are_read_by_polars() -> None:
    assert plain_text_frame(["a", "b"], b"1,2\r\n,x\n", ",", ["b"]).rows() == [("2",), ("x",)]
    for unlike in (b"1,2\n\n3,4\n", b"1,2,3\n4\n", b"1\n2\n", b"a\r,b\n"):
        assert plain_text_frame(["a", "b"], unlike, ",", ["b"]) is None


def test_locations_say_what_they_count() -> None:
    assert str(Location("a.parquet", 1234, 1, "row")) == "a.parquet, row 1,234"
    assert str(Location("a.log", 1234, 1)) == "a.log, byte 1,234"


def test_csv_variants() -> None:
    Path("a.csv").write_bytes(b"x;'y;z'\n'it''s';\n")
    assert read(Csv("a.csv", separator=";", quote="'", header=False)) == [("x", "y;z"), ("it's", "")]
    Path("b.csv").write_bytes(b'1,"2\n')
    assert read(Csv("b.csv", quote=None, header=["a", "b"])) == [{"a": "1", "b": '"2'}]
    Path("c.csv").write_bytes("é|ü\nä|ö\n".encode("latin-1"))
    assert read(Csv("c.csv", separator="|", encoding="latin-1")) == [{"é": "ä", "ü": "ö"}]


# ---------------------------------------------------------------- Files


def test_files_as_records(own_folder: Path) -> None:
    for number in range(5):
        Path(f"{number}.bin").write_bytes(b"x" * number)
    fsspec.filesystem("memory").pipe_file("/files/a.gz", gzip.compress(b"packed"))

    def sizes(file: Any) -> list[tuple[str, int]]:
        with file.open() as stream:
            return [(file.path, len(stream.read()))]

    job = Job("files", Files(["*.bin", "memory://files/*"], per_task=2), sizes, Sum())
    result = run(job, on="serial")
    packed = len(gzip.compress(b"packed"))
    assert dict(result) == {f"{n}.bin": n for n in range(5)} | {"memory:///files/a.gz": packed}
    assert result.manifest.tasks["map"] == 3
    assert sorted(run_sequential(job).records) == sorted(result)
    assert len(read(Files("*.bin", per_task=9))) == 5
    (cut,) = Files("*.bin", per_task=9).splits(Files("*.bin").files())
    limited = Split.of(0, cut, records=3)
    assert sum(len(block.records) for block in Files("*.bin").read(limited)) == 3
    (record, *_) = read(Files("1.bin"))
    assert pickle.loads(pickle.dumps(record)) == record
    assert record.size == 1


# ---------------------------------------------------------------- storage


def test_parquet_behind_a_url_is_read_in_parts() -> None:
    data = io.BytesIO()
    pl.DataFrame({"n": range(1000)}).write_parquet(data, row_group_size=100, compression="uncompressed")
    fsspec.filesystem("memory").pipe_file("/tables/a.parquet", data.getvalue())
    source = Parquet("memory://tables/a.parquet", split_size=1)
    assert len(source.splits(source.files())) == 10
    assert [row["n"] for row in read(source)] == list(range(1000))


@pytest.mark.parametrize("name", ["~home.parquet", "[x]*.parquet", "a=1.parquet", "ü.parquet", "with space"])
def test_parquet_in_a_file_of_any_name(name: str) -> None:
    pl.DataFrame({"n": [1, 2]}).write_parquet(Path(name).resolve())
    assert read(Parquet(name)) == [{"n": 1}, {"n": 2}]


# ---------------------------------------------------------------- compressed outputs


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize("kind", UNPACKERS)
def test_the_bytes_do_not_depend_on_how_they_are_written(kind: str) -> None:
    data = b"".join(b"%d %d\n" % (n, n * n % 977) for n in range(60_000))
    found = set()
    for step in (7_001, 131_072, len(data)):
        stream = io.BytesIO()
        with compressing(stream, kind) as plain:
            for start in range(0, len(data), step):
                plain.write(data[start : start + step])
        found.add(stream.getvalue())
    (stored,) = found
    assert UNPACKERS[kind](stored) == data
    if kind == "gzip":
        assert stored[4:8] == b"\0\0\0\0", "no time"
        assert stored[3] == 0, "no name"


def test_zstd_without_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    job = Job("out", Records([{"a": 1}]), lambda row: [row], None, JsonLines("out", compression="zst"))
    with pytest.raises(JobError, match="zstd needs the module zstandard") as caught:
        run(job, on="serial")
    assert "mapreduce[zstd]" in caught.value.hint


@pytest.mark.parametrize("output", [Csv, JsonLines, Text])
@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_compressed_result_is_the_reference_s_and_is_read_back(output: Any, compression: str) -> None:
    items = [f"word{n % 100}" for n in range(1000)]
    job = Job(
        "out",
        Records(items),
        lambda word: [(word, 1)],
        Sum(),
        output("out", compression=compression),
        shards=3,
    )
    result = run(job, on="serial")
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts
    value = 10 if output is JsonLines else "10"
    assert sorted(JobResult.load("out")) == sorted((word, value) for word in set(items))


@pytest.mark.parametrize(
    ("lines", "by_columns"), [(["b", "a\tc", "", "é"], True), (["a", "b\r"], False), (["a\nb"], False)]
)
def test_a_frame_with_the_column_line_is_lines_of_text(lines: list[str], by_columns: bool) -> None:
    frame, stream = pl.DataFrame({"line": lines}), io.BytesIO()
    writer = Text("x").writer(stream)
    assert writer.write_frame(frame) is by_columns
    if by_columns:
        assert stream.getvalue().decode().split("\n") == [*lines, ""]
        assert (writer.records, writer.pairs) == (len(lines), False)
    else:
        assert stream.getvalue() == b""
        with pytest.raises(RecordError, match="line end in it"):
            writer.write(frame.iter_rows(named=True))


# ---------------------------------------------------------------- CSV and Parquet outputs


def csv_bytes(records: list[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    writer = Csv("x", **options).writer(stream)
    writer.write(records)
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("records", "written"),
    [
        ([], b""),
        ([("a", 1), ("b", None)], b"key,value\na,1\nb,\n"),
        ([{"a": None}], b'a\n""\n'),
        ([{"a": ""}], b'a\n""\n'),
        ([{"a": "x", "b": 1}, {"b": 2, "a": "y"}], b"a,b\nx,1\ny,2\n"),
        ([("a,b", 'say "x"')], b'key,value\n"a,b","say ""x"""\n'),
        ([("a\nb", "c\r")], b'key,value\n"a\nb","c\r"\n'),
        ([(1.5, float("nan"))], b"key,value\n1.5,NaN\n"),
        ([(-0.0, float("inf"))], b"key,value\n-0.0,inf\n"),
        ([(("a", 1), [1, {"b": None}])], b'key,value\n"[""a"",1]","[1,{""b"":null}]"\n'),
        ([(True, date(2024, 1, 2))], b"key,value\ntrue,2024-01-02\n"),
        (
            [("é".encode(), datetime(2024, 1, 2, tzinfo=UTC))],
            "key,value\né,2024-01-02T00:00:00+00:00\n".encode(),
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_text_of_rows(records: list[Any], written: bytes) -> None:
    assert csv_bytes(records) == written


def test_lines_of_bytes_that_are_not_text_are_read_back() -> None:
    lines = Records([b"\xff", b"a"])
    result = run(Job("bytes", lines, lambda line: [line], None, Text("bytes")), on="serial")
    assert list(result) == ["\udcff", "a"]


def test_csv_without_a_header_or_with_a_given_one() -> None:
    assert csv_bytes([("a", 1)], header=False) == b"a,1\n"
    assert csv_bytes([], header=["b", "a"]) == b"b,a\n"
    assert csv_bytes([{"a": 1, "b": 2}], header=["b", "a"]) == b"b,a\n2,1\n"
    assert csv_bytes([("a;", "b")], separator=";", quote="'") == b"key;value\n'a;';b\n"


@pytest.mark.parametrize(
    ("records", "options", "says"),
    [
        ([{"a": 1}, {"b": 1}], {}, "fields b, its part has a"),
        ([{"a": 1}, {"a": 1, "b": 1}], {}, "fields a, b, its part has a"),
        ([("a", 1), {"a": 1}], {}, "its part has key, value"),
        (["text"], {}, "record of type str"),
        ([{}], {}, "record of type dict"),
        ([{1: 2}], {}, "record of type dict"),
        ([("a,b", 1)], {"quote": None}, "needs quotes"),
        ([("\ud800", 1)], {}, "utf-8 can't hold"),
        ([("a", object())], {}, "type object"),
    ],
)
def test_what_csv_refuses(records: list[Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        csv_bytes(records, **options)
    assert caught.value.hint


def columns_of(data: bytes) -> str:
    schema = pl.read_parquet_schema(io.BytesIO(data))
    return ", ".join(f"{name}: {kind}" for name, kind in schema.items())


def parquet(records: list[Any], **options: Any) -> tuple[bytes, Any]:
    stream = io.BytesIO()
    writer = Parquet("x", **options).writer(stream)
    writer.write(iter(records))
    writer.close()
    return stream.getvalue(), writer


NOON = datetime(2024, 1, 2, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("records", "schema", "back"),
    [
        ([("a", 1), ("b", None)], "key: String, value: Int64", None),
        ([(("a", 1), True)], "key: Struct({'0': String, '1': Int64}), value: Boolean", None),
        ([((("a", 1), None), 1.5)], "key: Struct({'0': Struct({'0': String, '1': Int64}), '1': Null})", None),
        ([{"a": b"\xff", "d": date(2024, 1, 2)}], "a: Binary, d: Date", None),
        ([{"t": NOON}], "t: Datetime(time_unit='us', time_zone='UTC')", [{"t": NOON}]),
        ([{"t": datetime(2024, 1, 2)}], "t: Datetime(time_unit='us', time_zone=None)", None),
        ([{"l": []}, {"l": [None]}, {"l": [1]}, {"l": None}], "l: List(Int64)", None),
        (
            [{"s": {"x": 1, "y": None}}, {"s": {"y": "b", "x": 2}}],
            "s: Struct({'x': Int64, 'y': String})",
            None,
        ),
        ([{"a": None}], "a: Null", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_tables_of_records(records: list[Any], schema: str, back: list[Any] | None) -> None:
    data, writer = parquet(records)
    assert columns_of(data).startswith(schema)
    assert list(Parquet("x").read_part(io.BytesIO(data), writer.pairs)) == (back or records)


def test_a_record_may_be_changed_when_it_was_given() -> None:
    def records() -> Any:
        record: dict[str, Any] = {"n": 0, "l": [0]}
        for number in range(3):
            record["n"] = number
            record["l"][0] = number
            yield record

    data, _ = parquet(records())  # type: ignore[arg-type]
    assert pl.read_parquet(io.BytesIO(data)).rows() == [(0, [0]), (1, [1]), (2, [2])]


def test_a_type_may_become_known_late() -> None:
    records = [{"a": None, "l": []}] * 20_000 + [{"a": "x", "l": [1.5]}]
    data, _ = parquet(records)
    assert columns_of(data) == "a: String, l: List(Float64)"
    assert pl.read_parquet(io.BytesIO(data)).tail(1).rows() == [("x", [1.5])]


def test_a_table_with_a_given_schema() -> None:
    schema = {"a": float, "b": pl.Int8, "d": date}
    data, _ = parquet([{"a": 1, "b": 2, "d": None}, {"d": "2024-01-02", "b": None, "a": 2.5}], schema=schema)
    assert columns_of(data) == "a: Float64, b: Int8, d: Date"
    table = pl.read_parquet(io.BytesIO(data))
    assert table.rows() == [(1.0, 2, None), (2.5, None, date(2024, 1, 2))]
    data, _ = parquet([], schema=schema)
    assert pl.read_parquet(io.BytesIO(data)).schema == table.schema
    assert columns_of(parquet([])[0]) == ""


def test_the_bytes_of_a_table_do_not_depend_on_batches() -> None:
    records = [{"a": n, "b": f"text {n % 99}"} for n in range(40_000)]
    stream = io.BytesIO()
    writer = Parquet("x", row_group_size=1000).writer(stream)
    for start in range(0, len(records), 777):
        writer.write(records[start : start + 777])
    writer.close()
    assert stream.getvalue() == parquet(records, row_group_size=1000)[0]
    assert writer.records == 40_000


@pytest.mark.parametrize(
    ("records", "options", "says"),
    [
        ([{"a": 1}, {"a": "x"}], {}, "column 'a' has values of the types int and str"),
        ([{"a": 1}, {"a": 1.5}], {}, "types int and float"),
        ([{"a": True}, {"a": 1}], {}, "types bool and int|types int and bool"),
        ([{"a": [1, "x"]}], {}, "types int and str|types list"),
        ([{"a": {"x": 1}}, {"a": {"y": 1}}], {}, r"types \{x: int\} and \{y: int\}"),
        ([{"a": NOON}, {"a": datetime(2024, 1, 1)}], {}, "datetime with a time zone and datetime"),
        ([{"a": 2**63}], {}, "'a' is Int64, and can't hold 9223372036854775808"),
        ([{"a": "\ud800"}], {}, "'a' is String"),
        ([{"a": {1}}], {}, "can't hold a set"),
        ([{"a": {}}], {}, "can't hold a dict"),
        ([{"a": 1}, {"b": 1}], {}, "its part has a"),
        (["x"], {}, "record of type str"),
        ([{"a": "x"}], {"schema": {"a": int}}, "'a' is Int64, and can't hold 'x'"),
        ([{"a": True}], {"schema": {"a": int}}, "'a' is Int64, and can't hold True"),
        ([{"a": 300}], {"schema": {"a": pl.Int8}}, "can't hold 300"),
    ],
)
def test_what_parquet_refuses(records: list[Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        parquet(records, **options)
    assert caught.value.hint


def test_an_unknown_scheme_with_a_profile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("profiles.toml").write_text("[p]\n")
    monkeypatch.setenv("MAPREDUCE_PROFILES", str(Path("profiles.toml").resolve()))
    with pytest.raises(InputError, match="nothing://x can't be opened"):
        Text("nothing://x", storage_options="p").files()


ROWS_OF_ALL_TYPES: list[Any] = [
    {
        "n": None if number % 5 == 0 else number,
        "late": None if number < 40 else f"text {number}",
        "x": number / 7,
        "b": b"%d" % number,
        "o": number % 2 == 0,
        "d": date(2026, 1, 1 + number % 28),
        "t": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        "l": [number, None],
        "s": {"a": number, "b": f"{number}"},
        "tuple": (number, "x"),
    }
    for number in range(100)
]


@pytest.mark.parametrize("schema", [None, {"key": int, "value": str}], ids=["inferred", "given"])
@pytest.mark.parametrize("size", [1, 700, 5_000])
def test_a_parquet_part_that_waits_in_files_has_the_same_bytes(
    schema: Any, size: int, monkeypatch: pytest.MonkeyPatch, own_folder: Path
) -> None:
    rows = ROWS_OF_ALL_TYPES if schema is None else [(number, f"{number}") for number in range(100)]
    monkeypatch.setattr(parquetwriter, "_BATCH", 7)

    def written(spool_bytes: int) -> bytes:
        monkeypatch.setattr(parquetwriter, "SPOOL_BYTES", spool_bytes)
        stream = io.BytesIO()
        writer = ParquetWriter(stream, schema, 16, own_folder)
        writer.write(rows)
        writer.close()
        return stream.getvalue()

    assert written(size) == written(2**30)
    assert list(own_folder.iterdir()) == []

"""The splitter law for every format: the splits' records are those of one whole read, in frames too.

`reading.check` is the law.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import polars as pl
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from property.reading import check, splits_of, whole_read

from mapreduce import Csv, JsonLines, Parquet, Text
from mapreduce.datasets import lines
from mapreduce.errors import RecordTooLarge
from mapreduce.model import Location

BOM = b"\xef\xbb\xbf"
SMALL = st.integers(1, 12) | st.integers(1, 200)
LINE_ENDS = st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\r\n\r\n"])
PATTERNS = st.sampled_from(["a", "b|\0", "$", "[^ab]", "z"])
TEXTS = st.text(st.sampled_from('ab ,;"\\\r\0\u2028é😀\ufeff'), max_size=5)

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def packed(kind: str, data: bytes, cuts: list[int]) -> bytes:
    """Compressed, a member between each two cuts; some are empty."""
    borders = sorted([0, len(data), *(cut % (len(data) + 1) for cut in cuts)])
    return b"".join(PACKERS[kind](data[a:b]) for a, b in pairwise(borders))


# ---------------------------------------------------------------- text


valid_text = st.lists(
    st.sampled_from(
        ["\n", "\n", "\r\n", "\r", "a", "b", "\0", "\u2028", "é", "😀", "\ufeff", "x\1", "y" * 9]
    ),
    max_size=25,
).map("".join)
marked = st.builds(bytes.__add__, st.sampled_from([b"", b"", BOM]), valid_text.map(str.encode))


@given(data=marked, split_size=SMALL, block_size=SMALL)
@example(data=b"x\1\nb\n", split_size=9, block_size=9)
@example(data=b"a\r", split_size=1, block_size=1)
def test_frames_of_lines(folder: Path, data: bytes, split_size: int, block_size: int) -> None:
    (folder / "text").write_bytes(data)
    source = Text(folder / "text", split_size=split_size, block_size=block_size)
    check(source, lambda line: (line,))


@given(data=marked, split_size=SMALL, block_size=SMALL, probe=st.integers(1, 20))
@example(data=b"a\nb\nc", split_size=99, block_size=3, probe=1)
def test_lines_of_blocks_whose_end_is_looked_for(
    folder: Path, data: bytes, split_size: int, block_size: int, probe: int
) -> None:
    """As it is done with large blocks of plain files; the cuts are the same."""
    (folder / "probed").write_bytes(data)
    source = Text(folder / "probed", split_size=split_size, block_size=block_size)
    blocks = [block.location for split in splits_of(source) for block in source.read(split)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "PROBED_BLOCK", 1)
        patch.setattr(lines, "PROBE", probe)
        check(source, lambda line: (line,))
        assert [block.location for split in splits_of(source) for block in source.read(split)] == blocks


def line_blocks(
    stream: BinaryIO, start: int, stop: int | None, block_size: int, max_record: int
) -> tuple[list[tuple[int, bytes]], list[tuple[Location, bytes]]]:
    """Blocks, and the lines that were left out, each with its beginning."""
    stream.seek(max(start - 1, 0))
    large: list[tuple[Location, bytes]] = []

    def take_large(place: Location, beginning: bytes, _: RecordTooLarge) -> None:
        large.append((place, beginning))

    return [*lines.line_blocks(stream, start, stop, block_size, max_record, "u", take_large)], large


@given(
    data=st.lists(st.sampled_from([b"\n", b"a", b"bcd", b"e" * 9]), max_size=40).map(b"".join),
    start=st.integers(0, 60),
    size=st.none() | SMALL,
    block_size=SMALL,
    probe=st.integers(1, 20),
    max_record=st.integers(1, 12) | st.just(1000),
)
@example(data=b"a\nb\nbcdbcdb\na", start=1, size=None, block_size=2, probe=9, max_record=4)
def test_blocks_and_lines_left_out_are_the_same_however_ends_are_found(
    data: bytes, start: int, size: int | None, block_size: int, probe: int, max_record: int
) -> None:
    stop = None if size is None else start + size
    found = line_blocks(io.BytesIO(data), start, stop, block_size, max_record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "PROBED_BLOCK", 1)
        patch.setattr(lines, "PROBE", probe)
        probed = line_blocks(
            io.BufferedReader(io.BytesIO(data)),  # type: ignore[type-var, unused-ignore]
            start,
            stop,
            block_size,
            max_record,
        )
    assert probed == found
    for place, beginning in found[1]:
        assert beginning
        assert data.startswith(beginning, place.offset)


class _Kept(io.BufferedReader):
    """Remembers what it gave."""

    def __init__(self, raw: io.BytesIO) -> None:
        super().__init__(raw)  # type: ignore[type-var, unused-ignore]
        self.given: list[bytes] = []

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.given.append(data)
        return data


def test_large_blocks_are_not_copied_to_be_cut() -> None:
    data = b"".join(b"%07d\n" % number for number in range(2**19))
    stream = _Kept(io.BytesIO(data))
    start, stop = 1_000_001, 3_999_999
    blocks, _ = line_blocks(stream, start, stop, lines.PROBED_BLOCK, 100)
    assert len(blocks) == 3
    assert b"".join(block for _, block in blocks) == data[1_000_008:4_000_000]
    assert all(any(block is given for given in stream.given) for _, block in blocks)


@given(
    data=marked, split_size=SMALL, block_size=SMALL, pattern=st.sampled_from(["a", "b|\0", "$", "[^ab]", "z"])
)
@example(data=b"x\na\nb\na\r\nc\r", split_size=3, block_size=2, pattern="a")
@example(data=BOM + b"x\na", split_size=1, block_size=1, pattern="a")
def test_records_of_several_lines(
    folder: Path, data: bytes, split_size: int, block_size: int, pattern: str
) -> None:
    (folder / "grouped").write_bytes(data)
    source = Text(folder / "grouped", record_start=pattern, split_size=split_size, block_size=block_size)
    check(source, lambda record: (record,))


@pytest.mark.parametrize("kind", PACKERS)
@given(data=marked, cuts=st.lists(st.integers(0, 300), max_size=4), block_size=SMALL)
@example(data=b"", cuts=[], block_size=1)
@example(data=BOM + b"a", cuts=[1], block_size=1)
def test_compressed_in_several_members(
    folder: Path, kind: str, data: bytes, cuts: list[int], block_size: int
) -> None:
    (folder / "plain").write_bytes(data)
    path = folder / f"packed-{kind}"
    path.write_bytes(packed(kind, data, cuts))
    source = Text(path, split_size=3, block_size=block_size)
    assert source.files()[0].compression == kind
    assert check(source, lambda line: (line,)) == whole_read(Text(folder / "plain"))


# ---------------------------------------------------------------- JSON lines


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
separators = st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\n \t\n"])


def lines_of(texts: list[tuple[str, str]], ended: bool) -> bytes:
    joined = "".join(text + end for text, end in texts)
    return (joined if ended else joined.rstrip("\r\n")).encode()


@given(
    items=st.lists(st.tuples(values, separators), max_size=8),
    ascii_only=st.booleans(),
    ended=st.booleans(),
    bom=st.sampled_from([b"", BOM]),
    split_size=SMALL,
    block_size=SMALL,
)
def test_json_lines(
    folder: Path,
    items: list[tuple[Any, str]],
    ascii_only: bool,
    ended: bool,
    bom: bytes,
    split_size: int,
    block_size: int,
) -> None:
    texts = [(json.dumps(item, ensure_ascii=ascii_only), end) for item, end in items]
    (folder / "json").write_bytes(bom + lines_of(texts, ended))
    source = JsonLines(folder / "json", split_size=split_size, block_size=block_size)
    assert repr([record for record, *_ in check(source)]) == repr([item for item, _ in items])


objects = st.fixed_dictionaries(
    {},
    optional={
        "text": st.none() | TEXTS,
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "share": st.none() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53),
        "flag": st.none() | st.booleans(),
        "other": values,
    },
)


@given(items=st.lists(st.tuples(objects, separators), max_size=8), split_size=SMALL, block_size=SMALL)
def test_frames_of_json_lines(
    folder: Path, items: list[tuple[dict[str, Any], str]], split_size: int, block_size: int
) -> None:
    (folder / "objects").write_bytes(lines_of([(json.dumps(item), end) for item, end in items], True))
    schema = {"number": int, "text": str, "share": float, "flag": bool}

    def row(record: dict[str, Any]) -> tuple[Any, ...]:
        share = record.get("share")
        given = (record.get("number"), record.get("text"), share, record.get("flag"))
        return (*given[:2], None if share is None else float(share), given[3])

    check(JsonLines(folder / "objects", schema=schema, split_size=split_size, block_size=block_size), row)


# ---------------------------------------------------------------- CSV


def csv_field(text: str, quoted: bool, breaks: bool, separator: str) -> str:
    text = text if breaks else text.replace("\n", " ")
    if quoted or text.startswith('"') or separator in text or "\n" in text or text.endswith("\r"):
        return '"' + text.replace('"', '""') + '"'
    return text


fields = st.tuples(st.text(st.sampled_from('ax\1 ,;"\r\n\0é\u2028\ufeff'), max_size=5), st.booleans())
tables = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(st.lists(fields, min_size=width, max_size=width), LINE_ENDS), max_size=7)
)


@given(
    rows=tables,
    separator=st.sampled_from(",;"),
    header=st.booleans(),
    multiline=st.booleans(),
    bom=st.sampled_from([b"", BOM]),
    ended=st.booleans(),
    kind=st.sampled_from(["", "", "gzip", "zstd"]),
    split_size=SMALL,
    block_size=SMALL,
)
def test_csv(
    folder: Path,
    rows: list[Any],
    separator: str,
    header: bool,
    multiline: bool,
    bom: bytes,
    ended: bool,
    kind: str,
    split_size: int,
    block_size: int,
) -> None:
    width = len(rows[0][0]) if rows else 1
    names = ["one", 'the "second"', "three"][:width]
    texts = [
        (separator.join(csv_field(text, quoted, multiline, separator) for text, quoted in row) or '""', end)
        for row, end in rows
    ]
    if header:
        head = separator.join(csv_field(name, False, False, separator) for name in names)
        texts.insert(0, (head, "\r\n"))
    data = lines_of(texts, True)
    data = BOM + data if data.startswith(BOM) else bom + data  # the first one is not data
    if not ended and not data.endswith(b"\r\n"):
        data = data.rstrip(b"\n")
    (folder / "table").write_bytes(packed(kind, data, [7]) if kind else data)
    schema = dict.fromkeys(names, str)
    source = Csv(
        folder / "table",
        separator=separator,
        header=header,
        multiline=multiline,
        schema=schema,
        split_size=split_size,
        block_size=block_size,
    )
    found = check(source, lambda record: tuple(record.values()) if header else record)
    expected = [[text if multiline else text.replace("\n", " ") for text, _ in row] for row, _ in rows]
    assert [list(record.values() if header else record) for record, *_ in found] == expected


# ---------------------------------------------------------------- Parquet


@given(
    heights=st.lists(st.integers(0, 9), max_size=3),
    group=st.integers(1, 5),
    split_size=st.integers(1, 3000),
    block_size=SMALL,
    columns=st.sampled_from([None, ["text"], ["when", "number"]]),
)
def test_parquet(
    folder: Path,
    heights: list[int],
    group: int,
    split_size: int,
    block_size: int,
    columns: list[str] | None,
) -> None:
    paths = []
    for number, height in enumerate(heights):
        rows = [
            {
                "number": row if row % 4 else None,
                "text": f"é{row}",
                "when": datetime(2024, 1, 1, row),
                "day": date(2024, 2, 1 + row),
                "nested": {"list": [row] * (row % 3), "bytes": b"\xff"},
            }
            for row in range(height)
        ]
        path = folder / f"table-{number}"
        schema = {
            "number": pl.Int64,
            "text": pl.String,
            "when": pl.Datetime("us"),
            "day": pl.Date,
            "nested": pl.Struct({"list": pl.List(pl.Int64), "bytes": pl.Binary}),
        }
        pl.DataFrame(rows, schema=schema).write_parquet(path, row_group_size=group)
        paths.append(path)
    source = Parquet(paths, columns=columns, split_size=split_size, block_size=block_size)
    check(source, lambda record: tuple(record.values()))

"""The splitter law: however a file is cut, its records are those of one whole read, once each.

The bytes may be anything: LF, CRLF, lone CR, no final newline, empty lines, a byte order mark, NUL, U+2028,
characters of several bytes across a border, a line longer than a split.
"""

import gzip
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapreduce.datasets import Records, Text
from mapreduce.job import Job
from mapreduce.model import Location, Split
from mapreduce.testing import run_sequential

BOM = b"\xef\xbb\xbf"
LINE_ENDS = [b"\n", b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b"\r\r\n", b"\n\r"]
CHARACTERS = [
    text.encode() for text in ("a", "bc", "\0", "\u2028", "\x85", "\v", "é", "😀", "\ufeff", "x" * 70)
]
WRONG = [b"\xff", b"\xc3", b"\xe2\x82", b"\x81"]
"""Bytes that are no UTF-8; the last ones begin a character that an LF must not become a part of."""

valid_bytes = st.lists(st.sampled_from(LINE_ENDS + CHARACTERS), max_size=25).map(b"".join)
any_bytes = st.lists(st.sampled_from(LINE_ENDS + CHARACTERS + WRONG), max_size=25).map(b"".join)
marked_bytes = st.builds(bytes.__add__, st.sampled_from([b"", b"", BOM]), valid_bytes)
sizes = st.integers(1, 12) | st.integers(1, 200)

Found = list[tuple[str, int, int]]


def whole_read(data: bytes, encoding: str, errors: str) -> Found:
    """(record, offset, length) of each line, found by one regular expression."""
    start = 3 if encoding == "utf-8" and data.startswith(BOM) else 0
    lines = re.compile(rb"([^\n]*?)\r?\n|([^\n]+)\Z")
    spans = [max(match.span(1), match.span(2)) for match in lines.finditer(data, start)]
    return [(data[a:b].decode(encoding, errors), a, b - a) for a, b in spans]


def split_read(source: Text | Records) -> Found:
    """The same, through the source's splits and blocks."""
    files = source.files()
    found: Found = []
    for index, cut in enumerate(source.splits(files)):
        assert cut.start < cut.stop, "an empty split is a task for nothing"
        for block in source.read(Split.of(index, cut)):
            assert block.records
            places = [block.locate(i) for i in range(len(block.records))]
            assert all(_inside(place, block.location) for place in places)
            found += [
                (record, place.offset, place.length)
                for record, place in zip(block.records, places, strict=True)
            ]
    return found


def _inside(place: Location, whole: Location) -> bool:
    return (
        place.uri == whole.uri
        and whole.offset <= place.offset
        and place.offset + place.length <= whole.offset + whole.length
    )


def _packed(data: bytes, cuts: list[int]) -> bytes:
    """gzip, a member between each two cuts."""
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[a:b] for a, b in pairwise(borders)] or [b""]
    return b"".join(gzip.compress(piece, mtime=0) for piece in pieces)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def _check(path: Path, data: bytes, stored: bytes, encoding: str = "utf-8", **options: Any) -> None:
    path.write_bytes(stored)
    source = Text(path, encoding=encoding, **options)
    expected = whole_read(data, encoding, options.get("errors", "strict"))
    assert split_read(source) == expected
    assert _sequential(source) == expected


def _sequential(source: Text) -> Found:
    """The same, as the reference reads it."""

    def placed(line: str, ctx: Any) -> list[Any]:
        return [(line, ctx.location.offset, ctx.location.length)]

    return run_sequential(Job(name="read", source=source, map=placed)).records


@pytest.mark.covers("D4", "any bytes and sizes, drawn")
@given(data=marked_bytes, split_size=sizes, block_size=sizes)
@example(data=BOM, split_size=1, block_size=1)
@example(data=BOM + b"\n", split_size=1, block_size=1)
@example(data=b"\r\n", split_size=1, block_size=1)
@example(data=b"a\r", split_size=1, block_size=1)
@example(data=b"a\n\n", split_size=2, block_size=1)
def test_plain(folder: Path, data: bytes, split_size: int, block_size: int) -> None:
    _check(folder / "plain", data, data, split_size=split_size, block_size=block_size)


@given(data=marked_bytes, cuts=st.lists(st.integers(0, 300), max_size=4), split_size=sizes, block_size=sizes)
@example(data=b"", cuts=[], split_size=1, block_size=1)
@example(data=BOM + b"a", cuts=[1], split_size=1, block_size=1)
def test_gz_of_several_members(
    folder: Path, data: bytes, cuts: list[int], split_size: int, block_size: int
) -> None:
    _check(folder / "packed", data, _packed(data, cuts), split_size=split_size, block_size=block_size)


@given(
    data=any_bytes,
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "shift_jis", "gb18030", "big5"]),
    errors=st.sampled_from(["replace", "ignore", "surrogateescape", "backslashreplace"]),
    split_size=sizes,
    block_size=sizes,
)
@example(data=b"\r\xff\n", encoding="utf-8", errors="ignore", split_size=1, block_size=1)
@example(data=b"\x81\n\x81\na", encoding="shift_jis", errors="replace", split_size=1, block_size=9)
def test_other_encodings_and_wrong_bytes(
    folder: Path, data: bytes, encoding: str, errors: str, split_size: int, block_size: int
) -> None:
    source = Text("unused", encoding=encoding)
    _check(
        folder / "other",
        data,
        data,
        encoding=source.encoding,
        errors=errors,
        split_size=split_size,
        block_size=block_size,
    )


@given(data=marked_bytes, split_size=sizes, block_size=sizes, limit=st.integers(0, 12))
def test_limit_reads_the_first_records(
    folder: Path, data: bytes, split_size: int, block_size: int, limit: int
) -> None:
    path = folder / "limited"
    path.write_bytes(data)
    source = Text(path, split_size=split_size, block_size=block_size)
    for index, cut in enumerate(source.splits(source.files())):
        blocks = source.read(Split.of(index, cut))
        everything = [record for block in blocks for record in block.records]
        limited = source.read(Split.of(index, cut, records=limit))
        assert [record for block in limited for record in block.records] == everything[:limit]


@given(contents=st.lists(marked_bytes, max_size=4), split_size=sizes)
def test_files_follow_one_another(folder: Path, contents: list[bytes], split_size: int) -> None:
    paths = [folder / f"several-{number}" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    expected = [found for data in contents for found in whole_read(data, "utf-8", "strict")]
    assert split_read(Text(paths, split_size=split_size)) == expected


@given(items=st.lists(st.integers(), max_size=20), split_size=st.integers(1, 25))
def test_records_from_memory(items: list[int], split_size: int) -> None:
    expected = [(item, index, 1) for index, item in enumerate(items)]
    assert split_read(Records(items, split_size=split_size)) == expected


def test_blocks_are_about_as_large_as_asked(access_log: Path) -> None:
    source = Text(access_log, block_size=10_000)
    file = source.files()[0]
    sizes = [block.size for block in source.read(Split(0, file, 0, file.size))]
    assert sum(sizes) == file.size
    assert max(sizes) < 20_000


def test_real_logs(real_logs: Path) -> None:
    for path in sorted(real_logs.glob("*.log")):
        data = path.read_bytes()
        expected = whole_read(data, "utf-8", "strict")
        for split_size, block_size in [(100_003, 4_099), (1_000_000, 64 * 1024)]:
            source = Text(path, split_size=split_size, block_size=block_size)
            assert split_read(source) == expected

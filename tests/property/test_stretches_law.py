"""The splitter law for gzip files that are cut in the middle: at blocks and members, whatever wrote them."""

from __future__ import annotations

import gzip
import random
import sys
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.reading import check, splits_of

from mapreduce import Csv, JsonLines, Text
from mapreduce.datasets.deflate import find_block

LIBRARIES = ["zlib", "isal"]
FLUSHES = [zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_BLOCK]
ENDS = [b"\n", b"\n", b"\r\n", b"\n\n", b" "]
HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def member(data: bytes, level: int, memory: int, strategy: int, flush: int) -> bytes:
    """A gzip member; with little memory it has a block for each 127 symbols."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, memory, strategy)
    pieces = [deflate.compress(data[: len(data) // 2]), deflate.flush(flush)]
    pieces += [deflate.compress(data[len(data) // 2 :]), deflate.flush()]
    trailer = zlib.crc32(data).to_bytes(4, "little") + (len(data) % 2**32).to_bytes(4, "little")
    return b"".join([HEADER, *pieces, trailer])


def text(seed: int, size: int) -> bytes:
    """Lines as logs have them: much that repeats, much that doesn't."""
    chance = random.Random(seed)
    words = [bytes(chance.choices(b"abcdefgh", k=chance.randrange(1, 9))) for _ in range(40)] + [b"\xc3\xa9"]
    found = bytearray()
    while len(found) < size:
        found += b" ".join([b"%d" % chance.randrange(10**9), *chance.choices(words, k=chance.randrange(5))])
        found += chance.choice(ENDS)
    return bytes(found[:-1]) if seed % 2 else bytes(found)


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """With isal, and as if it were not there."""
    if request.param == "zlib":
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "isal", None)
            yield "zlib"
    else:
        pytest.importorskip("isal")
        yield "isal"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


members = st.lists(
    st.tuples(
        st.integers(0, 2500),
        st.integers(0, 9),
        st.sampled_from([1, 1, 2, 8]),
        st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED, zlib.Z_RLE]),
        st.sampled_from(FLUSHES),
    ),
    min_size=1,
    max_size=4,
)


def packed(seed: int, given: list[tuple[int, int, int, int, int]], padding: int) -> tuple[bytes, bytes]:
    """Text, and the same in members, with zeros behind each."""
    data = text(seed, sum(size for size, *_ in given))
    borders = [0]
    for size, *_ in given:
        borders.append(borders[-1] + size)
    borders[-1] = len(data)
    pieces = [member(data[a:b], *how) for (a, b), (_, *how) in zip(pairwise(borders), given, strict=True)]
    return data, (b"\0" * padding).join(pieces) + b"\0" * padding


@given(
    seed=st.integers(0, 2**16),
    given=members,
    padding=st.sampled_from([0, 0, 3]),
    split_size=st.integers(40, 3000),
    block_size=st.sampled_from([1, 7, 100, 1000, 2**17]),
    pattern=st.sampled_from([None, None, r"\d+ a", "$", r"[^1-3]"]),
)
@example(seed=1, given=[(9000, 6, 1, 0, 0)], padding=0, split_size=300, block_size=100, pattern=None)
@example(seed=2, given=[(9000, 9, 1, 0, 3)], padding=0, split_size=300, block_size=100, pattern=r"\d+ a")
@example(seed=3, given=[(0, 6, 8, 0, 0)] * 4, padding=3, split_size=40, block_size=1, pattern=None)
def test_lines_of_a_gzip_file_cut_anywhere(
    library: str,
    folder: Path,
    seed: int,
    given: list[tuple[int, int, int, int, int]],
    padding: int,
    split_size: int,
    block_size: int,
    pattern: str | None,
) -> None:
    data, stored = packed(seed, given, padding)
    path = folder / f"lines-{library}.gz"
    path.write_bytes(stored)
    source = Text(
        path, split_size=split_size, block_size=block_size, record_start=pattern, encoding="latin-1"
    )
    check(source, lambda record: (record,))
    stretches = [split.stretch for split in splits_of(source)]
    if len(stretches) > 1:
        assert [s.start for s in stretches if s] == [0, *[s.stop for s in stretches[:-1] if s]]
        assert stretches[-1] is not None
        assert stretches[-1].stop == len(data)


@given(seed=st.integers(0, 2**16), how=members, split_size=st.integers(100, 1500))
@example(seed=4, how=[(5000, 6, 1, 0, 0)], split_size=200)
def test_rows_and_json_of_a_gzip_file_cut_anywhere(
    library: str, folder: Path, seed: int, how: list[tuple[int, int, int, int, int]], split_size: int
) -> None:
    lines = [b"%d" % number for number in map(len, text(seed, 3 * len(how) * 500).split(b"\n"))]
    rows = b"one,two\r\n" + b"".join(line + b",b\n" for line in lines)
    path = folder / f"rows-{library}.gz"
    for data, make in ((rows, Csv), (b"\n".join(lines), JsonLines)):
        third = len(data) // 3
        path.write_bytes(member(data[:third], *how[0][1:]) + member(data[third:], *how[-1][1:]))
        check(make(path, split_size=split_size, block_size=100))


@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("memory", [1, 4, 8])
def test_blocks_are_found_and_copies_from_far_before_them_are_right(
    library: str, folder: Path, level: int, memory: int
) -> None:
    once = text(7, 30_000)
    data = once + text(9, 20_000) + once + text(11, 300_000) + once
    path = folder / f"far-{library}.gz"
    path.write_bytes(member(data, level, memory, zlib.Z_DEFAULT_STRATEGY, zlib.Z_NO_FLUSH))
    source = Text(path, split_size=8_000 if memory < 8 else 40_000, encoding="latin-1")
    check(source)
    cuts = source.splits(source.files())
    assert len(cuts) > (10 if memory < 8 else 2)
    assert all(cut.stretch and cut.stretch.window for cut in cuts[1:])


def test_the_cuts_are_the_same_with_each_library(folder: Path) -> None:
    pytest.importorskip("isal")
    path = folder / "same.gz"
    path.write_bytes(b"".join(member(text(n, 60_000), 6, n, 0, 0) for n in range(1, 5)))
    source = Text(path, split_size=5_000, encoding="latin-1")
    cuts = source.splits(source.files())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal", None)
        assert source.splits(source.files()) == cuts
    assert len(cuts) > 8


@pytest.mark.parametrize("bit", range(8))
def test_a_block_is_found_at_any_bit(bit: int) -> None:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15, 1)
    stored = deflate.compress(text(5, 20_000)) + deflate.flush()
    number = int.from_bytes(stored, "little") << 80 + bit
    assert find_block(number.to_bytes(len(stored) + 11, "little")) == 80 + bit


def test_no_block_is_found_in_what_is_none() -> None:
    assert find_block(random.Random(1).randbytes(60_000)) is None
    assert find_block(bytes(60_000)) is None
    assert find_block(text(1, 60_000)) is None
    assert find_block(b"") is None


def test_a_gzip_file_in_a_stored_gzip_file_is_no_block_of_it(library: str, folder: Path) -> None:
    inner = gzip.compress(text(3, 1_000_000), mtime=0)
    path = folder / f"nested-{library}.gz"
    path.write_bytes(gzip.compress(inner, 0, mtime=0))
    source: Any = Text(path, split_size=30_000, encoding="latin-1")
    check(source)

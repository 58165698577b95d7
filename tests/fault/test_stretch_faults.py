"""Damage to a gzip file that several tasks read: noticed as it is where one task reads it."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fault.gzipfiles import member, text
from mapreduce import Count, Job, Sum, Text, run
from mapreduce.datasets import base, stretches
from mapreduce.errors import InputChanged, InputCorrupt, MapReduceError
from mapreduce.model import InputFile, Split
from mapreduce.plan import make_plan
from mapreduce.testing import run_sequential

DATA = text(130)
STORED = member(DATA[:900]) + member(b"") + member(DATA[900:])
CUT = 110


@pytest.fixture(scope="module", params=["zlib", "isal"], autouse=True)
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """With isal, and as if it were not there."""
    if request.param == "isal":
        pytest.importorskip("isal")
        yield "isal"
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal", None)
        yield "zlib"


@pytest.fixture(autouse=True)
def short_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are taken for such after few bytes, so that a small file may have many."""
    monkeypatch.setattr(stretches, "_TRIAL", 150)


def planned(source: Text) -> list[Split]:
    return [Split.of(index, cut) for index, cut in enumerate(source.splits(source.files()))]


def read(source: Text, splits: list[Split]) -> list[Any]:
    return [record for split in splits for block in source.read(split) for record in block.records]


def outcome(source: Text) -> tuple[list[Any], str]:
    """The records, or the error in words."""
    try:
        return read(source, planned(source)), ""
    except MapReduceError as error:
        return [], f"{type(error).__name__} {error}"


def whole(path: str, **options: Any) -> Text:
    """Read by one task."""
    return Text(path, split_size="1GB", encoding="latin-1", **options)


def cut(path: str, **options: Any) -> Text:
    return Text(path, split_size=CUT, encoding="latin-1", **options)


def damaged(stored: bytes) -> Iterator[bytes]:
    """Each byte changed, left out, and the end of what is left; junk behind."""
    for place in range(2, len(stored)):
        yield stored[:place] + bytes([stored[place] ^ 1 << place % 8]) + stored[place + 1 :]
        yield stored[:place]
        if place % 7 == 0:
            yield stored[:place] + stored[place + 1 :]
    yield stored + b"junk"
    yield stored + stored[:-1]


def test_the_file_is_cut() -> None:
    Path("a.gz").write_bytes(STORED)
    splits = planned(cut("a.gz"))
    assert len(splits) >= 4
    assert sum(bool(split.stretch and split.stretch.window) for split in splits) >= 2


@pytest.mark.covers("D7", "a gzip file of several tasks: each byte changed, each end, junk behind")
def test_any_damage_ends_as_it_does_where_one_task_reads_the_file() -> None:
    kinds = set()
    for stored in damaged(STORED):
        Path("a.gz").write_bytes(stored)
        found = outcome(cut("a.gz"))
        assert found == outcome(whole("a.gz"))
        kinds.add(found[1].partition(":")[0])
    assert {"InputCorrupt a.gz is damaged", "InputCorrupt a.gz is truncated"} <= kinds


@pytest.mark.covers("D7", "a byte changed after the plan, whose file looks the same")
def test_damage_after_the_plan_is_noticed_though_the_file_looks_the_same() -> None:
    path = Path("a.gz")
    path.write_bytes(STORED)
    status = path.stat()
    source = cut("a.gz")
    splits = planned(source)
    records = read(source, splits)
    damages = 0
    for place in range(len(STORED)):
        with path.open("r+b") as stream:
            stream.seek(place)
            stream.write(bytes([STORED[place] ^ 16]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        try:
            assert read(source, splits) == records  # the time in a header, for example
        except InputCorrupt:
            damages += 1
        with path.open("r+b") as stream:
            stream.seek(place)
            stream.write(STORED[place : place + 1])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert damages > len(STORED) * 0.9


def test_each_stretch_is_compared_with_what_it_was() -> None:
    Path("a.gz").write_bytes(STORED)
    source = cut("a.gz")
    for split in planned(source):
        assert split.stretch
        wrong = replace(split, stretch=replace(split.stretch, crc_after=split.stretch.crc_after ^ 1))
        with pytest.raises(InputCorrupt) as caught:
            read(source, [wrong])
        span = f"{split.stretch.start:,} to {split.stretch.stop:,}"
        assert f"plain bytes {span} are not those of when the run was planned" in caught.value.message


@pytest.mark.covers("D9", "a gzip file of several tasks replaced between plan and attempt")
def test_a_file_that_changes_after_the_plan() -> None:
    Path("a.gz").write_bytes(STORED)
    source = cut("a.gz")
    splits = planned(source)
    Path("new.gz").write_bytes(member(DATA))
    os.replace("new.gz", "a.gz")
    for split in splits:
        with pytest.raises(InputChanged):
            read(source, [split])


@pytest.mark.covers("D13", "a bomb behind good data, in a file of several tasks")
def test_a_bomb_ends_as_it_does_where_one_task_reads_the_file() -> None:
    Path("bomb.gz").write_bytes(STORED + gzip.compress(b"0" * 2**25))
    for source in (cut("bomb.gz", max_ratio=100), whole("bomb.gz", max_ratio=100)):
        assert outcome(source)[1].startswith("InputCorrupt bomb.gz expands beyond max_ratio (100)")


def test_the_ratio_counts_from_the_beginning_of_the_file_in_each_stretch() -> None:
    noise = bytes(byte for byte in os.urandom(300_000) if byte != 10) + b"\n"
    dense = (b"0" * 1023 + b"\n") * 2**14  # 16 MB, at a ratio of 1000
    Path("a.gz").write_bytes(gzip.compress(noise) + gzip.compress(dense) + gzip.compress(dense))
    source = Text("a.gz", split_size=100_000, encoding="latin-1", max_ratio=110)
    splits = planned(source)
    assert len(splits) > 1
    assert len(read(source, splits)) == 1 + 2 * 2**14


def test_a_limited_job_reads_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.gz").write_bytes(STORED)
    monkeypatch.setattr(base, "stretches_of", None)
    job = Job("few", cut("a.gz"), lambda line: [(line, 1)], Sum())
    plan = make_plan(job, "run", limit=3)
    assert [split.records for split in plan.splits] == [3]
    assert list(run(job, on="serial", limit=2)) == [(line, 1) for line in DATA.decode().splitlines()[:2]]


def test_files_of_which_there_are_many_are_not_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        Path(f"{number}.gz").write_bytes(STORED)
    assert len(planned(cut("*.gz"))) == 4
    Path("3.gz").unlink()
    assert len(planned(cut("*.gz"))) > 9
    monkeypatch.setattr(base, "stretches_of", None)
    for name, content in (("a.bz2", b"BZh91AY&SY" + STORED), ("a.xz", b"\xfd7zXZ\0" + STORED)):
        Path(name).write_bytes(content)
        assert len(planned(cut(name))) == 1
    source = cut("0.gz")
    far = InputFile("s3://bucket/0.gz", len(STORED), "etag", "gzip")
    assert len(source.splits([far])) == 1


def test_a_job_over_one_file_uses_all_workers_and_gives_what_the_reference_gives() -> None:
    Path("a.gz").write_bytes(member(text(2000)))

    def placed(line: str, ctx: Any) -> Iterator[Any]:
        yield line.split()[1][:2], ctx.location.offset

    job = Job("one", Text("a.gz", split_size=1000), placed, {"n": Count(), "at": Sum()}, "out")
    result = run(job, workers=2)
    assert result.manifest.tasks["map"] >= 8
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts


def test_what_zlib_takes_for_data_is_never_refused_by_the_way_of_reading() -> None:
    """Headers with all that they may have, and members of all kinds of blocks."""
    flags = HEADER_WITH_ALL + (zlib.crc32(HEADER_WITH_ALL) & 0xFFFF).to_bytes(2, "little")
    rest = member(DATA)[10:]
    stored = flags + rest + gzip.compress(DATA, 0) + gzip.compress(b"") + gzip.compress(b"x\n") + flags + rest
    Path("a.gz").write_bytes(stored)
    source = cut("a.gz")
    assert "\n".join(read(source, planned(source))).encode() + b"\n" == DATA * 2 + b"x\n" + DATA


HEADER_WITH_ALL = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff" + b"\x03\0abc" + b"name\0" + b"comment\0"

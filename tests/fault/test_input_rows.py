"""Inputs that are hard: tests for rows of the fault matrix, by the rows' own injections."""

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JsonLines, Sum, Text, run
from mapreduce.errors import (
    DecodeError,
    InputChanged,
    InputCorrupt,
    InputError,
    InputMissing,
    MapReduceError,
    RecordTooLarge,
)
from mapreduce.testing import run_sequential

OUT = Path("out")


def whole(line: str) -> Iterator[tuple[str, int]]:
    yield line, 1


def job(source: Any, **options: Any) -> Job:
    return Job("rows", source, options.pop("map", whole), Sum(), JsonLines(OUT), **options)


def fails(kind: type[MapReduceError], given: Job) -> MapReduceError:
    with pytest.raises(kind) as caught:
        run(given, on="serial")
    assert not OUT.exists()
    return caught.value


@pytest.mark.covers("D1", "missing when planned")
def test_a_missing_file_ends_the_job_before_any_work() -> None:
    def never(line: str) -> None:
        raise AssertionError("it ran")

    Path("a").write_text("a\n")
    assert "There is no file 'b'" in fails(InputMissing, job(["a", "b"], map=never)).message


@pytest.mark.covers("D1", "deleted before its map")
def test_a_file_that_goes_before_its_map() -> None:
    def removing(line: str) -> Iterator[tuple[str, int]]:
        Path("b").unlink(missing_ok=True)
        yield line, 1

    for name in "ab":
        Path(name).write_text("x\n")
    assert "b went away while the job ran" in fails(InputChanged, job(["a", "b"], map=removing)).message


@pytest.mark.covers("D1", "deleted after the commit")
def test_a_file_that_goes_after_the_commit_is_not_missed() -> None:
    Path("a").write_text("x\ny\n")
    result = run(job("a"), on="serial")
    Path("a").unlink()
    assert list(result) == [("x", 1), ("y", 1)]
    assert subprocess.run([sys.executable, "-m", "mapreduce", "verify", "out"]).returncode == 0


@pytest.mark.covers("D2", "a glob that matches nothing")
def test_a_glob_that_matches_nothing() -> None:
    assert "allow_empty=True" in fails(InputMissing, job("no-*.log")).hint
    assert list(run(job("no-*.log", allow_empty=True), on="serial")) == []


CONTENTS = {
    "empty": b"",
    "only newlines": b"\n\n\r\n\n",
    "no final newline": b"a\nb",
    "CRLF": b"a\r\nb\r\n",
    "lone CR": b"a\rb\nc\r",
    "BOM": b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n",
    "NUL": b"a\0b\n\0\n",
    "U+2028 and others": "a\u2028b\x85c\x0bd\x0ce\x1cf\n".encode(),
}


@pytest.mark.covers("D3", "empty, only newlines, no final newline, CRLF, lone CR, BOM, NUL, U+2028")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("content", CONTENTS)
def test_only_lf_and_crlf_end_a_line(content: str, packed: bool) -> None:
    data = CONTENTS[content]
    Path("a").write_bytes(gzip.compress(data) if packed else data)
    result = run(job(Text("a", split_size=3, block_size=2)), on="serial")
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = [line.removesuffix(b"\r") for line in lines[:-1]] + [line for line in lines[-1:] if line]
    expected = {line.decode(): 0 for line in lines}
    for line in lines:
        expected[line.decode()] += 1
    assert dict(result) == expected
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job("a")).parts


@pytest.mark.covers("D3", "a job whose files are all empty")
def test_an_all_empty_job_commits_an_empty_result() -> None:
    for name in "ab":
        Path(name).write_bytes(b"")
    result = run(job(["a", "b"], shards=2), on="serial")
    assert [part.records for part in result.parts] == [0, 0]
    assert len(result.manifest.inputs) == 2


@pytest.mark.covers("D4", "chunks of 1 byte up to the whole file")
def test_a_record_across_every_border() -> None:
    data = "été\r\nb\n\n😀x\nlast".encode()
    Path("a").write_bytes(data)
    expected = run_sequential(job("a")).parts
    for split_size in range(1, len(data) + 1):
        for block_size in range(1, len(data) + 1):
            source = Text("a", split_size=split_size, block_size=block_size)
            result = run(job(source), on="serial", overwrite=True)
            assert [result.part_bytes(part) for part in result.parts] == expected, (split_size, block_size)
            assert result.manifest.totals.records_in == 5


GIANT = """
from mapreduce import Job, Sum, Text, run
from mapreduce.errors import RecordTooLarge
source = Text("giant", max_record="8MB", split_size="64GB")
try:
    run(Job("giant", source, lambda line: [(line, 1)], Sum(), "out"), on="serial")
except RecordTooLarge as error:
    print(error.message)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.covers("D5", "a line of 30 GB")
def test_a_giant_line_is_not_collected() -> None:
    with open("giant", "wb") as stream:
        stream.write(b"first\n")
        stream.truncate(30 * 2**30)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", GIANT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    message, peak = done.stdout.splitlines()
    assert message.endswith("giant: the record at byte 6 is longer than max_record (8,388,608 bytes).")
    assert int(peak) < 300_000, f"{peak} KB"


@pytest.mark.covers("D6", "a wrong byte at every border, also within a character")
@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3", b"\xf0\x9f\x98"])
def test_bytes_that_are_no_text_are_named_wherever_blocks_end(wrong: bytes) -> None:
    before = "ok\nété ".encode()
    Path("a").write_bytes(before + wrong + b"!\nz\n")
    for block_size in range(1, 12):
        error = fails(DecodeError, job(Text("a", block_size=block_size)))
        assert f"a, byte {len(before)}: not utf-8 text" in error.message


@pytest.mark.covers("D6", "errors= lets wrong bytes pass")
@pytest.mark.parametrize("errors", ["replace", "ignore", "backslashreplace"])
def test_what_errors_let_pass_is_counted_in_the_manifest(errors: str) -> None:
    Path("a").write_bytes(b"good\nb\xffd\n\xc3\nfine\n" * 50)
    given = job(Text("a", errors=errors, split_size=100, block_size=30))
    result = run(given, on="serial")
    assert result.manifest.totals.undecodable == 100
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(given).parts
    assert (
        run(
            job(Text("a", encoding="latin-1", errors=errors)), on="serial", overwrite=True
        ).manifest.totals.undecodable
        == 0
    )


@pytest.mark.covers("D10", "the same file twice, a directory, a loop of links")
def test_files_and_folders_more_than_once() -> None:
    """A path that is given twice is read twice; a folder reached again by a link is read once."""
    Path("logs").mkdir()
    Path("logs/a").write_text("x\n")
    Path("logs/again").symlink_to("../logs")
    Path("logs/self").symlink_to("self")
    assert dict(run(job(["logs/a", "logs/a"]), on="serial", overwrite=True)) == {"x": 2}
    Path("logs/self").unlink()
    assert dict(run(job("logs"), on="serial", overwrite=True)) == {"x": 1}


@pytest.mark.covers("D10", "a FIFO, /dev/zero, a link to itself")
@pytest.mark.parametrize("path", ["fifo", "/dev/zero", "loop"])
def test_special_files_are_refused(path: str) -> None:
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    error = fails(InputError, job(path))
    assert path in error.message


@pytest.mark.covers("D11", "spaces, newline, %, #, ?, *, [], unicode, 255 bytes, leading dash, '..', 'C:'")
def test_names_go_round_and_round() -> None:
    """A result under each name is the next job's input, by Python and by the command line."""
    names = [
        "with space",
        "new\nline",
        "100%",
        "#1",
        "q?",
        "a*b",
        "[x]",
        "ünï",
        "-dash",
        "C:",
        "x" * 200,
        "up/../down",
    ]
    Path("up").mkdir()
    Path("first").write_text("1\n2\n")
    source = "first"
    for name in names:
        result = run(Job("names", source, lambda line: [line], output=Text(name)), on="serial")
        assert list(result) == ["1", "2"], name
        assert [file.size for file in result.manifest.inputs] == [4]
        command = [sys.executable, "-m", "mapreduce", "verify", "--", name]
        if name in ("new\nline", "-dash", "a*b"):
            assert subprocess.run(command, capture_output=True).returncode == 0
        source = name
    long = "y" * 255
    Path(long).write_text("1\n")
    assert [file.uri for file in run(job(long), on="serial").manifest.inputs] == [long]


@pytest.mark.covers("D13", "gzip of 1028:1")
def test_a_zip_bomb_ends_the_job() -> None:
    bomb = gzip.compress(b"\n" * 2**26)
    assert 2**26 / len(bomb) > 1_000
    Path("bomb.gz").write_bytes(bomb)
    error = fails(InputCorrupt, job("bomb.gz"))
    assert "bomb.gz expands beyond max_ratio (500)" in error.message
    assert "max_ratio" in error.hint
    Path("dense.gz").write_bytes(gzip.compress((b"0" * 1_023 + b"\n") * 2**16))
    fails(InputCorrupt, job(Text("dense.gz", max_ratio=100)))
    result = run(job(Text("dense.gz", max_ratio=2_000)), on="serial")
    assert dict(result) == {"0" * 1_023: 2**16}


@pytest.mark.covers("D5", "a line longer than the blocks and within max_record")
def test_a_long_line_is_read() -> None:
    Path("a").write_bytes(b"y" * 3_000_000 + b"\nz\n")
    result = run(job(Text("a", block_size=1_000, split_size=5_000)), on="serial")
    assert sorted(map(len, dict(result))) == [1, 3_000_000]
    assert isinstance(fails_again(), RecordTooLarge)


def fails_again() -> MapReduceError:
    with pytest.raises(RecordTooLarge) as caught:
        run(job(Text("a", max_record=2_999_999)), on="serial", overwrite=True)
    return caught.value

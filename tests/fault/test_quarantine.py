"""Bad records under `on_error=Quarantine(…)`: with real processes, kills, the command line."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, Quarantine, Records, Status, Sum, Text, blocks, frames, run
from mapreduce.errors import InputError, InputMissing, QuarantineFull, UserFunctionError, WorkerCrash
from mapreduce.manifest import verify
from mapreduce.testing import run_sequential

from .watching import Watcher, calls, note


def crash() -> None:
    ctypes.string_at(0)


LINES = [f"{letter}{number}" for number in range(8) for letter in "abcdefgh"]
POISON = "f3"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.log").write_text("".join(f"{line}\n" for line in LINES))


def poisoned(shape: str, does: Callable[[], Any] = crash, **options: Any) -> Job:
    def end() -> None:
        note("end")
        does()

    def mapper(line: str) -> Iterator[Any]:
        yield line[0], 1
        if line == POISON:
            end()
        yield "all", 1

    @blocks
    def block_mapper(lines: list[str]) -> Iterator[Any]:
        for line in lines:
            yield from mapper(line)

    @frames
    def frame_mapper(frame: Any) -> Any:
        import polars as pl

        if POISON in frame["line"]:
            end()
        return frame.select(pl.col("line").str.head(1).alias("key"), pl.lit(1).alias("value"))

    function = {"map": mapper, "blocks": block_mapper, "frames": frame_mapper}[shape]
    source = Text("in.log", split_size=64)
    given = {"on_error": Quarantine(), **options}
    return Job("poison", source, function, Sum(), "out", shards=2, **given)


def without(job_of: Callable[[], Job], *bad: str) -> list[bytes]:
    """The parts of the job over the input without some lines."""
    Path("in.log").write_text("".join(f"{line}\n" for line in LINES if line not in bad))
    parts = run_sequential(job_of()).parts
    Path("in.log").write_text("".join(f"{line}\n" for line in LINES))
    return parts


def parts_of(result: JobResult) -> list[bytes]:
    return [result.part_bytes(part) for part in result.parts]


def kept(result: JobResult) -> list[dict[str, Any]]:
    """What the files of bad records say."""
    files = [result.path / file.name for file in result.manifest.set_aside]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.mark.covers("U5", "a segfault on one record, always, with skip mode: in a map, @blocks and @frames")
@pytest.mark.parametrize(("shape", "crashes"), [("map", 3), ("blocks", 3), ("frames", 3)])
def test_a_poison_record_is_left_out_and_listed(shape: str, crashes: int) -> None:
    expected = without(lambda: poisoned(shape), POISON)
    watcher = Watcher()
    result = run(poisoned(shape), workers=2, observers=[watcher], backups=False)
    assert parts_of(result) == expected
    assert result.status is Status.COMPLETED_WITH_ERRORS
    (bad,) = result.manifest.bad
    assert bad.location.offset == LINES.index(POISON) * 3
    assert POISON in bad.record
    assert bad.kind == "WorkerCrash"
    assert "was ended by SIGSEGV" in bad.error
    assert calls() == {"end": crashes}, "it costs so many crashes and no more"
    lost = [end for end in watcher.ended if end.outcome == "lost"]
    assert len({end.task for end in lost}) == 1, "nobody else is hit"
    assert verify(result.path)[1] == []
    assert list(Path().glob(".out*")) == []


@pytest.mark.covers("U5", "a segfault on one row, always, in a @frames map")
def test_without_quarantine_a_row_that_ends_its_process_is_named_after_three_crashes() -> None:
    with pytest.raises(WorkerCrash) as caught:
        run(poisoned("frames", on_error="fail"), workers=1)
    assert calls() == {"end": 3}
    assert f", on in.log, byte {LINES.index(POISON) * 3}.\n  record: " in caught.value.message
    assert POISON in caught.value.message


def test_a_record_that_hangs_is_left_out() -> None:
    def hang() -> None:
        time.sleep(600)

    expected = without(lambda: poisoned("map", hang), POISON)
    result = run(poisoned("map", hang, timeout=0.8), workers=2, backups=False)
    assert parts_of(result) == expected
    assert [bad.kind for bad in result.manifest.bad] == ["AttemptTimeout"]


def test_several_poison_records_in_one_split() -> None:
    def mapper(number: int) -> Iterator[Any]:
        if number % 10 == 3:
            os._exit(5)
        if number % 10 == 4:
            raise ValueError(number)
        yield number % 2, 1

    job = Job("several", Records(range(30)), mapper, Sum(), "out", on_error=Quarantine())
    result = run(job, workers=1)
    assert dict(result) == {0: 12, 1: 12}
    assert [(bad.location.offset, bad.kind) for bad in result.manifest.bad] == [
        (3, "WorkerCrash"), (4, "UserFunctionError"), (13, "WorkerCrash"), (14, "UserFunctionError"),
        (23, "WorkerCrash"), (24, "UserFunctionError"),
    ]  # fmt: skip


@pytest.mark.parametrize("on", ["serial", "processes"])
def test_too_many_bad_records_fail_the_run_and_are_told_by_cause(on: Any) -> None:
    def mapper(line: str) -> Iterator[Any]:
        if line[0] in "ab":
            raise KeyError(line[0])
        yield line[0], int(line[1:]) // (line[0] != "c")

    job = Job("many", Text("in.log", split_size=64), mapper, Sum(), "out", on_error=Quarantine(max_records=9))
    with pytest.raises(QuarantineFull) as caught:
        run(job, on=on, workers=2, backups=False)
    first, *causes = caught.value.message.split("\n")
    assert "records were set aside, and max_records=9 allows no more." in first
    assert "KeyError: 'a'" in causes[0]
    assert "ZeroDivisionError" in caught.value.message
    assert caught.value.exit_code == 1
    assert not Path("out/_manifest.json").exists()


def test_a_run_that_had_too_many_goes_on_when_more_are_allowed() -> None:
    def job(most: int) -> Job:
        def mapper(line: str) -> Iterator[Any]:
            note(f"map {line}")
            if line[0] == "a":
                raise ValueError(line)
            yield line[0], 1

        source = Text("in.log", split_size=64)
        return Job("more", source, mapper, Sum(), "out", on_error=Quarantine(max_records=most))

    with pytest.raises(QuarantineFull):
        run(job(6), workers=1)
    before = sum(calls().values())
    result = run(job(8), workers=1, resume=True)
    assert result.manifest.totals.set_aside == 8
    assert sum(calls().values()) - before < before, "what was accepted is not mapped again"
    assert parts_of(result) == run_sequential(job(8)).parts


def test_a_reduce_that_fails_has_no_record_to_blame() -> None:
    def reduce(key: str, values: Any) -> Any:
        raise ValueError(key)

    job = Job("reduce", "in.log", lambda line: [(line, 1)], reduce, "out", on_error=Quarantine())
    with pytest.raises(UserFunctionError, match="reduce"):
        run(job, on="serial")


def test_files_of_bad_records_that_are_lost_are_made_again() -> None:
    def mapper(line: str) -> Iterator[Any]:
        note(f"map {line}")
        if line == "f3":
            raise ValueError(line)
        yield line[0], 1

    def reduce(key: str, values: Any) -> Any:
        if not Path("go").exists():
            raise ValueError(key)
        yield key, sum(values)

    def job() -> Job:
        return Job("again", Text("in.log", split_size=64), mapper, reduce, "out", on_error=Quarantine())

    with pytest.raises(UserFunctionError):
        run(job(), workers=1)
    (file,) = Path("out").glob("_set-aside-*")
    file.unlink()
    Path("go").touch()
    before = calls()
    result = run(job(), workers=1)
    again = {line for line in calls() if calls()[line] > before[line]}
    assert "map f3" in again
    assert "map a0" not in again
    assert [line["record"] for line in kept(result)] == ["f3"]


JOB = """
from mapreduce import Job, Quarantine, Sum, Text

def hits(line):
    if line.startswith("f"):
        raise ValueError("an f")
    yield line[0], 1

job = Job("hits", Text("in.log", split_size=64), hits, Sum(), "out", on_error=Quarantine(max_records=20))
"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mapreduce", *arguments], capture_output=True, text=True, timeout=100
    )


def test_the_command_line_tells_and_replays() -> None:
    Path("job.py").write_text(textwrap.dedent(JOB))
    done = command("run", "job.py", "--workers", "2")
    assert done.returncode == 3
    assert "hits completed with errors in" in done.stdout
    assert "set aside      8 bad records\n                 8 × map `hits` (job.py:4) failed on" in done.stdout
    assert command("verify", "out").returncode == 0
    again = command("run", "job.py", "--replay", "out", "--output", "more")
    assert again.returncode == 3, "the function was not mended"
    Path("job.py").write_text(JOB.replace('if line.startswith("f")', 'if line == "f7"'))
    mended = command("run", "job.py", "--replay", "out", "--output", "mended")
    assert mended.returncode == 3
    (line,) = Path("mended").glob("part-*")
    assert json.loads(line.read_text()) == {"key": "f", "value": 7}
    (record,) = JobResult.load("mended").manifest.bad
    assert (record.location.uri, record.location.offset) == ("in.log", LINES.index("f7") * 3)
    assert command("run", "job.py", "--replay", "nothing").returncode == 1


def test_what_can_not_be_replayed_is_refused() -> None:
    job = Job("clean", "in.log", lambda line: [(line, 1)], Sum(), "out")
    run(job, on="serial")
    with pytest.raises(InputMissing, match="holds no records that were set aside"):
        run(job, on="serial", replay="out")
    long = Job("long", Text("in.log", max_record=1), lambda line: [(line, 1)], Sum(), "long",
               on_error=Quarantine())  # fmt: skip
    run(long, on="serial")
    with pytest.raises(InputError, match="could not be kept"):
        run(replace(long, output="again"), on="serial", replay="long")

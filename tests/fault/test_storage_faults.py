"""Storage that fails under a run with real workers: what passes is redone, what stays is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mapreduce import Job, JobResult, Sum, Text, run
from mapreduce.errors import SegmentError, StorageError
from mapreduce.manifest import verify
from mapreduce.model import Segments
from mapreduce.shuffle.columns import Pairs, key_columns, value_columns
from mapreduce.shuffle.segments import SegmentWriter, layout_of, read_segments
from mapreduce.store.local import LocalStore
from mapreduce.store.rules import Rules
from mapreduce.testing import FaultyStore, faults, run_sequential


def words(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


@pytest.fixture
def job(tmp_path: Path) -> Job:
    Path("in.log").write_text("".join(f"w{n % 7} w{n % 11} w{n % 13}\n" for n in range(400)))
    return Job("faults", Text("in.log", split_size=1_200), words, Sum(), "out", shards=2)


def assert_right(job: Job, result: JobResult) -> None:
    """The bytes are the reference's, and nothing else lies about."""
    reference = run_sequential(job)
    assert [(result.path / part.name).read_bytes() for part in result.parts] == reference.parts
    assert verify(result.path)[1] == []
    assert list(Path().glob(".*")) == []


def not_accepted(result: JobResult) -> list[tuple[str, str]]:
    """Task and error of each attempt that came to nothing."""
    return [
        (attempt.task, attempt.error)
        for attempt in result.manifest.attempts
        if attempt.outcome != "succeeded"
    ]


# ---------------------------------------------------------------- passing faults


@pytest.mark.parametrize(
    ("rule", "task", "error"),
    [
        ("op=new_file path=data/ do=enospc", "map", "No space left on device"),
        ("op=new_file path=data/ do=lost_reply", "map", "timed out"),
        ("op=new_file path=part- do=eio", "reduce", "Input/output error"),
        ("op=new_file path=part- do=lost_reply", "reduce", "timed out"),
        ("op=read path=data/ do=emfile", "reduce", "Too many open files"),
    ],
)
def test_an_attempt_is_redone_that_a_worker_could_not_store(
    job: Job, tmp_path: Path, rule: str, task: str, error: str
) -> None:
    with faults(f"{rule} who=worker once={tmp_path}/marker"):
        result = run(job, workers=2)
    assert (tmp_path / "marker").exists(), "the rule did not reach a worker process"
    [(failed, told)] = not_accepted(result)
    assert failed.startswith(task)
    assert error in told
    assert_right(job, result)


def test_an_attempt_is_redone_whose_worker_was_killed_in_the_middle_of_a_write(
    job: Job, tmp_path: Path
) -> None:
    with faults(f"op=new_file path=data/ who=worker do=torn once={tmp_path}/marker"):
        result = run(job, workers=2)
    assert (tmp_path / "marker").exists()
    assert len(not_accepted(result)) == 1
    assert_right(job, result)


@pytest.mark.parametrize("fault", ["eio", "estale", "timeout", "reset", "short", "flip"])
def test_a_read_that_fails_once_costs_no_attempt(job: Job, tmp_path: Path, fault: str) -> None:
    with faults(f"op=read path=data/ who=worker do={fault} once={tmp_path}/marker"):
        result = run(job, workers=2)
    assert (tmp_path / "marker").exists()
    assert not_accepted(result) == []
    assert_right(job, result)


@pytest.mark.covers("S2", "the answer of every exclusive create and of every publishing is lost")
@pytest.mark.parametrize("on", ["processes", "serial"])
def test_a_commit_whose_answer_was_lost_is_its_own(job: Job, on: Any) -> None:
    with faults("op=create do=lost_reply; op=create nth=3 do=lost_reply"):
        result = run(job, on=on, workers=1 if on == "processes" else None)
    assert_right(job, result)


# ---------------------------------------------------------------- intermediate data that stays damaged


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    """Of one map, in the folder `run`: one chunk."""
    keys, key_series = key_columns(["a", "b"])
    values, value_series = value_columns([1, 2])
    pairs = Pairs(pl.DataFrame([*key_series, *value_series]), keys, values)
    with LocalStore(tmp_path / "run").new_file("data/map") as stream:
        writer = SegmentWriter(lambda: stream, 1)
        writer.add(pairs)
    return Segments(3, "data/map", layout_of(pairs), writer.runs[0].index)


def damaged(times: int, fault: str) -> str:
    """Rules for the first so many reads of a process."""
    return ";".join(f"op=read path=data/ who=worker nth={nth} do={fault}" for nth in range(1, times + 1))


@pytest.mark.parametrize(("times", "reads"), [(0, 1), (1, 2), (3, 4), (4, 4)])
def test_reads_of_a_chunk_that_comes_wrong(
    segments: Segments, tmp_path: Path, times: int, reads: int
) -> None:
    notes = tmp_path / "notes"
    rules = Rules(f"do=note:{notes} times=always; {damaged(times, 'flip')}")
    store = FaultyStore(LocalStore(tmp_path / "run"), rules, "worker")
    if times < reads:
        [pairs] = read_segments(store, segments)
        assert len(pairs) == 2
    else:
        with pytest.raises(SegmentError, match="map 3 is damaged") as caught:
            list(read_segments(store, segments))
        assert caught.value.map_index == 3
    assert len(notes.read_text().splitlines()) == reads


@pytest.mark.covers("S5", "reads of one chunk that come short, or with other bytes, until it is given up")
@pytest.mark.parametrize(
    ("fault", "problem"), [("flip", "is damaged"), ("short", "can't be read"), ("eio", "can't be read")]
)
def test_a_map_is_run_again_whose_data_stays_damaged(job: Job, fault: str, problem: str) -> None:
    times = 4
    with faults(damaged(times, fault)):
        result = run(job, workers=1)
    [(failed, error)] = not_accepted(result)
    assert failed.startswith("reduce")
    assert f"Intermediate data of map 0 {problem}" in error
    maps = [attempt.task for attempt in result.manifest.attempts if attempt.task.startswith("map")]
    assert len(maps) == len(set(maps)) + 1, "that map alone is run twice"
    assert_right(job, result)


# ---------------------------------------------------------------- faults that stay


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("op=new_file path=data/ do=enospc", "No space left on device"),
        ("op=new_file path=part- do=erofs", "Read-only file system"),
        ("op=read path=data/ do=eio", "can't be read"),
        ("op=create who=coordinator do=edquot", "quota"),
        ("op=create who=coordinator do=timeout", "timed out"),
    ],
)
def test_a_fault_that_stays_is_a_typed_error_and_shows_no_result(job: Job, rule: str, told: str) -> None:
    with faults(f"{rule} times=always"), pytest.raises(StorageError, match=told):
        run(job, workers=2)
    assert not Path("out/_manifest.json").exists()
    assert_right(job, run(job, workers=2))


# ---------------------------------------------------------------- a disk that is really full

IN_TIME = 5.0
"""Seconds from the start of the run to its typed error."""


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own; only root may mount one."""
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    """Leave not a byte."""
    with open(disk / "filling", "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return


FULL_JOB = """
import sys, time
from mapreduce import Job, Sum, Text, run
from mapreduce.errors import MapReduceError

def words(line):
    for word in line.split():
        yield word + line, 1

job = Job("full", Text("in.log", split_size=1200), words, Sum(), sys.argv[1], shards=2)
begin = time.monotonic()
try:
    run(job, workers=2)
    print("done", end=" ")
except MapReduceError as error:
    print(type(error).__name__, error.message, end=" ")
print(f"{time.monotonic() - begin:.3f}")
"""


def run_full(output: Path, *before: str, **environment: str) -> tuple[str, float]:
    """What a fresh process tells of its run, and in how many seconds. `before` is put before its command."""
    Path("job.py").write_text(FULL_JOB)
    done = subprocess.run(
        [*before, sys.executable, "job.py", str(output)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    told, _, seconds = done.stdout.strip().rpartition(" ")
    assert told, done.stderr
    return told, float(seconds)


@pytest.mark.covers("S13", "the file system of the output and of the run's own files is full")
@pytest.mark.parametrize("full", ["at once", "in the middle"])
def test_a_full_disk_is_told_in_time(job: Job, tmp_path: Path, full: str) -> None:
    with small_disk(tmp_path / "disk", "size=48k") as disk:
        if full == "at once":
            (disk / "out").mkdir()
            fill(disk)
        told, seconds = run_full(disk / "out")
        assert told.startswith("StorageError Can't write"), told
        assert "No space left on device" in told
        assert seconds < IN_TIME
        if full == "at once":
            left = [path for path in disk.rglob("*") if path.is_file() and path.name != "filling"]
            assert left == [], "nothing is left that takes space"
            return
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert run_full(disk / "out")[0] == "done", "with more space it goes on"
        assert verify(disk / "out")[1] == []
        assert [path.name for path in disk.iterdir()] == ["out"]


IN_PLACE_OF_SHM = 'mount --bind "$0" /dev/shm && ! touch /dev/shm/probe 2>/dev/null && exec "$@"'


@pytest.mark.covers("S13", "/dev/shm and TMPDIR are full")
def test_a_full_folder_for_temporary_files_is_not_needed(job: Job, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16k,nr_inodes=2") as disk:
        fill(disk)
        own_mounts = ("unshare", "--mount", "sh", "-c", IN_PLACE_OF_SHM, str(disk))
        told, seconds = run_full(Path("out"), *own_mounts, TMPDIR=str(disk))
    assert told == "done"
    assert seconds < IN_TIME
    assert verify(Path("out"))[1] == []

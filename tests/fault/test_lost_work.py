"""What a run has kept is damaged or gone, or it can keep no more: that is told, and does no harm."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Text, run
from mapreduce.codec import seal, unseal
from mapreduce.coordinator import log as logs
from mapreduce.coordinator import loop
from mapreduce.errors import UserFunctionError, WorkDamaged
from mapreduce.manifest import verify
from mapreduce.testing import faults, run_sequential

from .test_storage_faults import small_disk
from .watching import Watcher, assert_right, calls, note, segments_of

LINES = [f"{word} {number}" for number in range(12) for word in ("a", "b", "c", "d")]
SHARDS = 2


def broken_while(marker: str = "broken", *, timeout: float | None = None) -> Job:
    """Its reduce of "c" fails for as long as a file is there; eight maps, two reduces."""

    def mapper(line: str) -> Iterator[Any]:
        note(f"map {line}")
        word, number = line.split()
        yield word, int(number)

    def reduce(key: str, values: Any) -> Iterator[Any]:
        if key == "c" and os.path.exists(marker):
            raise ValueError("broken")
        note(f"reduce {key}")
        yield key, sum(values)

    source = Text("in.log", split_size=32)
    return Job("lost", source, mapper, reduce, "out", shards=SHARDS, timeout=timeout)


@pytest.fixture(autouse=True)
def lines(own_folder: Path) -> None:
    Path("in.log").write_text("".join(line + "\n" for line in LINES))


def begin() -> Path:
    """A run that fails when its maps are done, and can go on; its directory."""
    Path("broken").touch()
    with pytest.raises(UserFunctionError):
        run(broken_while(), workers=1)
    Path("broken").unlink()
    (directory,) = Path(".out.mapreduce").glob("2*")
    assert len(accepted(directory)) >= 8
    return directory.resolve()


def entries(directory: Path) -> list[Path]:
    return sorted((directory / "log").iterdir())


def tasks_in(entry: Path) -> set[str]:
    return {str(held.task) for held in logs._parse(entry.read_bytes(), entry) or ()}


def accepted(directory: Path) -> set[str]:
    return {task for entry in entries(directory) for task in tasks_in(entry)}


def go_on(directory: Path, again: set[str]) -> None:
    """The run goes on with these tasks of its maps run again, and no others that were accepted."""
    done = accepted_whole(directory) - again
    watcher = Watcher()
    result = run(broken_while(), workers=1, resume=True, observers=[watcher])
    assert again <= {end.task for end in watcher.ended}
    assert {end.task for end in watcher.ended} & done == set()
    twice = {line for line, times in calls("map").items() if times > 1}
    assert len(twice) <= sum(task.startswith("map") for task in again) * (len(LINES) // 8 + 2)
    assert bool(twice) == bool(again)
    assert_right(broken_while("never"), result)


def accepted_whole(directory: Path) -> set[str]:
    """The tasks of all entries that can be read."""
    found: set[str] = set()
    for entry in entries(directory):
        try:
            found |= tasks_in(entry)
        except WorkDamaged:
            continue
    return found


# ---------------------------------------------------------------- the log


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: list[Any] = [
    pytest.param(lambda path: flip(path, 3), "is damaged", id="a bit of the digest"),
    pytest.param(lambda path: flip(path, path.stat().st_size // 2), "is damaged", id="a bit in the middle"),
    pytest.param(tear, "is damaged", id="torn"),
    pytest.param(lambda path: path.write_bytes(b""), "is damaged", id="empty"),
    pytest.param(Path.unlink, "is missing", id="missing"),
]


@pytest.mark.covers("C8", "an entry of the log with a flipped bit, torn, missing")
@pytest.mark.parametrize(("damage", "says"), DAMAGES)
def test_a_damaged_entry_of_the_log_is_named_and_its_tasks_run_again(
    damage: Callable[[Path], Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = begin()
    entry = entries(directory)[2]
    lost = tasks_in(entry)
    assert lost
    damage(entry)
    with caplog.at_level(logging.WARNING, "mapreduce.run"):
        go_on(directory, lost)
    assert [record.message for record in caplog.records if "log/" in record.message] == [
        f"{entry} {says}: its tasks run again"
    ]


@pytest.mark.covers("C8", "every byte of an entry with a flipped bit, and every length of a torn one")
def test_no_damage_of_an_entry_goes_unnoticed() -> None:
    entry = entries(begin())[0]
    whole = entry.read_bytes()
    assert logs._parse(whole, entry)
    for byte in range(len(whole)):
        flipped = whole[:byte] + bytes([whole[byte] ^ 16]) + whole[byte + 1 :]
        assert logs._parse(flipped, entry) is None
        assert logs._parse(whole[:byte], entry) is None


def newer(path: Path) -> None:
    content = unseal(path.read_bytes())
    path.write_bytes(seal({**content, "format": content["format"] + 1}))


WAYS_OUT: list[Any] = [
    pytest.param("log/000001.000002", newer, "has format 3; this version reads format 2", id="a newer entry"),
    pytest.param("plan/000001", newer, "has format 2; this version reads up to 1", id="a newer plan"),
    pytest.param("plan/000001", lambda path: flip(path, 40), "is damaged", id="a bit of the plan"),
    pytest.param("plan/000001", lambda path: flip(path, 40, 7), "is damaged", id="no text in the plan"),
    pytest.param("plan/000001", tear, "is damaged", id="a torn plan"),
]


@pytest.mark.covers("C8", "an entry of the log of a newer format; a plan of one, with a flipped bit, torn")
@pytest.mark.parametrize(("name", "damage", "says"), WAYS_OUT)
def test_what_can_t_be_gone_on_with_is_named_with_the_way_out(
    name: str, damage: Callable[[Path], Any], says: str
) -> None:
    directory = begin()
    damage(directory / name)
    before = sorted(path for path in directory.rglob("*"))
    with pytest.raises(WorkDamaged) as caught:
        run(broken_while(), workers=1)
    assert str(directory / name) in caught.value.message
    assert says in caught.value.message
    assert "--new" in caught.value.hint
    assert sorted(path for path in directory.rglob("*")) == before, "nothing is removed before one says so"
    assert_right(broken_while("never"), run(broken_while(), workers=1, resume=False))


# ---------------------------------------------------------------- data of maps


def lose_one() -> None:
    segments_of(Path(".out.mapreduce"))[1].unlink()


def lose_all() -> None:
    for path in segments_of(Path(".out.mapreduce")):
        path.unlink()


def lose_the_folder() -> None:
    (folder,) = Path(".out.mapreduce").glob("*/data")
    shutil.rmtree(folder)


LOSSES = [pytest.param(lose_one, 1), pytest.param(lose_all, 8), pytest.param(lose_the_folder, 8)]


@pytest.mark.covers("S9", "one data object of a map, all of them, their folder: deleted between two reduces")
@pytest.mark.parametrize(("lose", "number"), LOSSES)
def test_data_that_is_deleted_during_the_reduce_is_made_again(lose: Callable[[], None], number: int) -> None:
    def after_the_first_reduce(record: Any) -> None:
        if (record.task, record.attempt) == ("reduce 0", 1):
            lose()

    watcher = Watcher(on_end=after_the_first_reduce)
    result = run(broken_while("never"), workers=1, observers=[watcher])
    maps = [(end.task, end.attempt, end.outcome) for end in watcher.ended if end.task.startswith("map")]
    assert all(outcome == "succeeded" for _, _, outcome in maps)
    assert len({task for task, attempt, _ in maps if attempt == 2}) == number
    assert {attempt for _, attempt, _ in maps} == {1, 2}
    assert watcher.of("reduce 0") == [(1, "succeeded", "")], "equal data invalidates nothing"
    failed = [kind for _, outcome, kind in watcher.of("reduce 1") if outcome == "failed"]
    assert failed == ["SegmentError"] * number, (
        "an attempt finds one loss at a time, and each has its own budget"
    )
    assert set(calls("reduce").values()) == {1}
    assert_right(broken_while("never"), result)


@pytest.mark.covers("S9", "one data object of a map, all of them, their folder: deleted between two sessions")
@pytest.mark.parametrize(("lose", "number"), LOSSES)
def test_data_that_is_deleted_between_two_sessions_is_made_again(
    lose: Callable[[], None], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    directory = begin()
    before = segments_of(directory)
    lose()
    gone = {f"map {int(path.name.split('-')[1])}" for path in before if not path.exists()}
    assert len(gone) == number
    with caplog.at_level(logging.WARNING, "mapreduce.run"):
        go_on(directory, gone)
    assert len([record for record in caplog.records if "can't be read" in record.message]) == number


# ---------------------------------------------------------------- slow storage


@pytest.mark.covers("S11", "every operation of every store takes 20 ms more")
def test_slow_storage_fails_nobody() -> None:
    with faults("op=* times=always do=stall:0.02"):
        watcher = Watcher()
        result = run(broken_while("never", timeout=20.0), workers=2, observers=[watcher])
    assert {(end.attempt, end.outcome) for end in watcher.ended} == {(1, "succeeded")}
    assert len(watcher.told) >= 4
    assert_right(broken_while("never"), result)


@pytest.mark.covers("S11", "one operation of each kind takes 1.2 s more, in a worker")
@pytest.mark.parametrize(
    ("operation", "stage"),
    [
        ("op=new_file path=data/", "map"),
        ("op=read path=data/", "reduce"),
        ("op=new_file path=part-", "reduce"),
    ],
)
def test_a_worker_that_waits_for_storage_is_told_and_left_alone(
    operation: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STALL_SECONDS", 0.4)
    watcher = Watcher()
    with faults(f"{operation} who=worker do=stall:1.2 once=stalled"):
        result = run(broken_while("never"), workers=2, observers=[watcher])
    assert {(end.attempt, end.outcome) for end in watcher.ended} == {(1, "succeeded")}
    assert any(task.startswith(stage) for task, _, _ in watcher.stalls)  # others may be slow as well
    # Progress is told while the worker waits, at least at every second poll.
    assert len(watcher.told) >= 5
    assert_right(broken_while("never"), result)


@pytest.mark.covers("S11", "the log takes 1.2 s for an entry, longer than attempts may take")
def test_a_coordinator_that_waits_for_storage_blames_nobody() -> None:
    watcher = Watcher()
    with faults("op=create path=log/ who=coordinator nth=2 do=stall:1.2"):
        result = run(broken_while("never", timeout=1.0), workers=2, observers=[watcher])
    assert {(end.attempt, end.outcome) for end in watcher.ended} == {(1, "succeeded")}
    assert_right(broken_while("never"), result)


# ---------------------------------------------------------------- the coordinator runs out of something

SHORT_OF = """
import json, os, resource, sys
import polars, rich
from mapreduce import Job, Sum, Text, run
from mapreduce.errors import MapReduceError

def mapper(line, ctx):
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"map {line}\\n".encode())
    os.close(descriptor)
    if os.path.exists("large"):
        for number in range(100_000):
            ctx.count(f"counter {number} of {line}")
    yield line, 1

def descriptors():
    # All that it may open is taken.
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass

def memory():
    # It may take one megabyte more, and the account of the next attempt is much larger.
    held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**20, resource.getrlimit(resource.RLIMIT_AS)[1]))
    open("large", "w").close()

def disk():
    with open(os.path.join(sys.argv[2], "filling"), "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass

taken = []

class Watcher:
    done = 0
    def attempt_ended(self, attempt):
        self.done += attempt.outcome == "succeeded"
        if self.done == 3 and sys.argv[1] != "nothing":
            {"descriptors": descriptors, "memory": memory, "disk": disk}[sys.argv[1]]()
    def progress(self, progress): pass
    def printed(self, task, text): pass
    def stalled(self, task, work, seconds): pass
    def finished(self, result): pass

job = Job("short", Text("in.log", split_size=32), mapper, Sum(), "out", shards=2)
try:
    run(job, workers=1, observers=[Watcher()], work=sys.argv[2])
    told = {"kind": "done"}
except MapReduceError as error:
    told = {**error.to_plain(), "notes": error.__notes__}
print(json.dumps(told))
"""


def run_short(of: str, work: Path) -> dict[str, Any]:
    """The error that a fresh process ends with."""
    Path("short.py").write_text(textwrap.dedent(SHORT_OF))
    done = subprocess.run(
        [sys.executable, "short.py", of, str(work)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def assert_stopped_and_goes_on(of: str, kind: str, says: str, work: Path, heal: Callable[[], Any]) -> None:
    begin = time.monotonic()
    told = run_short(of, work)
    assert time.monotonic() - begin < 30
    assert told["kind"] == kind, told
    assert says in told["message"]
    assert told["hint"]
    assert any("o on with the same job again" in text for text in told["notes"])
    assert not Path("out/_manifest.json").exists()
    heal()
    before = calls()
    assert run_short("nothing", work) == {"kind": "done"}
    redone = sum((calls() - before)[line] > 0 and before[line] > 0 for line in before)
    assert redone <= 3 * len(LINES) // 8, "at most what had not been accepted"
    assert sum(calls().values()) < 2 * len(LINES), "what was accepted is not run again"
    assert verify(Path("out"))[1] == []


@pytest.mark.covers("C10", "the coordinator has no descriptor left, in the middle of a run")
def test_a_coordinator_without_descriptors_stops_and_can_go_on(tmp_path: Path) -> None:
    assert_stopped_and_goes_on(
        "descriptors", "StorageError", "Too many open files", tmp_path / "w", lambda: None
    )


@pytest.mark.covers("C10", "the coordinator gets no memory any more (RLIMIT_AS), in the middle of a run")
def test_a_coordinator_without_memory_stops_and_can_go_on(tmp_path: Path) -> None:
    heal = Path("large").resolve().unlink
    assert_stopped_and_goes_on("memory", "MemoryExceeded", "coordinator", tmp_path / "w", heal)


@pytest.mark.covers("C10", "the disk of the run's own files is full, in the middle of a run")
def test_a_coordinator_without_disk_stops_and_can_go_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=400k") as disk:
        heal = (disk / "filling").unlink
        assert_stopped_and_goes_on("disk", "StorageError", "No space left on device", disk, heal)


def test_an_error_is_not_hidden_by_one_that_follows_from_it() -> None:
    Path("broken").touch()
    with (
        faults("op=list who=coordinator times=always do=eio"),
        pytest.raises(UserFunctionError, match="o on with the same job again"),
    ):
        run(broken_while(), workers=1)
    Path("broken").unlink()
    assert_right(broken_while("never"), run(broken_while(), workers=1, resume=True))


def test_the_reference_of_these_jobs() -> None:
    """They give something in every part, or the tests would compare nothing."""
    assert all(run_sequential(broken_while("never")).parts)

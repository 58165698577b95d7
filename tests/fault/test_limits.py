"""Attempts that take too long or too much: whole runs, from the first attempt to what is told in the end."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Records, Sum, Text, run
from mapreduce.coordinator import loop
from mapreduce.errors import AttemptTimeout, MemoryExceeded

from .attempts import wait_for
from .test_process_faults import processes_of_session
from .watching import Watcher, assert_failed, assert_right, calls, note

TIMEOUT = 0.8
GRACE = 8.0
"""Seconds beside the two time-outs, on a machine that others use too; few of them are needed."""


def endless_loop() -> None:
    while True:
        pass


def loop_in_c() -> None:
    ctypes.PyDLL(None).sleep(600)  # holds the interpreter lock


def catastrophic_expression() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the lock too


def blocked_accept() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.accept()


def sleeping() -> None:
    time.sleep(600)


def on_bad(does: Callable[[], Any]) -> Callable[[str], Any]:
    """A map that does that on the record "bad"."""

    def mapper(record: str) -> Any:
        note(f"map {record}")
        if record == "bad":
            does()
        yield record, 1

    return mapper


def stuck(does: Callable[[], None]) -> Job:
    source = Records(["good", "fine", "bad", "last"], split_size=2)
    return Job("stuck", source, on_bad(does), Sum(), "out", timeout=TIMEOUT)


STUCK = [
    pytest.param(endless_loop, marks=pytest.mark.covers("U6", "while True: with a time-out")),
    pytest.param(loop_in_c, marks=pytest.mark.covers("U6", "a loop of C that holds the interpreter lock")),
    pytest.param(catastrophic_expression, marks=pytest.mark.covers("U6", "a catastrophic expression")),
    pytest.param(blocked_accept, marks=pytest.mark.covers("U7", "accept() that nobody calls")),
    pytest.param(sleeping, marks=pytest.mark.covers("U7", "a sleep without end")),
]


@pytest.mark.parametrize("does", STUCK)
def test_a_function_that_does_not_end_is_told_with_its_stack_and_record(does: Callable[[], None]) -> None:
    watcher = Watcher()
    begin = time.monotonic()
    with pytest.raises(AttemptTimeout) as caught:
        run(stuck(does), workers=2, observers=[watcher])
    assert 2 * TIMEOUT <= time.monotonic() - begin < 2 * TIMEOUT + GRACE
    error = caught.value
    assert error.message == (
        "map 1, attempt 2 ran for more than 0.8 s, the job's timeout, on Records, item 2.\n  record: 'bad'"
    )
    assert f"in {does.__name__}" in error.details
    assert "in mapper" in error.details
    assert "mapreduce/worker.py" not in error.details
    assert "worker.py" in error.trace
    assert error.exit_code == 1
    assert watcher.of("map 1") == [(1, "failed", "AttemptTimeout"), (2, "failed", "AttemptTimeout")]
    assert watcher.of("map 0") == [(1, "succeeded", "")], "others are not touched"
    assert_failed()


HANGS = """
import time
from mapreduce import Job, Records, Sum

def hang(record):
    if record == "bad":
        while True:
            pass
    yield record, 1

job = Job("hangs", Records(["good", "bad"], split_size=1), hang, Sum(), "out", timeout=0.8)
"""


@pytest.mark.covers("U6", "an endless loop, from the command line")
def test_the_command_line_ends_with_1_and_shows_where_it_hung() -> None:
    Path("job.py").write_text(textwrap.dedent(HANGS))
    process = subprocess.Popen(
        [sys.executable, "-m", "mapreduce", "run", "job.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: map 1, attempt 2 ran for more than 0.8 s, the job's timeout, on Records, item 1." in told
    assert "record: 'bad'" in told
    assert re.search(r'job\.py", line [78] in hang', told), "the loop has two lines"
    assert "Traceback" not in told
    wait_for(lambda: not processes_of_session(process.pid), "no process is left")
    assert_failed()


def holds_the_lock() -> None:
    ctypes.PyDLL(None).usleep(1_500_000)


@pytest.mark.covers("U6", "a loop of C that holds the lock for 1.5 s, below the time-out, and without one")
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_function_that_holds_the_lock_is_not_taken_for_dead(timeout: float | None) -> None:
    source = Records(["bad", "good"], split_size=1)
    job = Job("holds", source, on_bad(holds_the_lock), Sum(), "out", timeout=timeout)
    watcher = Watcher()
    result = run(job, workers=2, observers=[watcher])
    assert [(end.outcome, end.attempt) for end in watcher.ended] == [("succeeded", 1)] * 3
    assert calls() == {"map bad": 1, "map good": 1}
    assert watcher.stalls == []
    # The coordinator has heard nothing of it for many polls, and went on telling how far the run is.
    assert len(watcher.told) >= 4
    assert_right(job, result)


@pytest.mark.covers("U7", "a function that waits, without a time-out: it is told that it does not move")
def test_a_function_that_does_not_move_is_told_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STALL_SECONDS", 0.3)

    def waiting() -> None:
        while not Path("go").exists():
            time.sleep(0.005)

    def release(_: object) -> None:
        if len(watcher.stalls) >= 2:
            Path("go").touch()

    Path("in.log").write_text("good\nbad\n")
    watcher = Watcher(on_progress=release)
    job = Job("waits", Text("in.log"), on_bad(waiting), Sum(), "out")
    result = run(job, workers=1, observers=[watcher])
    (task, work, seconds), (_, _, later) = watcher.stalls[:2]
    assert task == "map 0"
    assert work == "in.log, bytes 0 to 9"
    assert 0.3 <= seconds < later - 0.25
    assert [(end.outcome, end.attempt) for end in watcher.ended] == [("succeeded", 1)] * 2
    Path("go").touch()
    assert_right(job, result)


# ---------------------------------------------------------------- memory

BUDGET = 256 * 2**20
STEP = 2**23


def grow_to(size: int) -> None:
    """Hold that much, slowly enough to be seen, and stay so until somebody ends it."""
    held = bytearray()
    while len(held) < size:
        held += bytes(STEP)
        time.sleep(0.002)
    if size > BUDGET * 2:
        time.sleep(600)


def hog(does: Callable[[], Any], records: int = 8) -> Job:
    """ "bad" is the record of one map of many; the others take a little while, so that some run beside it."""

    def mapper(record: str) -> Any:
        note(f"map {record}")
        if record == "bad":
            does()
        time.sleep(0.02)
        yield record, 1

    Path("in.log").write_text("".join(f"r{number}\n" for number in range(records)) + "bad\n")
    source = Text("in.log", split_size=4)
    return Job("hog", source, mapper, Sum(), "out", memory=BUDGET, shards=2)


def assert_alone(watcher: Watcher, task: str, number: int) -> None:
    """While that attempt ran, no other did."""
    index = next(i for i, end in enumerate(watcher.ended) if (end.task, end.attempt) == (task, number))
    begin, end = watcher.times[index]
    beside = [
        watcher.ended[other]
        for other, (other_begin, other_end) in enumerate(watcher.times)
        if other != index and other_begin < end - 0.01 and begin + 0.01 < other_end
    ]
    assert beside == []


def task_of_bad(watcher: Watcher) -> str:
    (task,) = {end.task for end in watcher.ended if end.kind == "MemoryExceeded"}
    return task


@pytest.mark.covers("U8", "a bytearray that grows without end, under Job(memory=…)")
def test_a_task_that_takes_too_much_is_tried_alone_and_then_named() -> None:
    Path("greedy").touch()

    def grow() -> None:
        if Path("greedy").exists():
            grow_to(4 * BUDGET)

    job = hog(grow)
    watcher = Watcher()
    with pytest.raises(MemoryExceeded) as caught:
        run(job, workers=2, backups=False, observers=[watcher])
    task = task_of_bad(watcher)
    assert watcher.of(task) == [(1, "failed", "MemoryExceeded"), (2, "failed", "MemoryExceeded")]
    assert_alone(watcher, task, 2)
    message = caught.value.message
    assert re.match(
        rf"{task}, attempt 2 took \d+ MB of memory, where 512 MB are allowed, with nothing", message
    )
    assert message.endswith(f", on in.log, byte {Path('in.log').read_text().index('bad')}.\n  record: 'bad'")
    assert "in grow_to" in caught.value.details
    assert_failed()
    assert_goes_on(job, watcher)


def assert_goes_on(job: Job, watcher: Watcher) -> None:
    """Once the cause is removed, the same run ends well, and only what had not succeeded runs."""
    done = {end.task for end in watcher.ended if end.outcome == "succeeded"}
    assert done
    Path("greedy").unlink()
    before, later = calls(), Watcher()
    result = run(job, workers=2, observers=[later], resume=True)
    assert {end.task for end in later.ended} & done == set()
    assert all((calls() - before)[line] <= 1 for line in calls())
    assert_right(job, result)


@pytest.mark.covers("U8", "a bytearray larger than the budget of one worker, and not than that of two")
def test_a_task_that_fits_when_it_is_alone_succeeds() -> None:
    job = hog(lambda: grow_to(BUDGET + BUDGET // 4))
    watcher = Watcher()
    result = run(job, workers=2, backups=False, observers=[watcher])
    task = task_of_bad(watcher)
    assert watcher.of(task) == [(1, "failed", "MemoryExceeded"), (2, "succeeded", "")]
    assert_alone(watcher, task, 2)
    assert [end for end in result.manifest.attempts if end.outcome != "succeeded" and end.task != task] == []
    assert_right(hog(lambda: None), result)


@pytest.mark.covers("U8", "a bytearray that grows under RLIMIT_AS")
def test_a_memory_error_of_a_function_is_confirmed_alone() -> None:
    Path("greedy").touch()

    def grow() -> None:
        if Path("greedy").exists():
            soft = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + 2**26
            resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))
            grow_to(BUDGET)

    job = hog(grow)
    watcher = Watcher()
    with pytest.raises(MemoryExceeded) as caught:
        run(job, workers=2, backups=False, observers=[watcher])
    task = task_of_bad(watcher)
    assert watcher.of(task) == [(1, "failed", "MemoryExceeded"), (2, "failed", "MemoryExceeded")]
    assert_alone(watcher, task, 2)
    assert "map `hog.<locals>.mapper` (test_limits.py:" in caught.value.message
    assert "there is not enough memory for it" in caught.value.message
    assert caught.value.message.endswith("\n  record: 'bad'")
    assert "in grow_to" in caught.value.details
    assert_failed()
    assert_goes_on(job, watcher)

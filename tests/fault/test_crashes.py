"""Workers that end: by themselves, from outside, for want of memory. Whose turn it is, on which record."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mapreduce import Collect, Job, JsonLines, Records, Sum, Text, blocks, run
from mapreduce.errors import (
    MemoryExceeded,
    NoWorkers,
    Retry,
    SerializationError,
    UserFunctionError,
    WorkerCrash,
    WorkerKilled,
)
from mapreduce.events import Failed, Succeeded, WorkerGone, WorkerReady
from mapreduce.executors.endings import Ending
from mapreduce.testing import run_sequential

from .attempts import attempts


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def bus_error() -> None:
    with open("short", "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        mapped = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        file.truncate(0)
        mapped[0]


def division() -> None:
    os.kill(os.getpid(), signal.SIGFPE)


def leave() -> None:
    os._exit(0)


def leave_with_three() -> None:
    os._exit(3)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def on(record: Any, does: Callable[[], None]) -> Callable[[Any], Any]:
    """A map that does that on one record, and gives a pair for every other."""

    def mapper(given: Any) -> Any:
        if given == record:
            print("so far so good")
            does()
        yield given, 1

    return mapper


ENDINGS = [
    (segfault, WorkerCrash, "was ended by SIGSEGV", "crash:-11"),
    (abort, WorkerCrash, "was ended by SIGABRT", "crash:-6"),
    (bus_error, WorkerCrash, "was ended by SIGBUS", "crash:-7"),
    (division, WorkerCrash, "was ended by SIGFPE", "crash:-8"),
    (leave, WorkerCrash, "ended with exit code 0 and without a result", "crash:0"),
    (leave_with_three, WorkerCrash, "ended with exit code 3 and without a result", "crash:3"),
    (kill, WorkerKilled, "was ended from outside, by SIGKILL", "killed:-9"),
    (terminate, WorkerKilled, "was ended from outside, by SIGTERM", "killed:-15"),
    (hang_up, WorkerKilled, "was ended from outside, by SIGHUP", "killed:-1"),
]


@pytest.mark.usefixtures("calm_host")
@pytest.mark.parametrize(
    ("does", "kind", "says", "place"), ENDINGS, ids=lambda does: getattr(does, "__name__", "")
)
def test_how_a_worker_ended_says_whose_turn_it_is(does: Any, kind: Any, says: str, place: str) -> None:
    with attempts(Job("ends", Records(["bad"]), on("bad", does), Sum())) as tried:
        error = tried.error_of()
        assert type(error) is kind
        assert error.retry is (Retry.ALWAYS if kind is WorkerKilled else Retry.CONFIRM)
        assert says in error.message
        assert error.message.endswith("while it ran map 0, attempt 1.")
        assert error.place == place
        assert error.output == "so far so good\n"
        if does in (segfault, abort, bus_error, division):
            assert f"in {does.__name__}" in error.details, "the stack of the function is shown"
            assert "mapreduce/worker.py" not in error.details


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_only_sigkill_is_the_kernel_s_way_to_get_memory(number: signal.Signals) -> None:
    assert type(Ending(1, -number, out_of_memory=True).error()) is WorkerKilled
    assert type(Ending(1, -signal.SIGKILL, out_of_memory=True).error()) is MemoryExceeded


@pytest.mark.covers("U3", "os._exit(0) and sys.exit(0) in the middle of a task")
@pytest.mark.parametrize(("does", "kind"), [(leave, WorkerCrash), (lambda: sys.exit(0), UserFunctionError)])
def test_an_exit_without_a_result_is_no_success(does: Any, kind: Any) -> None:
    job = Job("exits", Records(list("abcd"), split_size=2), on("c", does), Sum(), "out")
    with pytest.raises(kind, match=r"exit code 0 and without a result|SystemExit: 0"):
        run(job, workers=2)
    assert not Path("out").exists()


@pytest.mark.covers("U4", "ctypes.string_at(0), os.abort, a page of a mapped file that is gone")
@pytest.mark.parametrize("does", [segfault, abort, bus_error])
def test_one_crash_touches_no_other_task(does: Callable[[], None]) -> None:
    flag = Path("crashed").resolve()

    def once() -> None:
        if not flag.exists():
            flag.touch()
            does()

    records = [str(number) for number in range(40)]
    job = Job("once", Records(records, split_size=5), on("17", once), Collect(), JsonLines("out"), shards=2)
    result = run(job, workers=2)
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts
    told = [(attempt.task, attempt.outcome) for attempt in result.manifest.attempts]
    assert told.count(("map 3", "lost")) == 1
    assert [outcome for task, outcome in told if task != "map 3"] == ["succeeded"] * 9


@pytest.mark.covers("U4", "ctypes.string_at(0): how soon a new worker is ready")
def test_a_crashed_worker_is_soon_replaced() -> None:
    """Sooner than an interpreter starts and imports what it needs, measured in turns."""
    starting = [sys.executable, "-c", "import mapreduce.executors.preload"]
    with attempts(Job("ends", Records(["bad"]), on("bad", segfault), Sum())) as tried:
        took, started = [], []
        for _ in range(5):
            attempt = tried.start()
            tried.until(lambda: tried.events and isinstance(tried.events[-1], WorkerGone), "it has crashed")
            begin = time.monotonic()
            tried.until(lambda: isinstance(tried.events[-1], WorkerReady), "another is ready")
            took.append(time.monotonic() - begin)
            assert tried.end_of(attempt).error.place == "crash:-11"
            begin = time.monotonic()
            subprocess.run(starting, check=True, timeout=60)
            started.append(time.monotonic() - begin)
    print(f"medians {statistics.median(took) * 1000:.0f} and {statistics.median(started) * 1000:.0f} ms")
    assert statistics.median(took) < statistics.median(started)


def test_workers_find_all_that_they_need_already_imported() -> None:
    look = (
        "import sys, mapreduce.executors.preload; print({'polars', 'mapreduce.worker'} <= sys.modules.keys())"
    )
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


@pytest.mark.usefixtures("calm_host")
def test_a_forkserver_that_is_killed_is_replaced_and_nobody_is_blamed() -> None:
    def mapper(record: str) -> Any:
        while not Path("go").exists():
            Path(f"begun-{record}").touch()
            time.sleep(0.005)
        yield record, 1

    with attempts(Job("served", Records(["a", "b"], split_size=1), mapper, Sum()), workers=2) as tried:
        started = [tried.start(0), tried.start(1)]
        tried.until(lambda: len(list(Path().glob("begun-*"))) == 2, "both have begun")
        os.kill(vars(forkserver._forkserver)["_forkserver_pid"], signal.SIGKILL)
        assert {type(tried.end_of(attempt).error) for attempt in started} == {WorkerKilled}
        Path("go").touch()
        assert isinstance(tried.run(0), Succeeded)
        assert isinstance(tried.run(1), Succeeded)


# ---------------------------------------------------------------- which record


LINES = [f"line {number}" for number in range(300)]


def test_a_careful_attempt_names_the_record_that_ended_its_process() -> None:
    Path("in.log").write_text("".join(line + "\n" for line in LINES))
    offset = sum(len(line) + 1 for line in LINES[:217])
    with attempts(Job("poison", Text("in.log"), on(LINES[217], segfault), Sum())) as tried:
        assert "byte" not in tried.error_of().message
        error = tried.error_of(careful=True)
        where = f"in.log, byte {offset:,}"
        assert error.message.endswith(f"map 0, attempt 2, on {where}.\n  record: 'line 217'")
        assert error.place == f"crash:-11:{where}"


def test_a_careful_block_function_gets_one_record_at_a_time() -> None:
    @blocks
    def mapper(records: list[str]) -> Any:
        if "r" * 500 in records:
            os._exit(9)
        return [(record, len(records)) for record in records]

    with attempts(Job("poison", Records(["a", "r" * 500, "b"]), mapper, Collect())) as tried:
        error = tried.error_of(careful=True)
        assert "on Records, item 1.\n" in error.message
        assert error.message.endswith(f"record: '{'r' * 200}'…")


@pytest.mark.parametrize("fails", [False, True])
def test_an_attempt_after_a_careful_one_does_not_take_over_its_record(fails: bool) -> None:
    def mapper(record: str) -> Any:
        if Path("crash").exists():
            os._exit(9)
        yield record, 1 // (not fails)

    with attempts(Job("later", Records(["a"]), mapper, Sum())) as tried:
        assert isinstance(tried.run(careful=True), Failed if fails else Succeeded)
        Path("crash").touch()
        assert tried.error_of().place == "crash:9"


def test_a_careful_attempt_gives_the_same_bytes() -> None:
    def mapper(record: int, ctx: Any) -> Any:
        ctx.count("seen")
        yield record % 7, (record, ctx.location.offset)

    with attempts(Job("same", Records(list(range(500))), mapper, Collect())) as tried:
        plain, careful = tried.run().result, tried.run(careful=True).result
        assert plain.digest == careful.digest
        assert plain.counters == careful.counters == {"seen": 500}


def test_a_careful_reduce_names_the_key() -> None:
    def reduce(key: str, values: Any) -> Any:
        if key == "c":
            os._exit(9)
        yield key, sum(values)

    from mapreduce.codec import to_plain
    from mapreduce.model import Segments

    with attempts(Job("keys", Records(list("abcd")), lambda letter: [(letter, 1)], reduce)) as tried:
        made = tried.run().result
        (stored,) = made.runs
        segments = to_plain([Segments(0, made.name, stored.layout, stored.index)])
        request = {"kind": "reduce", "index": 0, "inputs": "", "segments": segments, "range": None}
        tried.requests.append(request)
        error = tried.error_of(1, careful=True)
        assert error.message.endswith(", on a reduce.\n  record: 'c'")


# ---------------------------------------------------------------- memory


def grow() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY))
    held = bytearray()
    while True:
        held += bytes(2**24)


def test_a_function_that_gets_no_memory_is_named_with_its_record() -> None:
    with attempts(Job("hog", Records(["good", "bad"]), on("bad", grow), Sum())) as tried:
        error = tried.error_of()
        assert type(error) is MemoryExceeded
        assert error.retry is Retry.ALONE
        assert "map `on.<locals>.mapper` (test_crashes.py:" in error.message
        assert "on Records, item 1: there is not enough memory" in error.message
        assert "record: 'bad'" in error.message
        assert "in grow" in error.details
        process = tried.process_of(tried.ready[0])
        assert tried.error_of().message == error.message
        assert tried.process_of(tried.until(lambda: tried.ready, "it lives")[0]) == process


def polars_grows() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY))
    pl.Series([1.5]).new_from_index(0, 2**31)


def test_a_library_that_aborts_because_it_gets_no_memory() -> None:
    with attempts(Job("hog", Records(["bad"]), on("bad", polars_grows), Sum())) as tried:
        assert type(tried.error_of()) is MemoryExceeded


CGROUP = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(not os.access(CGROUP / "cgroup.procs", os.W_OK), reason="needs a memory cgroup, as root")
def test_a_worker_that_the_kernel_ends_for_its_memory() -> None:
    group = CGROUP / f"mapreduce-test-{os.getpid()}"

    def grow_in_a_group() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        held = bytearray()
        while True:
            held += bytes(2**24)

    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(300 * 2**20))
        with attempts(Job("hog", Records(["bad"]), on("bad", grow_in_a_group), Sum())) as tried:
            error = tried.error_of()
            assert type(error) is MemoryExceeded
            assert "was ended by the kernel, because memory ran out" in error.message
            assert error.place == "out of memory"
    finally:
        group.rmdir()


# ---------------------------------------------------------------- workers that never get ready


class LeavesWhenLoaded:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return print_and_leave, ()


def print_and_leave() -> None:
    if os.environ.get("WORKERS_LEAVE"):
        print("no licence found")
        os._exit(7)


def test_workers_that_never_get_ready_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS_LEAVE", "yes")
    side = {"bad": LeavesWhenLoaded()}
    job = Job("never", Records(["a"]), lambda record: [(record, 1)], Sum(), "out", side=side)
    with pytest.raises(NoWorkers) as caught:
        run(job, workers=1)
    assert "ended with exit code 7" in caught.value.message
    assert "no licence found" in caught.value.message
    assert caught.value.output == "no licence found\n"
    assert not Path("out").exists()


def test_a_job_that_can_t_be_loaded_says_where_and_what_was_printed() -> None:
    job = Job("broken", Records(["a"]), lambda r: [(r, 1)], Sum(), side={"bad": FailsWhenLoaded()})
    with pytest.raises(SerializationError, match="ValueError: not here") as caught:
        run(job, workers=1)
    assert os.uname().nodename in caught.value.message
    assert caught.value.output == "before it failed\n"


class FailsWhenLoaded:
    """Can be pickled, but not unpickled."""

    def __reduce__(self) -> Any:
        return fail_to_load, ()


def fail_to_load() -> None:
    print("before it failed")
    raise ValueError("not here")

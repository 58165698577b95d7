"""What functions do to their process ends with their attempt: children, threads, forks, settings, files."""

from __future__ import annotations

import contextlib
import decimal
import faulthandler
import gc
import locale
import multiprocessing
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Collect, Count, Job, JsonLines, Records, Sum, Text, blocks, run
from mapreduce.codec import pack
from mapreduce.errors import JobError
from mapreduce.events import Succeeded
from mapreduce.testing import run_sequential

from .attempts import Attempts, attempts, is_alive, wait_for


def job_that(does: Callable[[Any], Any]) -> Job:
    """Its maps do that on their only record, "0" or "1", and count one pair."""

    def mapper(record: str, ctx: Any) -> Any:
        does((record, ctx))
        yield record, 1

    return Job("isolated", Records(["0", "1"], split_size=1), mapper, Sum())


def worker_of(tried: Attempts) -> int:
    """The process of the only worker, when it is ready."""
    return tried.process_of(tried.until(lambda: tried.ready, "a worker is ready")[0])


# ---------------------------------------------------------------- children and threads


def leave_a_child(note: Path) -> None:
    note.write_text(str(subprocess.Popen(["sleep", "600"]).pid))


def leave_a_daemon(note: Path) -> None:
    """Forks twice and begins a session, as daemons do."""
    if os.fork() == 0:
        os.setsid()
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(600)
        note.write_text(str(grandchild))
        os._exit(0)
    os.wait()


def leave_a_stubborn_one(note: Path) -> None:
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(600)
    note.write_text(str(child))


def leave_a_process_of_multiprocessing(note: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    note.write_text(str(process.pid))


LEAVERS = [leave_a_child, leave_a_daemon, leave_a_stubborn_one, leave_a_process_of_multiprocessing]


@pytest.mark.covers(
    "U17", "children left behind: a program, a daemon in a session of its own, a stubborn one"
)
@pytest.mark.parametrize("leaves", LEAVERS, ids=lambda leaves: leaves.__name__)
def test_children_that_are_left_end_with_the_attempt(leaves: Callable[[Path], None]) -> None:
    def does(given: Any) -> None:
        if given[0] == "0":
            leaves(Path("left"))

    with attempts(job_that(does)) as tried:
        assert isinstance(tried.run(0), Succeeded)
        assert not is_alive(int(Path("left").read_text())), "it had ended before the result was handed in"
        assert isinstance(tried.run(1), Succeeded)


@pytest.mark.covers("U17", "Popen sleep 600, then a crash, then the end of the run")
def test_children_end_with_a_worker_that_crashes_and_with_the_executor() -> None:
    def does(given: Any) -> None:
        leave_a_child(Path(f"left-{given[0]}"))
        if given[0] == "0":
            os._exit(3)
        Path("begun").touch()
        time.sleep(600)

    with attempts(job_that(does)) as tried:
        assert tried.error_of(0).place == "crash:3"
        wait_for(lambda: not is_alive(int(Path("left-0").read_text())), "that of the crashed one ends")
        tried.start(1)
        tried.until(lambda: Path("begun").exists(), "the second runs")
    wait_for(lambda: not is_alive(int(Path("left-1").read_text())), "that of the closed one ends")


ORPHANS = """
import os, subprocess, time
from mapreduce import Job, Records, Sum, run

def leave(record):
    child = subprocess.Popen(["sleep", "600"])
    with open("left", "w") as file:
        file.write(f"{child.pid} ")
    time.sleep(600)
    yield record, 1

run(Job("orphans", Records(["a"]), leave, Sum(), "out"), workers=1)
"""


@pytest.mark.covers("U17", "Popen sleep 600, then SIGKILL to the coordinator")
def test_no_orphan_is_left_when_the_coordinator_is_killed() -> None:
    Path("job.py").write_text(ORPHANS)
    with subprocess.Popen([sys.executable, "job.py"], start_new_session=True) as process:
        wait_for(lambda: Path("left").exists() and Path("left").read_text(), "a child is started")
        child = int(Path("left").read_text())
        assert is_alive(child)
        process.kill()
    wait_for(lambda: not is_alive(child), "it ends")


def test_processes_that_a_function_waits_for_are_its_own_affair() -> None:
    def does(given: Any) -> None:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        assert subprocess.run(["echo", "hello"], capture_output=True, check=True).stdout == b"hello\n"
        assert os.system("true") == 0
        with ThreadPoolExecutor(2) as threads:
            given[1].count("done", sum(threads.map(abs, [-1, -2])))

    with attempts(job_that(does)) as tried:
        process = worker_of(tried)
        assert tried.counters_of(0) == tried.counters_of(1) == {"done": 3}
        assert worker_of(tried) == process, "nothing was left, so the worker stays"


@pytest.mark.covers("U17", "a daemon thread that counts after its attempt")
def test_a_thread_that_is_left_ends_with_its_worker_and_nobody_is_blamed() -> None:
    def does(given: Any) -> None:
        record, ctx = given
        ctx.count("calls")
        if record == "0":
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

    with attempts(job_that(does)) as tried:
        process = worker_of(tried)
        assert tried.counters_of(0) == {"calls": 1}
        assert worker_of(tried) != process
        wait_for(lambda: not is_alive(process), "the worker with the thread has left")
        assert tried.counters_of(1) == {"calls": 1}
        assert {type(event).__name__ for event in tried.events} == {"WorkerReady", "Succeeded"}


@pytest.mark.covers("U17", "a thread that counts and asks for scratch space after its attempt")
def test_counting_after_the_attempt_is_refused() -> None:
    kept: list[Any] = []

    def mapper(record: str, ctx: Any) -> Any:
        ctx.count("calls")
        kept.append(ctx)
        yield record, 1

    result = run(Job("late", Records(["a"]), mapper, Sum()), on="serial")
    with pytest.raises(JobError, match="has ended"):
        kept[0].count("calls")
    with pytest.raises(JobError, match="has ended"):
        _ = kept[0].scratch
    assert result.counters == {"calls": 1}


# ---------------------------------------------------------------- forks

LINES = [f"word{number % 50} {number}" for number in range(3_000)]


def fork_and_go_on() -> None:
    """The child goes on as if it were the worker; its parent lets it do first what it can."""
    if os.environ.get("FORKS") and (child := os.fork()):
        os.waitpid(child, 0)


def forking_map(line: str) -> Iterator[tuple[str, int]]:
    if line in (LINES[10], LINES[1_500], LINES[2_999]):
        fork_and_go_on()
    yield line.split()[0], int(line.split()[1])


def forking_reduce(key: str, values: Any) -> Any:
    if key == "word7":
        fork_and_go_on()
    yield key, sum(values)


@blocks
def forking_blocks(lines: list[str]) -> Any:
    fork_and_go_on()
    return [(line.split()[0], 1) for line in lines]


def plain_map(line: str) -> Iterator[tuple[str, int]]:
    yield line.split()[0], int(line.split()[1])


def forking_partition(key: str) -> int:
    if key == "word7" and os.environ.get("FORKS"):
        os.fork()  # nobody waits: polars, which has been used by now, may hang in the child
    return int(key[4:]) % 3


class ForksInSetup:
    """A map whose setup forks."""

    def setup(self, ctx: Any) -> None:
        fork_and_go_on()

    def __call__(self, line: str) -> Any:
        yield line.split()[0], 1


class ForksInTeardown(ForksInSetup):
    """And one whose teardown does."""

    def setup(self, ctx: Any) -> None:
        self.at_the_end = fork_and_go_on

    def teardown(self) -> None:
        self.at_the_end()


class ForksAtTheEnd:
    """A reduce whose teardown forks."""

    def __call__(self, key: str, values: Any) -> Any:
        yield key, sum(values)

    def teardown(self) -> None:
        fork_and_go_on()


@pytest.mark.covers("U18", "os.fork in every function, where the child goes on")
@pytest.mark.parametrize(
    "options",
    [
        {"map": forking_map, "reduce": Sum()},
        {"map": forking_map, "reduce": None},
        {"map": forking_blocks, "reduce": Collect()},
        {"map": forking_blocks, "reduce": None},
        {"map": ForksInSetup(), "reduce": Sum()},
        {"map": ForksInTeardown(), "reduce": Count()},
        {"map": ForksInTeardown(), "reduce": None},
        {"map": plain_map, "reduce": forking_reduce},
        {"map": plain_map, "reduce": ForksAtTheEnd()},
        {"map": plain_map, "reduce": Sum(), "partition": forking_partition, "shards": 3},
    ],
    ids=[
        "map",
        "map only",
        "blocks",
        "blocks only",
        "setup",
        "teardown",
        "teardown only",
        "reduce",
        "reduce teardown",
        "partition",
    ],
)
def test_a_forked_child_that_comes_back_changes_nothing(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in.log").write_text("".join(line + "\n" for line in LINES))
    monkeypatch.setenv("FORKS", "yes")
    source = Text("in.log", split_size="20KB", block_size="1KB")
    job = Job("forks", source, output=JsonLines("out"), **options)
    result = run(job, workers=2)
    found = [result.part_bytes(part) for part in result.parts]
    monkeypatch.delenv("FORKS")
    expected = run_sequential(job).parts
    assert ([b"".join(found)] if job.reduce is None else found) == expected
    assert {attempt.outcome for attempt in result.manifest.attempts} == {"succeeded"}
    left = {path.name for path in Path("out").iterdir()}
    assert left == {part.name for part in result.parts} | {"_manifest.json"}


def sockets() -> list[int]:
    """Descriptors of this process that are sockets: the engine's pipe is among them."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
    return found


@pytest.mark.covers("U18", "a child that looks for the protocol's pipe")
def test_a_forked_child_has_no_pipe_to_write_to() -> None:
    def does(given: Any) -> None:
        before = len(sockets())
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, bytes([len(sockets())]))
            os._exit(0)
        os.wait()
        given[1].count("lost", before - os.read(reading, 1)[0])

    with attempts(job_that(does)) as tried:
        assert tried.counters_of(0) == {"lost": 1}


@pytest.mark.covers("U18", "frames written to the pipe: of another attempt, and no frames at all")
@pytest.mark.parametrize("frame", ["another attempt", "no frame"])
def test_what_a_function_writes_to_the_pipe_is_not_believed(frame: str) -> None:
    forged = pack(["done", "map 0, attempt 1, 00000000", {"work": {}, "counters": {"forged": 1}}, False])
    data = struct.pack("<I", len(forged)) + forged if frame == "another attempt" else b"\xff" * 100

    def does(given: Any) -> None:
        for descriptor in sockets():
            with contextlib.suppress(OSError):
                os.write(descriptor, data)
        given[1].count("true")
        if frame == "no frame":
            time.sleep(600)

    with attempts(job_that(does)) as tried:
        if frame == "another attempt":
            assert tried.counters_of(0) == {"true": 1}
        else:
            assert "while it ran map 0" in tried.error_of(0).message
        tried.until(lambda: tried.ready, "a worker is there")


# ---------------------------------------------------------------- settings


def change_folder() -> None:
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")


def remove_folder() -> None:
    change_folder()
    os.rmdir(os.getcwd())


def change_variables() -> None:
    os.environ["ADDED"] = "1"
    os.environ["TZ"] = "Asia/Tokyo"
    os.environ.pop("PATH")
    time.tzset()


def change_signals() -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


TIMER = 1.0
"""Seconds: longer than an attempt takes on a busy machine."""


def set_an_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, TIMER, TIMER)


def change_decimals() -> None:
    decimal.getcontext().prec = 3


def change_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.utf8")


def change_path() -> None:
    sys.path.insert(0, "/nowhere")
    sys.argv.append("more")


def change_interpreter() -> None:
    sys.setrecursionlimit(5_000)
    warnings.simplefilter("error")
    gc.disable()
    gc.set_threshold(1)


def change_limits() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def lower_hard_limits() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))


def change_faulthandler() -> None:
    faulthandler.disable()
    faulthandler.unregister(signal.SIGQUIT)
    faulthandler.dump_traceback_later(TIMER, exit=True)


def change_umask() -> None:
    os.umask(0o777)


CHANGES = [
    change_folder,
    remove_folder,
    change_variables,
    change_signals,
    set_an_alarm,
    change_decimals,
    change_locale,
    change_path,
    change_interpreter,
    change_limits,
    lower_hard_limits,
    change_faulthandler,
    change_umask,
]


def settings() -> str:
    """All of them, as text."""
    umask = os.umask(0)
    os.umask(umask)
    found = {
        "folder": os.getcwd(),
        "umask": umask,
        "variables": sorted(os.environ.items()),
        "zone": time.tzname,
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "decimal": str(decimal.getcontext()),
        "locale": locale.setlocale(locale.LC_ALL),
        "path": sys.path,
        "arguments": sys.argv,
        "recursion": sys.getrecursionlimit(),
        "filters": [str(one) for one in warnings.filters],
        "gc": (gc.isenabled(), gc.get_threshold()),
        "limits": [resource.getrlimit(limit) for limit in range(16)],
        "faulthandler": faulthandler.is_enabled(),
    }
    return "\n".join(f"{name}: {value}" for name, value in found.items())


@pytest.mark.covers("U19", "every setting of a process that a function can change")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_next_attempt_finds_every_setting_as_it_was(change: Callable[[], None]) -> None:
    here = Path.cwd()

    def does(given: Any) -> None:
        (here / f"settings-{given[0]}").write_text(settings())
        if given[0] == "0":
            change()
            (here / "changed").write_text("removed" if change is remove_folder else settings())

    with attempts(job_that(does)) as tried:
        process = worker_of(tried)
        assert isinstance(tried.run(0), Succeeded)
        replaced = worker_of(tried) != process
        assert replaced == (change is lower_hard_limits)
        if change in (set_an_alarm, change_faulthandler):
            time.sleep(1.1 * TIMER)  # one that is left goes off
        assert isinstance(tried.run(1), Succeeded)
    first, second = Path("settings-0").read_text(), Path("settings-1").read_text()
    assert Path("changed").read_text() != first, "it did change something"
    assert second == first


@pytest.mark.covers("U19", "random.seed, and chance that was drawn before")
def test_an_attempt_that_runs_again_draws_the_same_numbers() -> None:
    def does(given: Any) -> None:
        given[1].count("drawn", random.randrange(2**60))
        random.seed(7)

    with attempts(job_that(does), workers=2) as tried:
        first, other = tried.counters_of(0), tried.counters_of(1)
        assert first != other
        for _ in range(3):
            assert tried.counters_of(0) == first
            assert tried.counters_of(1) == other


# ---------------------------------------------------------------- what a job keeps for itself

CALLS = 0


def counting_calls(given: Any) -> None:
    global CALLS
    CALLS += 1
    given[1].count("calls so far", CALLS)


@pytest.mark.covers("U13", "a module's counter, kept between attempts, and with a process for each")
@pytest.mark.parametrize("fresh", [False, True])
def test_globals_live_as_long_as_their_process(fresh: bool) -> None:
    with attempts(job_that(counting_calls), fresh_process=fresh) as tried:
        processes = []
        found = []
        for index in (0, 1, 0):
            processes.append(worker_of(tried))
            found.append(tried.counters_of(index)["calls so far"])
        assert found == ([1, 1, 1] if fresh else [1, 2, 3])
        assert len(set(processes)) == (3 if fresh else 1)


# ---------------------------------------------------------------- scratch space, side effects


ENDS: dict[str, Callable[[], Any]] = {
    "succeeds": lambda: None,
    "fails": lambda: 1 // 0,
    "crashes": lambda: os._exit(3),
    "is stopped": lambda: time.sleep(600),
}


@pytest.mark.covers("U23", "files of an attempt that succeeds, fails, crashes, is stopped")
@pytest.mark.parametrize("end", ENDS)
def test_scratch_space_goes_with_its_attempt(end: str) -> None:
    def does(given: Any) -> None:
        record, ctx = given
        assert list(ctx.scratch.iterdir()) == []
        assert ctx.scratch.stat().st_mode & 0o777 == 0o700
        (ctx.scratch / "file").write_text(record)
        Path(f"scratch-{record}").write_text(str(ctx.scratch))
        if record == "0":
            ENDS[end]()

    with attempts(job_that(does)) as tried:
        attempt = tried.start(0)
        tried.until(
            lambda: Path("scratch-0").exists() and Path("scratch-0").read_text(), "it has scratch space"
        )
        if end == "is stopped":
            tried.executor.stop(attempt, None)
        else:
            tried.end_of(attempt)
        first = Path(Path("scratch-0").read_text())
        assert first.is_relative_to(Path("run").resolve())
        assert not first.exists()
        assert isinstance(tried.run(1), Succeeded)
        assert Path("scratch-1").read_text() != str(first)
        assert not list(Path("run/data").glob("scratch*"))


@pytest.mark.covers("U23", "a file that is written by an attempt that is tried again")
def test_side_effects_of_an_attempt_that_failed_stay_but_not_its_scratch_space() -> None:
    here = Path.cwd()

    def mapper(record: str, ctx: Any) -> Any:
        with open(here / "effects", "a") as file:
            file.write("x")
        (ctx.scratch / "file").touch()
        ctx.count("files", len(list(ctx.scratch.iterdir())))
        if (here / "effects").stat().st_size == 1:
            os._exit(3)
        yield record, 1

    result = run(Job("effects", Records(["a"]), mapper, Sum()), workers=1)
    assert (here / "effects").read_text() == "xx", "functions may run more than once"
    assert result.counters == {"files": 1}

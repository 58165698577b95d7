"""Workers that are killed, stopped or slow, one or all: what is redone, and what comes out."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, Records, Sum, Text, run
from mapreduce.coordinator import policy
from mapreduce.coordinator.log import Acceptance, read_log
from mapreduce.errors import NoWorkers
from mapreduce.store import open_store
from mapreduce.testing import faults, run_sequential

from . import small_run
from .attempts import is_alive, wait_for
from .watching import Watcher, assert_right, calls, first_time, note, wait_in_function

pytestmark = pytest.mark.usefixtures("calm_host")

# ---------------------------------------------------------------- killed at every moment


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The parts of the small job's reference; the test stands in a folder with its input."""
    monkeypatch.chdir(small_run.new_folder(tmp_path, "small"))
    return run_sequential(small_run.small_job()).parts


def clean() -> None:
    """Remove what a run has left, but for the input."""
    shutil.rmtree("out")
    for path in Path().iterdir():
        if path.name != "in.log":
            path.unlink()


def worker_operations() -> list[str]:
    """The store operations of one worker that does everything, in order."""
    Path("calls").unlink(missing_ok=True)
    with faults("op=* who=worker times=always do=note:operations"):
        run(small_run.small_job(), workers=1)
    found = Path("operations").read_text().splitlines()
    clean()
    return found


def assert_one_redone(result: JobResult, expected: list[bytes]) -> None:
    """The output is right, and one kill had at most one task run twice: the one that was lost."""
    folder = Path().resolve()
    assert small_run.parts(folder) == expected
    called = small_run.calls(folder)
    lost = {attempt.task for attempt in result.manifest.attempts if attempt.outcome != "succeeded"}
    assert {attempt.outcome for attempt in result.manifest.attempts} <= {"succeeded", "lost"}
    assert len(lost) <= 1
    twice = small_run.tasks_called(call for call, times in called.items() if times > 1)
    assert twice <= lost
    assert max(called.values()) <= 2
    assert list(Path().glob(".*")) == []


@pytest.mark.covers("W1", "SIGKILL of a worker before, after and within every one of its store operations")
@pytest.mark.parametrize("how", ["kill_before", "kill_after", "torn"])
def test_a_worker_killed_at_every_store_operation(small: list[bytes], how: str) -> None:
    operations = worker_operations()
    assert sum(" new_file " in line for line in operations) >= 10
    assert any(" read " in line for line in operations)
    for number in range(1, len(operations) + 1):
        with faults(f"op=* who=worker nth={number} do={how} once=killed"):
            result = run(small_run.small_job(), workers=1)
        assert Path("killed").exists(), f"operation {number} of {len(operations)}"
        assert_one_redone(result, small)
        lost = [attempt.task for attempt in result.manifest.attempts if attempt.outcome == "lost"]
        assert len(lost) == 1, f"operation {number}, {operations[number - 1]}"
        clean()


def killing(stage: str) -> Job:
    """Its worker is killed once, in the middle of a map or a reduce."""

    def kill_once() -> None:
        if first_time(f"killed-{stage}"):
            os.kill(os.getpid(), signal.SIGKILL)

    def mapper(letter: str) -> Any:
        note(f"map {letter}")
        if stage == "map" and letter == "f":
            kill_once()
        yield letter, 1

    def reduce(key: str, values: Any) -> Any:
        note(f"reduce {key}")
        if stage == "reduce" and key == "f":
            kill_once()
        yield key, sum(values)

    return Job("killing", Records(list("abcdefgh"), split_size=4), mapper, reduce, "out", shards=2)


@pytest.mark.covers("W1", "SIGKILL of a worker in the middle of a map, and of a reduce")
@pytest.mark.parametrize("stage", ["map", "reduce"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_killed_in_a_function(stage: str, workers: int) -> None:
    result = run(killing(stage), workers=workers)
    lost = [attempt for attempt in result.manifest.attempts if attempt.outcome != "succeeded"]
    assert [(end.outcome, end.kind, end.attempt) for end in lost] == [("lost", "WorkerKilled", 1)]
    assert lost[0].task.startswith(stage)
    again = {line for line, times in calls().items() if times > 1}
    assert f"{stage} f" in again
    assert again <= ({f"map {letter}" for letter in "efgh"} if stage == "map" else set(calls("reduce")))
    assert max(calls().values()) == 2
    assert_right(killing("never"), result)


@pytest.mark.covers("W1", "SIGKILL of an idle worker, and of one that has just handed in its result")
def test_an_idle_worker_killed_loses_nothing() -> None:
    def mapper(letter: str) -> Any:
        note(f"map {letter} {os.getpid()}")
        Path(f"begun-{letter}").touch()
        wait_in_function("go" if letter == "b" else "begun-b")
        yield letter, 1

    def kill_the_idle_one(record: Any) -> None:
        if record.task == "map 0":
            ((line, _),) = calls("map a").items()
            os.kill(int(line.split()[2]), signal.SIGKILL)
            Path("go").touch()

    job = Job("idle", Records(["a", "b"], split_size=1), mapper, Sum(), "out", shards=4)
    result = run(job, workers=2, observers=[Watcher(on_end=kill_the_idle_one)])
    # A worker that ends when it has been given something new has lost that; nothing else is run again.
    lost = [attempt for attempt in result.manifest.attempts if attempt.outcome != "succeeded"]
    assert len(lost) <= 1
    assert all(end.task.startswith("reduce") and end.outcome == "lost" for end in lost)
    assert sum(calls().values()) == 2
    Path("go").touch()
    assert_right(job, result)


# ---------------------------------------------------------------- many are killed

NUMBERS = [str(number) for number in range(64)]


def slowly(seconds: float, until: str = "") -> Job:
    """64 tasks that take a moment each, and note who does them.

    until: a file that the second half of them waits for.
    """

    def mapper(number: str) -> Any:
        note(f"map {number} {os.getpid()}")
        time.sleep(seconds)
        if until and int(number) >= len(NUMBERS) // 2:
            wait_in_function(until)
        yield int(number) % 5, int(number)

    return Job("storm", Records(NUMBERS, split_size=1), mapper, Sum(), "out", shards=2)


def seen_workers() -> list[int]:
    """Processes that have called the function, in order of appearance."""
    path = Path("calls")
    lines = path.read_text().splitlines() if path.exists() else []
    return list(dict.fromkeys(int(line.split()[2]) for line in lines))


@contextmanager
def killers(work: Any) -> Iterator[list[int]]:
    """A thread beside the run, that kills; the processes that it has killed."""
    killed: list[int] = []
    over = threading.Event()

    def kill_all() -> None:
        try:
            work(killed, over)
        finally:
            Path("killed").touch()

    thread = threading.Thread(target=kill_all)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join(60)
        assert not thread.is_alive()


def kill(process: int, killed: list[int]) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        killed.append(process)


def a_third(killed: list[int], over: threading.Event) -> None:
    """Of six workers two, at once."""
    wait_for(lambda: len(seen_workers()) >= 6, "six workers are at it")
    for process in seen_workers()[:2]:
        kill(process, killed)


def every_worker_once(killed: list[int], over: threading.Event) -> None:
    """One after another, as soon as it has done something."""
    wait_for(lambda: len(seen_workers()) >= 3, "three workers are at it")
    for process in seen_workers()[:3]:
        wait_for(lambda: len(seen_workers()) >= 3 + len(killed), "those before it are replaced")
        kill(process, killed)


def one_each_second(killed: list[int], over: threading.Event) -> None:
    """By chance, until the run has ended."""
    rng = random.Random(5)
    while not over.wait(1.0):
        alive = [process for process in seen_workers() if is_alive(process)]
        if alive:
            kill(rng.choice(alive), killed)


STORMS = [
    pytest.param(a_third, 6, "killed", marks=pytest.mark.covers("W2", "a third of six workers at once")),
    pytest.param(every_worker_once, 3, "killed", marks=pytest.mark.covers("W2", "every one of three once")),
    pytest.param(one_each_second, 2, "", marks=pytest.mark.covers("W2", "one of two each second")),
]


@pytest.mark.parametrize(("work", "workers", "until"), STORMS)
def test_a_run_whose_workers_are_killed_completes(work: Any, workers: int, until: str) -> None:
    watcher = Watcher()
    with killers(work) as killed:
        result = run(slowly(0.02 if until else 0.1, until), workers=workers, observers=[watcher])
    assert len(killed) >= 2
    lost = [end for end in watcher.ended if end.outcome != "succeeded"]
    assert {end.kind for end in lost} <= {"WorkerKilled"}
    assert len(lost) <= len(killed)
    redone = sum(Counter(line.split()[1] for line in calls().elements()).values()) - len(NUMBERS)
    assert redone <= len(killed)
    assert_right(slowly(0), result)


# ---------------------------------------------------------------- slow and stopped workers


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts are stragglers before a second has passed."""
    monkeypatch.setattr(policy, "LEAST_SLOW_SECONDS", 0.3)


def straggling(first: str, second: str) -> Job:
    """Seven quick maps and one whose first and second attempt wait for a file each, if it has a name."""

    def mapper(letter: str) -> Any:
        if letter == "last":
            name = "first" if first_time("begun-first") else "second"
            Path(f"process-{name}").write_text(str(os.getpid()))
            os.rename(f"process-{name}", f"started-{name}")
            wait_in_function(waits[name]) if waits[name] else None
            note(f"through {name}")
        yield letter, 1

    waits = {"first": first, "second": second}
    letters = [*"abcdefg", "last"]
    return Job("slow", Records(letters, split_size=1), mapper, Sum(), "out", shards=2)


def process_of(name: str) -> int:
    return int(Path(f"started-{name}").read_text())


def acceptances(task: str) -> list[Acceptance]:
    """All entries of a task in the log of the run that was kept."""
    (folder,) = [path.parent for path in Path(".out.mapreduce").glob("*/log")]
    store = open_store(folder)
    found = []
    for name in store.list("log"):
        Path("one/log").mkdir(parents=True)
        (Path("one") / name).write_bytes(store.read(name))
        found += [
            held for held in read_log(open_store(Path("one"))).by_task.values() if str(held.task) == task
        ]
        (Path("one") / name).unlink()
        Path("one/log").rmdir()
        Path("one").rmdir()
    return found


def end_of_last(record: Any, outcome: str) -> bool:
    return bool(record.task == "map 7" and record.outcome == outcome)


@pytest.mark.covers("W4", "an attempt that takes far longer than others: the other one is first")
def test_a_straggler_is_overtaken_and_stopped(soon: None) -> None:
    watcher = Watcher()
    result = run(straggling("never", ""), workers=2, keep=True, observers=[watcher])
    assert watcher.of("map 7") == [(2, "succeeded", ""), (1, "stopped", "")]
    assert not is_alive(process_of("first")), "the loser is gone"
    assert calls() == {"through second": 1}
    (accepted,) = acceptances("map 7")
    assert accepted.record.attempt == 2
    assert sum(end.attempt > 1 for end in watcher.ended) == 1, "one backup, and of nobody else"
    assert dict(result) == dict.fromkeys([*"abcdefg", "last"], 1)


@pytest.mark.covers("W4", "an attempt that takes far longer than others, and is first after all")
def test_a_straggler_that_is_first_after_all_stops_the_other(soon: None) -> None:
    watcher = Watcher(on_progress=lambda _: Path("go").touch() if Path("started-second").exists() else None)
    result = run(straggling("go", "never"), workers=2, keep=True, observers=[watcher])
    assert watcher.of("map 7") == [(1, "succeeded", ""), (2, "stopped", "")]
    assert not is_alive(process_of("second"))
    assert calls() == {"through first": 1}
    (accepted,) = acceptances("map 7")
    assert accepted.record.attempt == 1
    assert dict(result) == dict.fromkeys([*"abcdefg", "last"], 1)


@pytest.mark.covers("W4", "a straggler, where no backups are wanted")
def test_without_backups_a_straggler_is_left_alone(soon: None) -> None:
    def release(record: Any) -> None:
        if len(watcher.told) > 5:
            Path("go").touch()

    watcher = Watcher(on_progress=release)
    run(straggling("go", "never"), workers=2, backups=False, observers=[watcher])
    assert watcher.of("map 7") == [(1, "succeeded", "")]


@pytest.mark.covers("W3", "SIGSTOP until another attempt is accepted, then SIGCONT")
@pytest.mark.parametrize("wakes", ["before the other is accepted", "after"])
def test_a_worker_that_wakes_too_late_changes_nothing(soon: None, wakes: str) -> None:
    def stop_then_wake(record: Any) -> None:
        # Nothing follows yet from what the other has handed in: so the sleeper has its result ready too.
        if end_of_last(record, "succeeded") and wakes != "after":
            Path("go").touch()
            os.kill(process_of("first"), signal.SIGCONT)
            wait_for(lambda: len(list(Path(".out.mapreduce").rglob("data/map-00007-*"))) == 2, "it is done")

    def stop(_: object) -> None:
        if Path("started-first").exists() and first_time("stopped"):
            os.kill(process_of("first"), signal.SIGSTOP)

    watcher = Watcher(on_end=stop_then_wake, on_progress=stop)
    result = run(straggling("go", ""), workers=2, keep=True, observers=[watcher])
    with suppress(ProcessLookupError):  # it is gone: that is the other way not to do harm
        os.kill(process_of("first"), signal.SIGCONT)
    assert not is_alive(process_of("first"))
    assert watcher.of("map 7") == [(2, "succeeded", ""), (1, "stopped", "")]
    assert calls("through") == {"through second": 1} | ({} if wakes == "after" else {"through first": 1})
    (accepted,) = acceptances("map 7")
    assert accepted.record.attempt == 2
    assert result.manifest.totals.records_in == 8
    assert dict(result) == dict.fromkeys([*"abcdefg", "last"], 1)


@pytest.mark.covers("W3", "SIGSTOP of a worker in a reduce, SIGCONT when its rival has handed in its part")
def test_a_part_that_comes_too_late_is_removed(soon: None) -> None:
    def reduce(key: int, values: Any) -> Any:
        if key == 7:
            name = "first" if first_time("begun-first") else "second"
            Path(f"process-{name}").write_text(str(os.getpid()))
            os.rename(f"process-{name}", f"started-{name}")
            if name == "first":
                wait_in_function("go")
        yield key, sum(values)

    def stop(_: object) -> None:
        if Path("started-first").exists() and first_time("stopped"):
            os.kill(process_of("first"), signal.SIGSTOP)

    def wake(record: Any) -> None:
        if record.task == "reduce 7" and record.outcome == "succeeded":
            Path("go").touch()
            os.kill(process_of("first"), signal.SIGCONT)
            wait_for(
                lambda: len(list(Path("out").glob("part-00007-*"))) == 2, "the sleeper has written its part"
            )

    job = Job(
        "late", Records(list(range(8))), lambda n: [(n, n)], reduce, "out", partition=lambda n: n, shards=8
    )
    watcher = Watcher(on_end=wake, on_progress=stop)
    result = run(job, workers=2, observers=[watcher])
    assert watcher.of("reduce 7") == [(2, "succeeded", ""), (1, "stopped", "")]
    assert not is_alive(process_of("first"))
    assert_right(job, result)


# ---------------------------------------------------------------- no workers


class Closed:
    """Ends every process that unpickles it, for as long as there is a file."""

    def __reduce__(self) -> Any:
        return leave_if_closed, ()


def leave_if_closed() -> str:
    if os.path.exists("closed"):
        os._exit(7)
    return "open"


def closing() -> Job:
    """After its third map no worker can be loaded any more, and all that run are killed."""

    def mapper(line: str) -> Any:
        note(f"map {line}")
        if line == "line 5" and first_time("was-closed"):
            Path("closed").touch()
        if os.path.exists("closed"):
            os.kill(os.getpid(), signal.SIGKILL)
        yield line, 1

    source = Text("in.log", split_size=7)
    return Job("closing", source, mapper, Sum(), "out", side={"door": Closed()}, shards=2)


@pytest.mark.covers("W8", "all workers are killed, and each that follows ends before it is ready")
@pytest.mark.parametrize("workers", [1, 2])
def test_when_no_worker_returns_the_run_ends_and_can_go_on(workers: int) -> None:
    Path("in.log").write_text("".join(f"line {number}\n" for number in range(8)))
    watcher = Watcher()
    begin = time.monotonic()
    with pytest.raises(NoWorkers) as caught:
        run(closing(), workers=workers, observers=[watcher])
    assert time.monotonic() - begin < 20
    assert "ended with exit code 7" in caught.value.message
    assert "what was done is kept" in caught.value.hint
    assert any("o on with the same job again" in text for text in caught.value.__notes__)
    assert not Path("out/_manifest.json").exists()
    done = {end.task for end in watcher.ended if end.outcome == "succeeded"}
    assert len(done) >= 3
    Path("closed").unlink()
    before, later = calls(), Watcher()
    result = run(closing(), workers=workers, observers=[later], resume=True)
    assert {end.task for end in later.ended} & done == set()
    assert sum((calls() - before).values()) == 8 - len(done)
    assert_right(closing(), result)

"""Functions that fail now and then: how often they are tried, where, and what is told in the end."""

from __future__ import annotations

import ctypes
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Collect, Job, JsonLines, Records, Sum, Text, blocks, run
from mapreduce.coordinator.log import read_log
from mapreduce.errors import UserFunctionError, WorkerCrash
from mapreduce.observers.summary import summary
from mapreduce.store import open_store
from mapreduce.testing import NonDeterminism, check_determinism
from mapreduce.testing.keyrules import place

from .watching import Watcher, assert_failed, assert_right, calls, first_time, note, segments_of

LETTERS = list("abcdefgh")
BAD = "f"


def failing(stage: str, fails: Callable[[], Any]) -> Job:
    """A job of which one function fails, for the record or the key "f"."""

    def act(where: str, what: str) -> None:
        if where == stage:
            note(f"{where} {what}")
            if what == BAD:
                fails()

    def mapper(letter: str) -> Any:
        act("map", letter)
        yield letter, 1
        yield letter, 2

    def combine(key: str, values: Any) -> int:
        act("combine", key)
        return sum(values)

    def partition(key: str) -> int:
        act("partition", key)
        return ord(key) % 2

    def reduce(key: str, values: Any) -> Any:
        act("reduce", key)
        yield key, sum(values)

    source = Records(LETTERS, split_size=2)
    return Job("fails", source, mapper, reduce, "out", combine=combine, partition=partition, shards=2)


def raises() -> None:
    raise ValueError("no such letter")


WHERE = {
    "map": ("map `failing.<locals>.mapper` (test_retries.py:", "failed on Records, item 5", "record: 'f'"),
    "combine": ("combine `failing.<locals>.combine` (test_retries.py:", "for the key 'f'", "no such letter"),
    "partition": ("partition `failing.<locals>.partition` (test_retries.py:", "for the key 'f'", "no such"),
    "reduce": ("reduce `failing.<locals>.reduce` (test_retries.py:", "for the key 'f'", "no such letter"),
}


@pytest.mark.covers("U1", "an exception on one record: in a map, a combine, a partition, a reduce")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stage", WHERE)
def test_an_exception_is_confirmed_once_by_another_process(stage: str, workers: int) -> None:
    watcher = Watcher()
    with pytest.raises(UserFunctionError) as caught:
        run(failing(stage, raises), workers=workers, observers=[watcher])
    for text in (*WHERE[stage], "ValueError: no such letter"):
        assert text in caught.value.message
    assert "in raises" in caught.value.details
    assert "in act" in caught.value.details
    assert "Traceback (most recent call last)" in caught.value.trace
    task = {"map": "map 2", "combine": "map 2", "partition": "map 2", "reduce": "reduce 0"}[stage]
    assert watcher.of(task) == [(1, "failed", "UserFunctionError"), (2, "failed", "UserFunctionError")]
    assert len({end.worker for end in watcher.ended if end.task == task}) == 2, "not twice in one process"
    # A failed block is run again record by record, to name the record: two calls an attempt.
    assert calls(f"{stage} f") == {f"{stage} f": 4 if stage == "map" else 2}
    assert_failed()


@pytest.mark.covers(
    "U2", "an exception, or a crash, on the first try only: a file remembers that there was one"
)
@pytest.mark.parametrize("how", ["exception", "crash"])
@pytest.mark.parametrize("stage", WHERE)
def test_a_failure_on_the_first_try_only_is_counted_and_does_no_harm(stage: str, how: str) -> None:
    counted = Path("failures").resolve()

    def fails_once() -> None:
        tries = len(counted.read_text()) if counted.exists() else 0
        counted.write_text("x" * (tries + 1))
        if how == "crash" and not tries:
            ctypes.string_at(0)
        if how == "exception" and tries < (2 if stage == "map" else 1):  # the block, and the record alone
            raise ValueError("not yet")

    result = run(failing(stage, fails_once), workers=2)
    (failed,) = [attempt for attempt in result.manifest.attempts if attempt.outcome != "succeeded"]
    assert failed.task == ("reduce 0" if stage == "reduce" else "map 2")
    assert failed.attempt == 1
    assert failed.kind == ("WorkerCrash" if how == "crash" else "UserFunctionError")
    assert failed.outcome == ("lost" if how == "crash" else "failed")
    tried = [attempt.attempt for attempt in result.manifest.attempts if attempt.task == failed.task]
    assert tried == [1, 2]
    (retried,) = [line for line in summary(result) if line.lstrip().startswith("retried")]
    assert "1 × " in retried
    assert ("SIGSEGV" if how == "crash" else "not yet") in retried
    assert_right(failing("none", raises), result)


def poisoned(shape: str) -> Job:
    """A job that "f" crashes."""

    def crash() -> None:
        note("crash")
        ctypes.string_at(0)

    def mapper(letter: str) -> Any:
        if letter == BAD:
            crash()
        yield letter, 1

    @blocks
    def block_mapper(letters: list[str]) -> Any:
        if BAD in letters:
            crash()
        return [(letter, 1) for letter in letters]

    def reduce(key: str, values: Any) -> Any:
        if key == BAD:
            crash()
        yield key, sum(values)

    source = Text("in.log", split_size=32)
    if shape == "reduce":
        return Job("poison", source, lambda letter: [(letter, 1)], reduce, "out", shards=2)
    return Job("poison", source, block_mapper if shape == "blocks" else mapper, Sum(), "out", shards=2)


@pytest.mark.covers("U5", "a segfault on one record, always: in a map, a @blocks map, a reduce")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shape", ["map", "blocks", "reduce"])
def test_a_record_that_crashes_every_worker_is_named_after_three(shape: str, workers: int) -> None:
    Path("in.log").write_text("".join(f"{letter}\n" for letter in LETTERS * 8))
    with pytest.raises(WorkerCrash) as caught:
        run(poisoned(shape), workers=workers)
    assert 2 <= calls()["crash"] <= (3 if shape == "reduce" else 3 * workers)
    where = "on a reduce" if shape == "reduce" else f"on in.log, byte {caught_offset(caught.value.message)}"
    assert caught.value.message.endswith(f", {where}.\n  record: 'f'")
    assert "was ended by SIGSEGV" in caught.value.message
    assert "in crash" in caught.value.details
    assert_failed()


def caught_offset(message: str) -> int:
    """The byte that a message names; it must be that of an "f"."""
    offset = int(message.partition(", byte ")[2].partition(".")[0])
    assert Path("in.log").read_text()[offset] == BAD
    return offset


@pytest.mark.covers("U5", "a segfault on one record of many, always: crashes counted, the others go on")
def test_a_poisoned_record_takes_three_crashes_and_no_more() -> None:
    Path("in.log").write_text("".join(f"{letter}\n" for letter in "abcde" * 8 + BAD + "gh" * 20))
    watcher = Watcher()
    with pytest.raises(WorkerCrash) as caught:
        run(poisoned("map"), workers=2, observers=[watcher])
    assert caught.value.message.endswith("on in.log, byte 80.\n  record: 'f'")
    assert calls()["crash"] <= 3
    lost = [end for end in watcher.ended if end.outcome == "lost"]
    assert len({end.task for end in lost}) == 1, "nobody else is hit"
    assert len(lost) == calls()["crash"]


# ---------------------------------------------------------------- chance


def drawing(*, during: Callable[[], Any] = lambda: None) -> Job:
    """Every map draws a number, and gives it under two keys that lie in two shards."""
    pairs = [f"k{number}" for number in range(40)]
    left = [key for key in pairs if place(key) * 2 >> 64 == 0]
    right = [key for key in pairs if place(key) * 2 >> 64 == 1]
    assert left
    assert right

    def mapper(letter: str) -> Any:
        drawn = random.SystemRandom().randrange(2**60)
        yield left[0], (letter, drawn)
        yield right[0], (letter, drawn)

    def reduce(key: str, values: Any) -> Any:
        note(f"reduce {key}")
        for value in values:
            yield key, value

    return Job("drawn", Records(LETTERS, split_size=2), mapper, reduce, JsonLines("out"), shards=2)


def drawn_by_shard(result: Any) -> list[list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, value in result:
        found.setdefault(key, []).append(tuple(value))
    assert len(found) == 2
    assert all(len(values) == len(LETTERS) for values in found.values())
    return list(found.values())


def inputs_of_reduces(root: Path) -> set[str]:
    """The digests of the maps that the accepted reduces have read."""
    (run_directory,) = [path for path in root.iterdir() if path.is_dir()]
    accepted = read_log(open_store(run_directory)).by_task
    return {held.result.inputs for task, held in accepted.items() if str(task).startswith("reduce")}


@pytest.mark.covers("U12", "random.SystemRandom in a map: every reduce reads one attempt of it")
def test_all_reduces_read_one_attempt_of_each_map() -> None:
    result = run(drawing(), workers=2, keep=True)
    left, right = drawn_by_shard(result)
    assert left == right
    assert len(inputs_of_reduces(Path(".out.mapreduce"))) == 1


@pytest.mark.covers("U12", "a random map whose accepted data is deleted while the first reduces are done")
@pytest.mark.parametrize("lost", ["one", "all"])
def test_a_map_that_is_made_anew_with_other_data_takes_all_reduces_with_it(lost: str) -> None:
    def lose(record: Any) -> None:
        if record.task == "reduce 0" and first_time("lost"):
            for path in segments_of(Path(".out.mapreduce"))[: 1 if lost == "one" else None]:
                path.unlink()

    watcher = Watcher(on_end=lose)
    result = run(drawing(), workers=1, keep=True, observers=[watcher])
    left, right = drawn_by_shard(result)
    assert left == right
    assert len(inputs_of_reduces(Path(".out.mapreduce"))) == 1
    assert [outcome for _, outcome, _ in watcher.of("reduce 0")].count("succeeded") >= 2, "the first is void"
    again = {end.task for end in watcher.ended if end.task.startswith("map") and end.attempt > 1}
    assert len(again) == (1 if lost == "one" else 4)
    assert {kind for _, _, kind in watcher.of("reduce 1")} == {"SegmentError", ""}
    shutil.rmtree(".out.mapreduce")


@pytest.mark.covers("U12", "random.SystemRandom in a map: found by check_determinism")
def test_a_map_that_draws_is_found_before_it_does_harm() -> None:
    with pytest.raises(NonDeterminism, match=r"map `drawing\.<locals>\.mapper` \(test_retries\.py"):
        check_determinism(drawing())


def test_collected(tmp_path: Path) -> None:
    """The account of calls is exact also where nothing fails: what the others count is not by chance."""

    def mapper(letter: str) -> Iterator[Any]:
        note(f"map {letter}")
        yield letter, 1

    run(Job("plain", Records(LETTERS, split_size=2), mapper, Collect()), workers=2)
    assert calls() == {f"map {letter}": 1 for letter in LETTERS}

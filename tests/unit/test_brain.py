"""The brain and its policy, as tables of outcomes: what goes in, what must come out."""

from __future__ import annotations

import random

import pytest

from mapreduce.coordinator.policy import Failure, Verdict, after_failure
from mapreduce.coordinator.state import Accept, Brain, Command, Discard, Finish, GiveUp, Start, State
from mapreduce.errors import (
    InputMissing,
    InternalError,
    MapReduceError,
    SegmentError,
    StorageError,
    UserFunctionError,
    WorkerCrash,
)
from mapreduce.events import Failed, Succeeded, WorkerGone, WorkerReady
from mapreduce.model import Attempt, Kind, Result, TaskId, Work

HERE = UserFunctionError("boom", place="f.py:1")
THERE = UserFunctionError("boom", place="f.py:2")
NEVER = InputMissing("gone")
LOST = WorkerCrash("killed")
DISK = StorageError("full")


@pytest.mark.parametrize(
    ("story", "verdict"),
    [
        ([NEVER], Verdict.FAIL),
        ([HERE], Verdict.RETRY),
        ([HERE, HERE], Verdict.FAIL),
        ([HERE, THERE], Verdict.RETRY),
        ([HERE, LOST, HERE], Verdict.FAIL),
        ([HERE, THERE, HERE], Verdict.FAIL),
        ([LOST], Verdict.RETRY),
        ([LOST, LOST, LOST], Verdict.RETRY),
        ([LOST, LOST, LOST, LOST], Verdict.FAIL),
        ([LOST, LOST, LOST, HERE], Verdict.RETRY),
        ([LOST, DISK, LOST, DISK], Verdict.FAIL),
        ([LOST, NEVER], Verdict.FAIL),
    ],
)
def test_policy(story: list[MapReduceError], verdict: Verdict) -> None:
    assert after_failure([Failure(error) for error in story], max_attempts=4) is verdict


def test_user_code_that_fails_in_new_places_ends_with_the_budget() -> None:
    story = [Failure(UserFunctionError("boom", place=f"f.py:{line}")) for line in range(4)]
    assert [after_failure(story[: n + 1], 4) for n in range(4)] == [Verdict.RETRY] * 3 + [Verdict.FAIL]


class Driver:
    """Drives a brain, and checks its invariants after every event."""

    def __init__(self, maps: int, reduces: int, max_attempts: int = 4) -> None:
        self.brain = Brain(maps, reduces, max_attempts)
        self.commands: list[Command] = list(self.brain.begin())

    def tell(self, event: object) -> list[Command]:
        commands = self.brain.handle(event)  # type: ignore[arg-type]
        self.brain.check()
        self.commands += commands
        return commands

    def worker(self, number: int) -> list[Command]:
        return self.tell(WorkerReady(number))

    def done(self, start: Start, digest: str = "d") -> list[Command]:
        inputs = start.inputs
        commands = self.tell(Succeeded(start.attempt, result(digest, inputs)))
        return commands + self.worker(start.attempt.worker)


def result(digest: str = "d", inputs: str = "") -> Result:
    return Result(Work(), {}, digest=digest, inputs=inputs)


def starts(commands: list[Command]) -> list[Start]:
    return [command for command in commands if isinstance(command, Start)]


def only_start(commands: list[Command]) -> Start:
    (start,) = starts(commands)
    return start


def test_maps_then_reduces_then_the_end() -> None:
    driver = Driver(2, 1)
    first = only_start(driver.worker(0))
    second = only_start(driver.done(first))
    third = only_start(driver.done(second))
    assert [s.attempt.task for s in (first, second, third)] == [
        TaskId(Kind.MAP, 0),
        TaskId(Kind.MAP, 1),
        TaskId(Kind.REDUCE, 0),
    ]
    assert third.inputs
    assert Finish() in driver.done(third)
    assert sum(isinstance(command, Accept) for command in driver.commands) == 3


def test_nothing_to_do_finishes_at_once() -> None:
    assert Brain(0, 0, 4).begin() == [Finish()]


def test_without_maps_reduces_start_at_once() -> None:
    driver = Driver(0, 2)
    assert only_start(driver.worker(0)).attempt.task == TaskId(Kind.REDUCE, 0)


def test_an_attempt_on_a_lost_worker_is_redone_elsewhere() -> None:
    driver = Driver(1, 0)
    start = only_start(driver.worker(0))
    assert driver.tell(WorkerGone(0, LOST)) == []
    again = only_start(driver.worker(1))
    assert again.attempt == Attempt(start.attempt.task, 2, 1)
    assert Finish() in driver.done(again)


def test_an_idle_worker_that_is_lost_gets_nothing() -> None:
    driver = Driver(1, 0)
    first = only_start(driver.worker(0))
    driver.worker(1)
    driver.tell(WorkerGone(1, LOST))
    driver.tell(Failed(first.attempt, HERE))
    assert only_start(driver.worker(0)).attempt.worker == 0


def test_a_deterministic_error_ends_the_job_and_nothing_more_starts() -> None:
    driver = Driver(3, 1)
    first, _ = only_start(driver.worker(0)), driver.worker(1)
    assert driver.tell(Failed(first.attempt, NEVER)) == [GiveUp(NEVER)]
    assert driver.worker(2) == []
    assert driver.brain.state(first.attempt.task) is State.FAILED


def test_user_code_runs_twice_in_the_same_place_and_no_more() -> None:
    driver = Driver(1, 0)
    start = only_start(driver.worker(0))
    driver.tell(Failed(start.attempt, HERE))
    again = only_start(driver.worker(0))
    assert driver.tell(Failed(again.attempt, HERE)) == [GiveUp(HERE)]
    assert len(starts(driver.commands)) == 2


def lose_map(digest: str) -> tuple[Driver, list[Command]]:
    """Two reduces; the first is done, the second finds map 0's data gone; map 0 then makes `digest`."""
    driver = Driver(1, 2)
    mapped = only_start(driver.worker(0))
    reduced = only_start(driver.done(mapped, "first"))
    broken = only_start(driver.done(reduced))
    lost = SegmentError("gone", map_index=0)
    driver.tell(Failed(broken.attempt, lost))
    redone = only_start(driver.worker(0))
    assert redone.attempt.task == TaskId(Kind.MAP, 0)
    return driver, driver.done(redone, digest)


def test_a_map_that_is_redone_with_equal_data_invalidates_nothing() -> None:
    driver, commands = lose_map("first")
    assert not [command for command in commands if isinstance(command, Discard)]
    last = only_start(commands)
    assert last.attempt.task == TaskId(Kind.REDUCE, 1)
    assert Finish() in driver.done(last)


def test_a_map_that_is_redone_with_other_data_drops_what_was_reduced_from_it() -> None:
    driver, commands = lose_map("second")
    assert [c.attempt.task for c in commands if isinstance(c, Discard)] == [TaskId(Kind.REDUCE, 0)]
    one = only_start(commands)
    two = only_start(driver.done(one))
    assert {one.attempt.task, two.attempt.task} == {TaskId(Kind.REDUCE, 0), TaskId(Kind.REDUCE, 1)}
    assert one.inputs == two.inputs
    assert Finish() in driver.done(two)


def test_a_reduce_of_maps_that_have_changed_meanwhile_is_discarded() -> None:
    driver = Driver(1, 2)
    mapped = only_start(driver.worker(0))
    slow = only_start(driver.done(mapped, "first"))
    broken = only_start(driver.worker(1))
    driver.tell(Failed(broken.attempt, SegmentError("gone", map_index=0)))
    redone = only_start(driver.worker(1))
    driver.done(redone, "second")
    commands = driver.tell(Succeeded(slow.attempt, result(inputs=slow.inputs)))
    assert Discard(slow.attempt, result(inputs=slow.inputs)) in commands


def test_an_impossible_event_tells_the_task_s_story() -> None:
    driver = Driver(1, 0)
    start = only_start(driver.worker(0))
    driver.tell(Failed(start.attempt, HERE))
    with pytest.raises(InternalError, match=r"attempt 1 on worker 0 → attempt 1: UserFunctionError"):
        driver.tell(Succeeded(start.attempt, result()))


@pytest.mark.parametrize("seed", range(200))
def test_any_order_of_faults_ends_with_one_result_a_task(seed: int) -> None:
    rng = random.Random(seed)
    maps, reduces = rng.randrange(6), rng.randrange(5)
    driver = Driver(maps, reduces, max_attempts=10**9)
    workers = list(range(rng.randrange(1, 5)))
    running: list[Start] = []
    seen = 0

    def collect() -> None:
        nonlocal seen
        running.extend(starts(driver.commands[seen:]))
        seen = len(driver.commands)

    for number in workers:
        driver.worker(number)
    fresh = len(workers)
    for _ in range(5_000):
        collect()
        if Finish() in driver.commands:
            break
        start = running.pop(rng.randrange(len(running)))
        what = rng.random()
        if what < 0.15:
            driver.tell(WorkerGone(start.attempt.worker, LOST))
            driver.worker(fresh)
            fresh += 1
        elif what < 0.3:
            driver.tell(Failed(start.attempt, UserFunctionError("x", place=str(rng.random()))))
            driver.worker(start.attempt.worker)
        elif what < 0.4 and start.attempt.task.kind is Kind.REDUCE and maps:
            driver.tell(Failed(start.attempt, SegmentError("gone", map_index=rng.randrange(maps))))
            driver.worker(start.attempt.worker)
        else:
            driver.done(start, digest=rng.choice(["same", "other"]))
    assert Finish() in driver.commands, f"seed {seed} does not end"
    final = driver.brain.results(Kind.REDUCE if reduces else Kind.MAP)
    assert all(final)
    assert len({r.inputs for r in final if r}) <= 1, "reduces of different maps were combined"

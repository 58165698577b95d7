"""`on_error=Quarantine(…)`: what it allows, and what the brain makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from mapreduce import Job, Quarantine, Records, Sum
from mapreduce.coordinator.commands import Accept, Finish, GiveUp
from mapreduce.coordinator.policy import Failure, Verdict, after_failure, suspected
from mapreduce.coordinator.state import Brain, Limits
from mapreduce.errors import (
    AttemptTimeout,
    JobError,
    MapReduceError,
    QuarantineFull,
    SegmentError,
    WorkerCrash,
    WorkerKilled,
)
from mapreduce.events import Failed, Succeeded, WorkerGone, WorkerReady
from mapreduce.model import Kind, Result, TaskId, Work


@pytest.mark.parametrize(
    ("given", "bad", "records", "exceeded"),
    [
        (Quarantine(), 1_000, 10**9, False),
        (Quarantine(), 1_001, 10**9, True),
        (Quarantine(max_records=0), 0, 1, False),
        (Quarantine(max_records=0), 1, None, True),
        (Quarantine(max_fraction=0.1), 10**6, None, False),
        (Quarantine(max_fraction=0.1), 10, 100, False),
        (Quarantine(max_fraction=0.1), 11, 100, True),
        (Quarantine(max_fraction=1), 100, 100, False),
        (Quarantine(max_records=5, max_fraction=0.5), 6, 100, True),
        (Quarantine(max_records=5, max_fraction=0.5), 5, 9, True),
    ],
)
def test_what_is_allowed(given: Quarantine, bad: int, records: int | None, exceeded: bool) -> None:
    assert bool(given.exceeded(bad, records)) is exceeded


@pytest.mark.parametrize(
    "options",
    [{"max_records": -1}, {"max_records": 1.5}, {"max_records": True}, {"max_fraction": 1.1},
     {"max_fraction": -0.1}, {"max_fraction": float("nan")}, {"max_fraction": "1"}],
)  # fmt: skip
def test_what_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(JobError):
        Quarantine(**options)


@pytest.mark.parametrize("on_error", ["ignore", None, Quarantine, 5])
def test_another_on_error_is_refused(on_error: Any) -> None:
    with pytest.raises(JobError, match=r"on_error=.*Quarantine\(max_records"):
        Job("j", Records([1]), lambda record: [], Sum(), on_error=on_error)


# ---------------------------------------------------------------- records that end processes


def crash(*records: int, kind: type[MapReduceError] = WorkerCrash) -> MapReduceError:
    error = kind("it ended")
    error.records = range(records[0], records[-1] + 1) if records else None
    return error


SLOW_AT_7 = crash(7, kind=AttemptTimeout)
LOST = WorkerKilled("killed")


@pytest.mark.parametrize(
    ("story", "verdict"),
    [
        ([crash()], Verdict.RETRY),
        ([crash(), crash(7)], Verdict.RETRY),
        ([crash(), crash(7), crash(7)], Verdict.SKIP),
        ([crash(7), crash(8)], Verdict.RETRY),
        ([crash(7), SLOW_AT_7], Verdict.RETRY),
        ([crash(), SLOW_AT_7, LOST, SLOW_AT_7], Verdict.SKIP),
        ([crash(), crash(0, 99)], Verdict.RETRY),
        ([crash(), crash(0, 99), crash(0, 99)], Verdict.RETRY),  # a frame is no record
        ([crash(), crash(0, 99), crash(7)], Verdict.SKIP),
        ([crash(), crash(0, 99), crash(100)], Verdict.RETRY),
        ([crash(1), crash(2), crash(3), crash(4)], Verdict.FAIL),  # another one each time: not the records'
    ],
)
def test_a_record_that_ends_its_process_twice_is_left_out(
    story: list[MapReduceError], verdict: Verdict
) -> None:
    assert after_failure([Failure(error) for error in story], 4, may_skip=True) is verdict
    if verdict is Verdict.SKIP:
        assert after_failure([Failure(error) for error in story], 4) is not Verdict.SKIP


def test_the_rows_of_a_frame_that_ended_its_process_are_suspected() -> None:
    failures = [Failure(error) for error in (crash(), crash(0, 99), crash(200, 299), LOST)]
    assert suspected(failures) == range(200, 300)
    assert suspected([Failure(crash(7))]) is None


def test_records_are_left_out_one_after_another() -> None:
    brain = Brain(1, 0, Limits(quarantine=Quarantine()))
    (start,) = brain.handle(WorkerReady(0), 0.0)
    worker = 0
    for bad in ([None, 3, 3], [5, 5], [9, 9]):
        for record in bad:
            brain.handle(WorkerGone(worker, crash() if record is None else crash(record)), 0.0)
            worker += 1
            (start,) = brain.handle(WorkerReady(worker), 0.0)
            brain.check()
    assert list(start.skip) == [3, 5, 9]
    assert start.careful
    accept, finish = brain.handle(Succeeded(start.attempt, Result(Work(records=10, set_aside=3), {})), 0.0)
    assert isinstance(accept, Accept)
    assert isinstance(finish, Finish)


# ---------------------------------------------------------------- too many


def result(records: int, bad: int) -> Result:
    return Result(Work(records=records, set_aside=bad), {}, digest="d")


def test_the_run_fails_as_soon_as_there_are_too_many() -> None:
    brain = Brain(3, 1, Limits(quarantine=Quarantine(max_records=4)))
    (first,) = brain.handle(WorkerReady(0), 0.0)
    (second,) = brain.handle(WorkerReady(1), 0.0)
    brain.handle(Succeeded(first.attempt, result(10, 3)), 0.0)
    accept, give_up = brain.handle(Succeeded(second.attempt, result(10, 2)), 0.0)
    assert isinstance(accept, Accept)
    assert isinstance(give_up, GiveUp)
    assert isinstance(give_up.error, QuarantineFull)
    assert give_up.error.message == "5 records were set aside, and max_records=4 allows no more."
    assert brain.handle(WorkerReady(0), 0.0) == []


def test_a_share_is_looked_at_when_all_records_were_read() -> None:
    brain = Brain(2, 1, Limits(quarantine=Quarantine(max_fraction=0.1)))
    (first,) = brain.handle(WorkerReady(0), 0.0)
    (second,) = brain.handle(WorkerReady(1), 0.0)
    assert len(brain.handle(Succeeded(first.attempt, result(1, 1)), 0.0)) == 1
    _, give_up = brain.handle(Succeeded(second.attempt, result(8, 0)), 0.0)
    assert "11.1 % of 9, and max_fraction=0.1" in give_up.error.message


def test_a_map_that_is_made_again_counts_once() -> None:
    brain = Brain(1, 1, Limits(quarantine=Quarantine(max_records=3)))
    (start,) = brain.handle(WorkerReady(0), 0.0)
    brain.handle(Succeeded(start.attempt, result(9, 2)), 0.0)
    (reduce,) = brain.handle(WorkerReady(0), 0.0)
    brain.handle(Failed(reduce.attempt, SegmentError("gone", map_index=0)), 0.0)
    (again,) = brain.handle(WorkerReady(0), 0.0)
    assert not [c for c in brain.handle(Succeeded(again.attempt, result(9, 2)), 0.0) if isinstance(c, GiveUp)]


def test_a_run_that_goes_on_may_allow_more_or_less() -> None:
    done = [(TaskId(Kind.MAP, 0), result(10, 5))]
    for most, ends in ((4, GiveUp), (5, Finish)):
        brain = Brain(1, 0, Limits(quarantine=Quarantine(max_records=most)))
        brain.restore(done)
        (command,) = brain.begin()
        assert isinstance(command, ends)

"""The brain and its policy, as tables of outcomes: what goes in, what must come out."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from mapreduce.coordinator.commands import Accept, Command, Discard, Drop, Finish, GiveUp, Start, Stop
from mapreduce.coordinator.policy import Failure, Verdict, after_failure, must_be_careful, stragglers
from mapreduce.coordinator.state import Brain, Limits, State, inputs_digest
from mapreduce.errors import (
    AttemptTimeout,
    DecodeError,
    HostLost,
    InputChanged,
    InputDenied,
    InputError,
    InputMissing,
    InternalError,
    KeyTypeError,
    MapReduceError,
    MemoryExceeded,
    RecordTooLarge,
    SegmentError,
    StorageError,
    UserFunctionError,
    WorkerCrash,
    WorkerKilled,
)
from mapreduce.events import Failed, Succeeded, Tick, WorkerGone, WorkerReady
from mapreduce.model import Attempt, Kind, Result, TaskId, Work

HERE = UserFunctionError("boom", place="f.py:1")
THERE = UserFunctionError("boom", place="f.py:2")
NEVER = InputMissing("gone")
LOST = WorkerKilled("killed")
DISK = StorageError("full")
SEGFAULT = WorkerCrash("segfault", place="crash:-11")
POISON = WorkerCrash("segfault", place="crash:-11 at in.log, byte 7")
SLOW = AttemptTimeout("slow", place="timeout")
SLOW_THERE = AttemptTimeout("slow", place="timeout at in.log, byte 7")
LARGE = MemoryExceeded("large")
LOST_3 = SegmentError("gone", map_index=3)
LOST_4 = SegmentError("gone", map_index=4)


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
        ([SEGFAULT], Verdict.RETRY),
        ([SEGFAULT, POISON], Verdict.RETRY),
        ([SEGFAULT, POISON, POISON], Verdict.FAIL),
        ([SEGFAULT, SEGFAULT], Verdict.FAIL),
        ([SLOW], Verdict.RETRY),
        ([SLOW, SLOW_THERE], Verdict.FAIL),
        ([SLOW, HERE, LOST, SLOW_THERE], Verdict.FAIL),
        ([LARGE], Verdict.ALONE),
        ([LOST, LARGE], Verdict.ALONE),
        ([LARGE, LOST], Verdict.RETRY),
        ([LARGE, LARGE], Verdict.FAIL),
        ([LOST_3, LOST_4, LOST_3, LOST_4, LOST_3, LOST_4], Verdict.RETRY),
        ([LOST_3, LOST_4, LOST_3, LOST_3, LOST_3], Verdict.FAIL),
        ([LOST_3, LOST_3, LOST_3, LOST], Verdict.RETRY),
    ],
)
def test_policy(story: list[MapReduceError], verdict: Verdict) -> None:
    assert after_failure([Failure(error) for error in story], max_attempts=4) is verdict


def test_user_code_that_fails_in_new_places_ends_with_the_budget() -> None:
    story = [Failure(UserFunctionError("boom", place=f"f.py:{line}")) for line in range(4)]
    assert [after_failure(story[: n + 1], 4) for n in range(4)] == [Verdict.RETRY] * 3 + [Verdict.FAIL]


@pytest.mark.parametrize(
    ("story", "careful"),
    [([], False), ([HERE, LOST], False), ([SEGFAULT], True), ([SLOW, HERE], True), ([LARGE], True)],
)
def test_attempts_are_careful_after_one_that_had_to_end(story: list[MapReduceError], careful: bool) -> None:
    assert must_be_careful([Failure(error) for error in story]) is careful


def attempt(index: int, number: int = 1) -> Attempt:
    return Attempt(TaskId(Kind.MAP, index), number, index)


@pytest.mark.parametrize(
    ("running", "ended", "left", "slow"),
    [
        ({0: 100.0}, [], 1, []),  # nothing to compare with
        ({0: 100.0}, [1.0, 1.0], 1, []),  # too few
        ({0: 100.0}, [1.0, 1.0, 1.0], 1, [0]),
        ({0: 100.0}, [1.0, 1.0, 1.0], 4, []),  # the phase is not half done
        ({0: 1.9}, [0.1] * 9, 1, []),  # quick anyway
        ({0: 2.1}, [0.1] * 9, 1, [0]),
        ({0: 29.0}, [10.0] * 9, 1, []),  # not three times the median
        ({0: 31.0}, [10.0] * 9, 1, [0]),
        ({0: 31.0}, [1.0, 1.0, 1.0, 100.0, 100.0], 1, [0]),  # the median, not the mean
        ({0: 31.0, 1: 45.0, 2: 5.0}, [10.0] * 9, 3, [1, 0]),  # the longest first
    ],
)
def test_stragglers(running: dict[int, float], ended: list[float], left: int, slow: list[int]) -> None:
    found = stragglers({attempt(index): seconds for index, seconds in running.items()}, ended, left)
    assert found == [attempt(index) for index in slow]


class Driver:
    """Drives a brain, and checks its invariants after every event."""

    def __init__(self, maps: int, reduces: int, limits: Limits | None = None, hosts: int = 0) -> None:
        self.brain = Brain(maps, reduces, limits or Limits())
        self.now = 0.0
        self._hosts = hosts
        self.commands: list[Command] = list(self.brain.begin())

    def tell(self, event: object) -> list[Command]:
        commands = self.brain.handle(event, self.now)  # type: ignore[arg-type]
        self.brain.check()
        self.commands += commands
        return commands

    def worker(self, number: int) -> list[Command]:
        return self.tell(WorkerReady(number, f"host {number % self._hosts}" if self._hosts else ""))

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
    assert Brain(0, 0, Limits()).begin() == [Finish()]


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


def test_an_attempt_that_did_not_begin_is_no_failure() -> None:
    driver = Driver(1, 0, Limits(max_attempts=1))
    for number in range(5):
        start = only_start(driver.worker(number))
        driver.tell(WorkerGone(start.attempt.worker, HostLost("gone"), begun=False))
    assert driver.brain.retries() == 0
    assert driver.done(only_start(driver.worker(9)))[-1] == Finish()


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
    assert driver.tell(Failed(broken.attempt, lost)) == [Drop(mapped.attempt.task, result("first"))]
    redone = only_start(driver.worker(0))
    assert redone.attempt.task == TaskId(Kind.MAP, 0)
    return driver, driver.done(redone, digest)


def test_a_map_that_is_redone_with_equal_data_invalidates_nothing() -> None:
    driver, commands = lose_map("first")
    assert not [command for command in commands if isinstance(command, Drop)]
    last = only_start(commands)
    assert last.attempt.task == TaskId(Kind.REDUCE, 1)
    assert Finish() in driver.done(last)


def test_a_map_that_is_redone_with_other_data_drops_what_was_reduced_from_it() -> None:
    driver, commands = lose_map("second")
    assert [c.task for c in commands if isinstance(c, Drop)] == [TaskId(Kind.REDUCE, 0)]
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


def stops(commands: list[Command]) -> list[Stop]:
    return [command for command in commands if isinstance(command, Stop)]


def test_an_attempt_that_runs_too_long_is_stopped_and_tried_once_more() -> None:
    driver = Driver(1, 0, Limits(timeout=5.0))
    start = only_start(driver.worker(0))
    driver.now = 5.0
    assert driver.tell(Tick({})) == []
    driver.now = 5.1
    (stop,) = stops(driver.tell(Tick({})))
    assert stop.attempt == start.attempt
    assert isinstance(stop.error, AttemptTimeout)
    driver.tell(Failed(start.attempt, stop.error))
    again = only_start(driver.worker(1))
    assert again.careful
    driver.now = 10.2
    (stop,) = stops(driver.tell(Tick({})))
    assert isinstance(stop.error, AttemptTimeout)
    assert driver.tell(Failed(again.attempt, stop.error)) == [GiveUp(stop.error)]


def test_the_time_before_an_attempt_was_handed_over_does_not_count() -> None:
    driver = Driver(1, 0, Limits(timeout=5.0))
    start = only_start(driver.worker(0))
    driver.now = 8.0
    driver.brain.began(start.attempt, driver.now)
    assert driver.tell(Tick({})) == [], "the log took its time"
    driver.now = 13.1
    assert len(stops(driver.tell(Tick({})))) == 1


def test_a_straggler_gets_a_second_attempt_and_the_slower_one_is_stopped() -> None:
    driver = Driver(5, 0)
    slow = only_start(driver.worker(0))
    start = only_start(driver.worker(1))
    for _ in range(3):
        driver.now += 0.5
        start = only_start(driver.done(start))
    driver.now += 0.5
    assert driver.done(start) == [Accept(start.attempt, result())], "nothing waits, and 2 s are not long"
    driver.now += 1.0
    backup = only_start(driver.tell(Tick({})))
    assert backup.attempt == Attempt(slow.attempt.task, 2, 1)
    assert driver.tell(Tick({})) == [], "one is enough"
    driver.now += 1.0
    commands = driver.tell(Succeeded(backup.attempt, result()))
    assert commands == [Accept(backup.attempt, result()), Stop(slow.attempt), Finish()]
    late = driver.tell(Succeeded(slow.attempt, result("other")))
    assert late == [Discard(slow.attempt, result("other"))]
    assert driver.tell(WorkerGone(0, LOST)) == []


def test_a_straggler_that_is_first_after_all_wins() -> None:
    driver = Driver(4, 0)
    slow = only_start(driver.worker(0))
    start = only_start(driver.worker(1))
    for _ in range(2):
        start = only_start(driver.done(start))
    driver.done(start)
    driver.now = 3.0
    backup = only_start(driver.tell(Tick({})))
    commands = driver.tell(Succeeded(slow.attempt, result()))
    assert stops(commands) == [Stop(backup.attempt)]
    assert Finish() in commands


def test_one_of_two_attempts_that_fails_leaves_the_other_alone() -> None:
    driver = Driver(4, 0)
    slow = only_start(driver.worker(0))
    start = only_start(driver.worker(1))
    for _ in range(2):
        start = only_start(driver.done(start))
    driver.done(start)
    driver.now = 3.0
    backup = only_start(driver.tell(Tick({})))
    assert driver.tell(WorkerGone(0, LOST)) == []
    assert driver.brain.state(slow.attempt.task) is State.RUNNING
    assert Finish() in driver.tell(Succeeded(backup.attempt, result()))


def test_without_backups_a_straggler_is_waited_for() -> None:
    driver = Driver(4, 0, Limits(backups=False))
    driver.worker(0)
    start = only_start(driver.worker(1))
    for _ in range(2):
        start = only_start(driver.done(start))
    driver.done(start)
    driver.now = 1000.0
    assert driver.tell(Tick({})) == []


def test_an_attempt_that_takes_too_much_memory_is_tried_once_more_with_nothing_beside_it() -> None:
    driver = Driver(3, 0, Limits(memory=100, memory_alone=200))
    large = only_start(driver.worker(0))
    other = only_start(driver.worker(1))
    assert driver.tell(Tick({0: 100, 1: 100})) == []
    (stop,) = stops(driver.tell(Tick({0: 101, 1: 5})))
    assert stop.attempt == large.attempt
    assert stop.error is not None
    driver.tell(Failed(large.attempt, stop.error))
    third = only_start(driver.worker(2))
    assert third.attempt.task == TaskId(Kind.MAP, 2), "what can run beside others goes first"
    assert driver.done(other) == [Accept(other.attempt, result())], "one still runs"
    alone = only_start(driver.done(third))
    assert alone.attempt.task == large.attempt.task
    assert driver.worker(7) == []
    assert driver.tell(Tick({alone.attempt.worker: 200})) == []
    (stop,) = stops(driver.tell(Tick({alone.attempt.worker: 201})))
    assert stop.error is not None
    assert "with nothing beside it" in stop.error.message
    assert driver.tell(Failed(alone.attempt, stop.error)) == [GiveUp(stop.error)]


def restored(maps: int, reduces: int, *accepted: tuple[Kind, int, Result], code: str = "") -> Driver:
    driver = Driver(0, 0)
    driver.brain = Brain(maps, reduces, Limits(), code)
    driver.brain.restore([(TaskId(kind, index), given) for kind, index, given in accepted])
    driver.brain.check()
    driver.commands = list(driver.brain.begin())
    return driver


def reduced(code: str = "") -> Result:
    return result(inputs=inputs_digest([result(), result()], code))


def test_what_was_accepted_before_is_not_run_again() -> None:
    driver = restored(2, 1, (Kind.MAP, 0, result()))
    start = only_start(driver.worker(0))
    assert start.attempt.task == TaskId(Kind.MAP, 1)
    last = only_start(driver.done(start))
    assert Finish() in driver.done(last)


def test_a_run_of_which_all_was_accepted_finishes_at_once() -> None:
    maps = [(Kind.MAP, index, result()) for index in range(2)]
    assert restored(2, 1, *maps, (Kind.REDUCE, 0, reduced())).commands == [Finish()]


def test_reduces_of_other_maps_or_other_code_run_again() -> None:
    maps = [(Kind.MAP, 0, result()), (Kind.MAP, 1, result("other"))]
    assert only_start(restored(2, 1, *maps, (Kind.REDUCE, 0, reduced())).worker(0))
    maps = [(Kind.MAP, index, result()) for index in range(2)]
    driver = restored(2, 1, *maps, (Kind.REDUCE, 0, reduced("old")), code="new")
    start = only_start(driver.worker(0))
    assert start.attempt.task == TaskId(Kind.REDUCE, 0)
    assert start.inputs == reduced("new").inputs


def test_a_run_that_stops_starts_nothing_and_accepts_what_ends() -> None:
    driver = Driver(3, 1)
    start = only_start(driver.worker(0))
    driver.brain.stop()
    assert driver.worker(1) == []
    assert not driver.brain.is_idle()
    assert driver.tell(Succeeded(start.attempt, result())) == [Accept(start.attempt, result())]
    assert driver.brain.is_idle()


@pytest.mark.parametrize("seed", range(200))
def test_any_order_of_faults_ends_with_one_result_a_task(seed: int) -> None:
    rng = random.Random(seed)
    maps, reduces = rng.randrange(6), rng.randrange(5)
    driver = Driver(maps, reduces, Limits(max_attempts=10**9), hosts=rng.choice([0, 0, 1, 2, 3]))
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
        driver.now += rng.random() * 3
        driver.tell(Tick({worker: rng.randrange(110) for worker in range(fresh)}))
        for stop in [c for c in driver.commands[seen:] if isinstance(c, Stop)]:
            if stop.error:
                driver.tell(Failed(stop.attempt, stop.error))
            running = [other for other in running if other.attempt != stop.attempt]
            driver.worker(fresh)
            fresh += 1
        collect()
        if not running:
            continue
        start = running.pop(rng.randrange(len(running)))
        what = rng.random()
        if what < 0.15:
            driver.tell(WorkerGone(start.attempt.worker, LOST))
            driver.worker(fresh)
            fresh += 1
        elif what < 0.3:
            driver.tell(Failed(start.attempt, UserFunctionError("x", place=str(rng.random()))))
            driver.worker(start.attempt.worker)
        elif what < 0.35:
            driver.tell(Failed(start.attempt, DISK))
            driver.worker(start.attempt.worker)
        elif what < 0.45 and start.attempt.task.kind is Kind.REDUCE and maps:
            driver.tell(Failed(start.attempt, SegmentError("gone", map_index=rng.randrange(maps))))
            driver.worker(start.attempt.worker)
        else:
            driver.done(start, digest=rng.choice(["same", "other"]))
    assert Finish() in driver.commands, f"seed {seed} does not end"
    final = driver.brain.results(Kind.REDUCE if reduces else Kind.MAP)
    assert all(final)
    assert len({r.inputs for r in final if r}) <= 1, "reduces of different maps were combined"


def test_a_backup_of_an_attempt_that_takes_too_much_memory_is_no_second_proof() -> None:
    driver = Driver(5, 0, Limits(memory=100, memory_alone=200))
    large, beside = only_start(driver.worker(0)), only_start(driver.worker(1))
    for _ in range(3):
        beside = only_start(driver.done(beside))
    driver.now = 10.0
    (backup,) = starts(driver.tell(Tick({0: 5, 1: 5})) + driver.worker(2))
    assert backup.attempt.task == large.attempt.task
    driver.tell(Failed(large.attempt, MemoryExceeded("large", place="memory")))
    assert driver.commands[-1] == Stop(backup.attempt)
    alone = only_start(driver.done(beside))
    assert alone.attempt.task == large.attempt.task
    assert driver.worker(4) == []


def test_a_task_that_is_done_leaves_only_its_result() -> None:
    tasks, given = 20_000, result()
    tracemalloc.start()
    try:
        brain = Brain(tasks, 0, Limits())
        commands = brain.handle(WorkerReady(0), 0.0)
        for _ in range(tasks):
            start = only_start(commands)
            brain.handle(Succeeded(start.attempt, given), 0.0)
            commands = brain.handle(WorkerReady(0), 0.0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert brain.done(Kind.MAP) == tasks
    assert held / tasks < 160, "bytes a task"


def test_a_restored_result_that_is_dropped_waits_once() -> None:
    driver = restored(1, 3, (Kind.MAP, 0, result()), (Kind.REDUCE, 1, reduced("old")), code="new")
    driver.brain.check()
    tasks = [only_start(driver.worker(0)).attempt.task.index]
    tasks += [only_start(driver.worker(number)).attempt.task.index for number in (1, 2)]
    assert sorted(tasks) == [0, 1, 2]
    assert driver.worker(3) == []


# ---------------------------------------------------------------- several hosts


def failing_on(driver: Driver, start: Start, error: MapReduceError) -> list[Command]:
    """The attempt fails, and its worker is ready again where it was."""
    commands = driver.tell(Failed(start.attempt, error))
    host = "a" if start.attempt.worker < 10 else "b"
    return commands + driver.tell(WorkerReady(start.attempt.worker, host))


def test_what_failed_on_a_host_goes_to_another_one() -> None:
    driver = Driver(3, 0)
    first = only_start(driver.tell(WorkerReady(1, "a")))
    assert not starts(driver.tell(Failed(first.attempt, StorageError("full"))))
    second = only_start(driver.tell(WorkerReady(1, "a")))
    assert second.attempt.task.index == 0, "there is no other host yet"
    driver.tell(WorkerReady(11, "b"))
    next_on_a = only_start(failing_on(driver, second, StorageError("full")))
    assert next_on_a.attempt.task.index == 2, "it waits for the other host"
    commands = driver.tell(Succeeded(Attempt(TaskId(Kind.MAP, 1), 1, 11), result()))
    commands += driver.tell(WorkerReady(11, "b"))
    assert only_start(commands).attempt == Attempt(TaskId(Kind.MAP, 0), 3, 11)
    driver.brain.check()


def test_who_waits_for_another_host_does_not_wait_for_one_that_is_gone() -> None:
    driver = Driver(2, 0)
    first = only_start(driver.tell(WorkerReady(1, "a")))
    driver.tell(WorkerReady(11, "b"))
    assert not starts(failing_on(driver, first, StorageError("full")))
    commands = driver.tell(WorkerGone(11, HostLost("gone")))
    assert [start.attempt.worker for start in starts(commands)] == [1]
    driver.brain.check()


@pytest.mark.parametrize(
    ("error", "is_tried_elsewhere"),
    [
        (StorageError("full"), True),
        (InputMissing("no mount"), True),
        (InputDenied("not ours"), True),
        (InputChanged("an old mount"), True),
        (InputError("no package for it"), True),
        (HostLost("gone"), True),
        (DecodeError("no text"), False),
        (RecordTooLarge("long"), False),
        (KeyTypeError("a list"), False),
        (SegmentError("gone", map_index=0), False),
    ],
)
def test_what_may_be_the_fault_of_hosts_is_tried_on_each(
    error: MapReduceError, is_tried_elsewhere: bool
) -> None:
    failures = [Failure(error)] * 9
    assert (after_failure(failures, 4, elsewhere=True) is Verdict.RETRY) is is_tried_elsewhere
    assert after_failure(failures, 4) is Verdict.FAIL


def test_the_job_fails_only_when_no_host_is_left() -> None:
    driver = Driver(1, 0)
    commands = driver.tell(WorkerReady(1, "a"))
    for host in range(1, 7):
        driver.tell(WorkerReady(10 * host, f"host {host}"))
    tried = 0
    while starts(commands):
        commands = driver.tell(Failed(only_start(commands).attempt, InputMissing("no mount")))
        tried += 1
    assert tried == 7
    assert isinstance(commands[-1], GiveUp)


def test_a_backup_runs_on_another_host() -> None:
    driver = Driver(9, 0)
    workers = [(1, "a"), (2, "a"), (11, "b")]
    for worker, host in workers:
        driver.tell(WorkerReady(worker, host))
    slow, *others = [start.attempt for start in starts(driver.commands)]
    for _ in range(7):
        attempt = others.pop(0)
        driver.now += 0.1
        driver.tell(Succeeded(attempt, result()))
        commands = driver.tell(WorkerReady(attempt.worker, dict(workers)[attempt.worker]))
        others += [start.attempt for start in starts(commands)]
    driver.now += 100
    driver.tell(Succeeded(others.pop(0), result()))
    backup = only_start(driver.tell(WorkerReady(11, "b")))
    assert (backup.attempt.task, backup.attempt.worker) == (slow.task, 11)


def test_a_host_whose_worker_was_ended_is_not_waited_for() -> None:
    driver = Driver(2, 0, Limits(timeout=5))
    first = only_start(driver.tell(WorkerReady(1, "a")))
    driver.tell(WorkerReady(11, "b"))
    driver.now = 3
    again = failing_on(driver, first, DISK)
    assert not starts(again), "it waits for the other host"
    driver.now = 6
    commands = driver.tell(Tick({}))
    assert [stop.attempt.worker for stop in stops(commands)] == [11]
    assert [start.attempt.worker for start in starts(commands)] == [1]

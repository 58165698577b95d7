"""The brain: events in, commands out. No clock, no disk, no network, no randomness.

A task goes PENDING → RUNNING → DONE. A failed or lost attempt takes it back to PENDING, or to
FAILED when the policy gives up; a DONE map whose data got lost goes back to PENDING too. A task may
have a second attempt beside the first; one is accepted, the other stopped. Once a task has failed,
all are done, or the run is to stop, nothing more is started.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from mapreduce.coordinator.commands import Accept, Command, Discard, Drop, Finish, GiveUp, Start, Stop
from mapreduce.coordinator.policy import (
    Failure,
    Verdict,
    after_failure,
    must_be_careful,
    stragglers,
    suspected,
    too_large,
)
from mapreduce.errors import AttemptTimeout, InternalError, MapReduceError, SegmentError
from mapreduce.events import Event, Failed, Succeeded, Tick, WorkerGone, WorkerReady
from mapreduce.model import Attempt, Kind, Result, TaskId, Work
from mapreduce.packed import PackedList
from mapreduce.quarantine import Quarantine, too_many


class State(IntEnum):
    """Of a task. A higher number is further."""

    PENDING = 0
    RUNNING = 1
    DONE = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What attempts may take."""

    max_attempts: int = 4
    timeout: float | None = None
    """Seconds an attempt may run."""
    memory: int | None = None
    """Bytes a worker may hold."""
    memory_alone: int | None = None
    """Bytes a worker may hold when nothing runs beside it."""
    backups: bool = True
    """Stragglers get a second attempt."""
    quarantine: Quarantine | None = None
    """How many bad records are set aside before the job fails; None: none is."""


@dataclass(slots=True)
class _Task:
    """What is known of a task while it runs, and of one that has had trouble."""

    id: TaskId
    state: State = State.PENDING
    attempts: int = 0
    running: int = 0
    failures: list[Failure] = field(default_factory=list)
    skip: dict[int, MapReduceError] = field(default_factory=dict)
    """Errors of records that are left out, by number within the split."""
    forgiven: int = 0
    """So many of the first failures were of records that are left out now."""
    avoid: set[str] = field(default_factory=set)
    """Hosts on which it has failed: it goes to another one, if there is one."""
    story: list[str] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """It is done, by its first attempt, and nothing else has happened to it."""
        return self.state is State.DONE and self.attempts == 1 and not self.failures


class _Stage:
    """The tasks of one kind. There may be a million, so of most of them there is only the result."""

    def __init__(self, kind: Kind, tasks: int) -> None:
        self.kind = kind
        self.results: PackedList[Result | None] = PackedList(Result, [None] * tasks)
        self.left = tasks
        self.retries = 0
        """Attempts that failed or were lost so far."""
        self.took = array("d")
        """Seconds of the accepted attempts."""
        self._known: dict[int, _Task] = {}
        self._next = 0
        """No task from here on was ever given out, but for those that were restored."""
        self._again: deque[int] = deque()
        """Tasks before `_next` that wait."""

    def __len__(self) -> int:
        return len(self.results)

    def task(self, index: int) -> _Task:
        """A task, whose changes are kept until it is forgotten."""
        return self._known.get(index) or self._known.setdefault(index, self._unknown(index))

    def peek(self, index: int) -> _Task:
        """A task, to look at."""
        return self._known.get(index) or self._unknown(index)

    def _unknown(self, index: int) -> _Task:
        if self.results.is_none(index):
            return _Task(TaskId(self.kind, index))
        return _Task(TaskId(self.kind, index), State.DONE, attempts=1, story=["accepted"])

    def forget(self, task: _Task) -> None:
        """Keep nothing but the result of a task that had no trouble."""
        if task.is_plain:
            self._known.pop(task.id.index, None)

    def waits(self) -> bool:
        """Whether a task can be given out."""
        while not self._again and self._next < len(self.results):
            if self.results.is_none(self._next):
                return True
            self._next += 1
        return bool(self._again)

    def take(self) -> _Task:
        """The task to be given out next; `waits` has said that there is one."""
        if self._again:
            return self.task(self._again.popleft())
        self._next += 1
        return self.task(self._next - 1)

    def give_back(self, task: _Task) -> None:
        """A task waits again, before those that have never been given out."""
        if task.id.index < self._next:
            self._again.appendleft(task.id.index)

    @property
    def most_waiting(self) -> int:
        """Tasks that can be given out, or some more where a run goes on."""
        return len(self._again) + len(self.results) - self._next if self.waits() else 0

    def waiting(self, index: int) -> int:
        """How often a task waits."""
        fresh = index >= self._next and self.results.is_none(index)
        return self._again.count(index) + fresh


class Brain:
    """Decides for one run with `maps` map and `reduces` reduce tasks (0: the maps are the last stage).

    reduce_code: hash of the reduce function. Results of reduces with other code are not valid.
    """

    def __init__(self, maps: int, reduces: int, limits: Limits, reduce_code: str = "") -> None:
        self._limits = limits
        self._reduce_code = reduce_code
        self._maps, self._reduces = _Stage(Kind.MAP, maps), _Stage(Kind.REDUCE, reduces)
        self._alone: set[TaskId] = set()
        """Tasks beside which nothing may run."""
        self._waiting_alone: deque[TaskId] = deque()
        self._idle: deque[int] = deque()
        self._host_of: dict[int, str] = {}
        """Of workers that are on one of several hosts."""
        self._hosts: Counter[str] = Counter()
        """How many workers each of these has."""
        self._running: dict[int, Attempt] = {}
        self._since: dict[Attempt, float] = {}
        self._stopped: set[Attempt] = set()
        self._inputs = ""
        self._records = self._bad = 0
        self._now = 0.0
        self._ended = False

    def restore(self, accepted: Iterable[tuple[TaskId, Result]]) -> list[Command]:
        """Take over results that were accepted before this run went on; before `begin`.

        Gives what follows: those of other maps are dropped.
        """
        for task, result in accepted:
            stage = self._of(task.kind)
            if stage.results.is_none(task.index):
                stage.results[task.index] = result
                stage.left -= 1
                self._count_bad(task, result.work, 1)
        return self._maps_done() if self._maps and not self._maps.left else []

    def begin(self) -> list[Command]:
        """The first commands; a run without tasks finishes at once."""
        if error := self._too_many_bad():
            self._ended = True
            return [GiveUp(error)]
        return self._next()

    def began(self, attempt: Attempt, now: float) -> None:
        """A Start was obeyed: an attempt's time counts from here, not from when it was decided on, because
        the log may take its time in between. `now` may be infinite, for one that waits yet.
        """
        if attempt in self._since:
            self._since[attempt] = now

    def stop(self) -> None:
        """Start nothing more. What runs may still be accepted."""
        self._ended = True

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take in one event; `now` is in seconds and never goes back.

        Raises InternalError for an event that can't happen, with the task's story.
        """
        self._now = now
        commands: list[Command] = []
        if isinstance(event, WorkerReady):
            self._idle.append(event.worker)
            if event.host and event.worker not in self._host_of:
                self._host_of[event.worker] = event.host
                self._hosts[event.host] += 1
        elif isinstance(event, WorkerGone):
            commands = self._worker_gone(event)
        elif isinstance(event, Succeeded):
            commands = self._succeeded(event.attempt, event.result)
        elif isinstance(event, Failed):
            commands = self._failed(event.attempt, event.error)
        else:
            commands = self._tick(event)
        return commands + self._next()

    # ------------------------------------------------------------ what is known

    def results(self, kind: Kind) -> Sequence[Result | None]:
        """The accepted results so far, in task order, each made anew when it is read."""
        return self._of(kind).results

    def state(self, task: TaskId) -> State:
        """Of one task."""
        return self._of(task.kind).peek(task.index).state

    def retries(self) -> int:
        """Attempts that failed or were lost so far."""
        return self._maps.retries + self._reduces.retries

    def done(self, kind: Kind) -> int:
        """Number of tasks with an accepted result."""
        return len(self._of(kind)) - self._of(kind).left

    @property
    def waiting(self) -> int:
        """Tasks that a worker could be given now, or some more."""
        if self._ended:
            return 0
        stage = self._maps if self._maps.left else self._reduces
        return stage.most_waiting + len(self._waiting_alone)

    def is_idle(self) -> bool:
        """No attempt runs."""
        return not self._running

    def check(self) -> None:
        """Raise InternalError if an invariant is broken. Tests call it after every event."""
        for stage in (self._maps, self._reduces):
            for index in range(len(stage)):
                self._check(stage, stage.peek(index))
        if set(self._idle) & set(self._running):
            raise InternalError(f"Workers are idle and busy: {set(self._idle) & set(self._running)}")
        alone = [attempt for attempt in self._running.values() if attempt.task in self._alone]
        if alone and len(self._running) > 1:
            raise InternalError(f"{alone[0]} does not run alone: {list(self._running.values())}")

    def _check(self, stage: _Stage, task: _Task) -> None:
        running = sum(attempt.task == task.id for attempt in self._running.values())
        if (task.state is State.DONE) == stage.results.is_none(task.id.index):
            raise self._impossible(task, "a result and DONE go together")
        if running != task.running or (running > 0) != (task.state is State.RUNNING) or running > 2:
            raise self._impossible(task, f"{running} attempts run")
        waiting = stage.waiting(task.id.index) + self._waiting_alone.count(task.id)
        if waiting != (task.state is State.PENDING):
            raise self._impossible(task, f"it waits {waiting} times")

    # ------------------------------------------------------------ transitions

    def _of(self, kind: Kind) -> _Stage:
        return self._maps if kind is Kind.MAP else self._reduces

    def _impossible(self, task: _Task, what: str) -> InternalError:
        story = " → ".join(task.story) or "nothing yet"
        return InternalError(f"{task.id} is {task.state.name}, but {what}. Its story: {story}.")

    def _release(self, attempt: Attempt) -> _Task | None:
        """The task of an attempt that has ended; None if it had been stopped before."""
        if attempt in self._stopped:
            return None
        task = self._of(attempt.task.kind).task(attempt.task.index)
        if self._running.pop(attempt.worker, None) != attempt:
            raise self._impossible(task, f"{attempt} ended, which did not run")
        task.running -= 1
        return task

    def _worker_gone(self, event: WorkerGone) -> list[Command]:
        attempt = self._running.get(event.worker)
        commands: list[Command] = []
        if attempt and event.begun:
            commands = self._failed(attempt, event.error)
        elif attempt and (task := self._release(attempt)):
            self._since.pop(attempt)
            task.story.append(f"attempt {attempt.number} did not begin")
            self._wait(task)
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        self._forget_worker(event.worker)
        return commands

    def _avoid_host(self, task: _Task, attempt: Attempt) -> None:
        if attempt.worker in self._host_of:
            task.avoid.add(self._host_of[attempt.worker])

    def _forget_worker(self, worker: int) -> None:
        host = self._host_of.pop(worker, "")
        if host:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]

    def _succeeded(self, attempt: Attempt, result: Result) -> list[Command]:
        task = self._release(attempt)
        if task is None:
            return [Discard(attempt, result)]
        seconds = max(0.0, self._now - self._since.pop(attempt))
        if attempt.task.kind is Kind.REDUCE and result.inputs != self._inputs:
            task.story.append(f"attempt {attempt.number} read other maps")
            self._wait(task)
            return [Discard(attempt, result)]
        self._of(attempt.task.kind).took.append(seconds)
        commands: list[Command] = [Accept(attempt, result), *self._stop_others(task)]
        self._done(task, result, f"attempt {attempt.number} accepted")
        if error := self._too_many_bad():
            self._ended = True
            return [*commands, GiveUp(error)]
        if attempt.task.kind is Kind.MAP and not self._maps.left:
            commands += self._maps_done()
        return commands

    def _done(self, task: _Task, result: Result, how: str) -> None:
        stage = self._of(task.id.kind)
        task.state = State.DONE
        task.story.append(how)
        stage.results[task.id.index] = result
        stage.left -= 1
        stage.forget(task)
        self._count_bad(task.id, result.work, 1)

    def _count_bad(self, task: TaskId, work: Work, sign: int) -> None:
        if task.kind is Kind.MAP:
            self._records += sign * work.records
            self._bad += sign * work.set_aside

    def _too_many_bad(self) -> MapReduceError | None:
        """The error of a job that has set aside more records than it may."""
        quarantine = self._limits.quarantine
        records = None if self._maps.left else self._records
        why = quarantine.exceeded(self._bad, records) if quarantine and self._bad else ""
        return too_many(self._bad, why) if why else None

    def _stop_others(self, task: _Task) -> list[Command]:
        if not task.running:
            return []
        others = [attempt for attempt in self._running.values() if attempt.task == task.id]
        for attempt in others:
            del self._running[attempt.worker]
            del self._since[attempt]
            self._stopped.add(attempt)
            self._forget_worker(attempt.worker)
            task.running -= 1
            task.story.append(f"attempt {attempt.number} stopped")
        return [Stop(attempt) for attempt in others]

    def _maps_done(self) -> list[Command]:
        """All maps are accepted: reduces that were made from other map results are not valid."""
        self._inputs = inputs_digest((result for result in self._maps.results if result), self._reduce_code)
        return [
            self._drop(self._reduces.task(index), result, "dropped: the maps have changed")
            for index, result in enumerate(self._reduces.results)
            if result and result.inputs != self._inputs
        ]

    def _drop(self, task: _Task, result: Result, why: str) -> Command:
        """What was accepted of a task is worth nothing any more."""
        stage = self._of(task.id.kind)
        stage.results[task.id.index] = None
        stage.left += 1
        self._count_bad(task.id, result.work, -1)
        task.story.append(why)
        self._wait(task)
        return Drop(task.id, result)

    def _failed(self, attempt: Attempt, error: MapReduceError) -> list[Command]:
        task = self._release(attempt)
        if task is None:
            return []
        self._since.pop(attempt)
        task.failures.append(Failure(error))
        self._avoid_host(task, attempt)
        self._of(task.id.kind).retries += 1
        task.story.append(f"attempt {attempt.number}: {type(error).__name__}")
        commands = self._redo_map(error)
        if self._ended:
            self._wait(task)
            return commands
        verdict = after_failure(
            task.failures[task.forgiven :],
            self._limits.max_attempts,
            may_skip=self._limits.quarantine is not None and attempt.task.kind is Kind.MAP,
            elsewhere=bool(self._hosts.keys() - task.avoid),
        )
        if verdict is Verdict.SKIP and error.records is not None:
            task.skip[error.records.start] = error
            task.forgiven = len(task.failures)
            task.story.append(f"record {error.records.start} is left out")
        # One beside it takes as much: it would not be alone, and its failure would prove nothing.
        if verdict in (Verdict.ALONE, Verdict.FAIL):
            commands += self._stop_others(task)
        if verdict is Verdict.FAIL:
            task.state = State.FAILED
            self._ended = True
            return [*commands, GiveUp(error)]
        if verdict is Verdict.ALONE:
            self._alone.add(task.id)
        self._wait(task)
        return commands

    def _redo_map(self, error: MapReduceError) -> list[Command]:
        """Make the map again whose data got lost, if that is the error."""
        if not isinstance(error, SegmentError) or not 0 <= error.map_index < len(self._maps):
            return []
        result = self._maps.results[error.map_index]
        if result is None:
            return []
        return [self._drop(self._maps.task(error.map_index), result, "its data got lost")]

    def _wait(self, task: _Task) -> None:
        """Back among those that wait, unless another attempt of it runs."""
        if task.running:
            return
        task.state = State.PENDING
        if task.id in self._alone:
            self._waiting_alone.append(task.id)
        else:
            self._of(task.id.kind).give_back(task)

    # ------------------------------------------------------------ time and memory

    def _tick(self, event: Tick) -> list[Command]:
        commands: list[Command] = []
        for worker, attempt in list(self._running.items()):
            held, alone = event.memory.get(worker, 0), attempt.task in self._alone
            error = self._overdue(attempt) or too_large(
                attempt, held, self._allowed(attempt.task), alone=alone
            )
            if error:
                self._avoid_host(self._of(attempt.task.kind).task(attempt.task.index), attempt)
                self._forget_worker(worker)
                commands.append(Stop(attempt, error))
        return commands

    def _overdue(self, attempt: Attempt) -> MapReduceError | None:
        timeout = self._limits.timeout
        if timeout is None or self._now - self._since[attempt] <= timeout:
            return None
        return AttemptTimeout(
            f"{attempt} ran for more than {timeout:g} s, the job's timeout.",
            hint="If the function hangs (its stack tells where), mend it; if it needs longer, raise timeout.",
            place="timeout",
        )

    def _allowed(self, task: TaskId) -> int | None:
        """Bytes that a worker may hold for it."""
        return self._limits.memory_alone if task in self._alone else self._limits.memory

    # ------------------------------------------------------------ dispatch

    def _next(self) -> list[Command]:
        if self._ended:
            return []
        stage = self._maps if self._maps.left else self._reduces
        if not stage.left:
            self._ended = True
            return [Finish()]
        if not self._idle or (self._alone and any(a.task in self._alone for a in self._running.values())):
            return []
        commands: list[Command] = []
        held: list[_Task] = []
        while self._idle and stage.waits():
            task = stage.take()
            if (worker := self._worker_not_on(task.avoid)) is None:
                held.append(task)
            else:
                commands.append(self._start(task, worker))
        for task in reversed(held):
            stage.give_back(task)
        if self._idle and not self._running and self._waiting_alone:
            task = self._task_alone(stage)
            worker = self._worker_not_on(task.avoid)
            return [self._start(task, self._idle.popleft() if worker is None else worker)]
        return commands + self._backups(stage)

    def _worker_not_on(self, hosts: set[str]) -> int | None:
        """Take an idle worker: not on these hosts while there are others. None: those are busy."""
        if not hosts or not self._hosts.keys() - hosts:
            return self._idle.popleft()
        for worker in self._idle:
            if self._host_of.get(worker) not in hosts:
                self._idle.remove(worker)
                return worker
        return None

    def _task_alone(self, stage: _Stage) -> _Task:
        found = next(task for task in self._waiting_alone if task.kind is stage.kind)
        self._waiting_alone.remove(found)
        return stage.task(found.index)

    def _backups(self, stage: _Stage) -> list[Command]:
        if not (self._idle and self._limits.backups):
            return []
        single = {
            attempt: self._now - self._since[attempt]
            for attempt in self._running.values()
            if attempt.task.kind is stage.kind and stage.peek(attempt.task.index).running == 1
        }
        commands: list[Command] = []
        for attempt in stragglers(single, stage.took, stage.left)[: len(self._idle)]:
            task = stage.task(attempt.task.index)
            slow = {self._host_of[attempt.worker]} if attempt.worker in self._host_of else set()
            worker = self._worker_not_on(task.avoid | slow)
            if worker is not None:
                commands.append(self._start(task, worker))
        return commands

    def _start(self, task: _Task, worker: int) -> Command:
        task.attempts += 1
        task.running += 1
        task.state = State.RUNNING
        attempt = Attempt(task.id, task.attempts, worker)
        task.story.append(f"attempt {attempt.number} on worker {attempt.worker}")
        self._running[attempt.worker] = attempt
        self._since[attempt] = self._now
        inputs = self._inputs if task.id.kind is Kind.REDUCE else ""
        careful = must_be_careful(task.failures)
        suspects = suspected(task.failures) if careful else None
        return Start(attempt, inputs, careful, self._allowed(task.id), dict(task.skip), suspects)


def inputs_digest(results: Iterable[Result], reduce_code: str = "") -> str:
    """Of all map results' contents, in map order, and of what they are reduced with."""
    state = hashlib.sha256(reduce_code.encode())
    for result in results:
        state.update(b"\n" + result.digest.encode())
    return state.hexdigest()

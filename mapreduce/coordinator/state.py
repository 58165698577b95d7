"""The brain: events in, commands out. No clock, no disk, no network, no randomness.

A task goes PENDING → RUNNING → DONE. A failed or lost attempt takes it back to PENDING, or to
FAILED when the policy gives up; a DONE map whose data got lost goes back to PENDING too. A task may
have a second attempt beside the first; one is accepted, the other stopped. Once a task has failed,
all are done, or the run is to stop, nothing more is started.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from mapreduce.coordinator.commands import Accept, Command, Discard, Finish, GiveUp, Start, Stop
from mapreduce.coordinator.policy import (
    Failure,
    Verdict,
    after_failure,
    must_be_careful,
    stragglers,
    suspected,
)
from mapreduce.errors import AttemptTimeout, InternalError, MapReduceError, MemoryExceeded, SegmentError
from mapreduce.events import Event, Failed, Succeeded, Tick, WorkerGone, WorkerReady
from mapreduce.model import Attempt, Kind, Result, TaskId, Work
from mapreduce.quarantine import Quarantine, too_many
from mapreduce.units import show_size


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
    id: TaskId
    state: State = State.PENDING
    attempts: int = 0
    running: int = 0
    failures: list[Failure] = field(default_factory=list)
    result: Result | None = None
    alone: bool = False
    skip: dict[int, MapReduceError] = field(default_factory=dict)
    """Errors of records that are left out, by number within the split."""
    forgiven: int = 0
    """So many of the first failures were of records that are left out now."""
    story: list[str] = field(default_factory=list)


class Brain:
    """Decides for one run with `maps` map and `reduces` reduce tasks (0: the maps are the last stage).

    reduce_code: hash of the reduce function. Results of reduces with other code are not valid.
    """

    def __init__(self, maps: int, reduces: int, limits: Limits, reduce_code: str = "") -> None:
        self._limits = limits
        self._reduce_code = reduce_code
        self._maps = [_Task(TaskId(Kind.MAP, index)) for index in range(maps)]
        self._reduces = [_Task(TaskId(Kind.REDUCE, index)) for index in range(reduces)]
        self._pending = {Kind.MAP: deque(range(maps)), Kind.REDUCE: deque(range(reduces))}
        self._left = {Kind.MAP: maps, Kind.REDUCE: reduces}
        self._alone: deque[TaskId] = deque()
        self._idle: deque[int] = deque()
        self._running: dict[int, Attempt] = {}
        self._since: dict[Attempt, float] = {}
        self._stopped: set[Attempt] = set()
        self._took: dict[Kind, list[float]] = {Kind.MAP: [], Kind.REDUCE: []}
        self._inputs = ""
        self._records = self._bad = 0
        self._now = 0.0
        self._ended = False

    def restore(self, accepted: Iterable[tuple[TaskId, Result]]) -> None:
        """Take over results that were accepted before this run went on; before `begin`."""
        for task_id, result in accepted:
            task = self._of(task_id.kind)[task_id.index]
            if task.state is State.PENDING:
                self._pending[task_id.kind].remove(task_id.index)
                self._done(task, result, "accepted before the run went on")
        if self._maps and not self._left[Kind.MAP]:
            self._maps_done()

    def begin(self) -> list[Command]:
        """The first commands; a run without tasks finishes at once."""
        if error := self._too_many_bad():
            self._ended = True
            return [GiveUp(error)]
        return self._next()

    def began(self, attempt: Attempt, now: float) -> None:
        """A Start was obeyed: an attempt's time counts from here, not from when it was decided on, because
        the log may take its time in between.
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

    def results(self, kind: Kind) -> list[Result | None]:
        """The accepted results so far, in task order."""
        return [task.result for task in self._of(kind)]

    def state(self, task: TaskId) -> State:
        """Of one task."""
        return self._of(task.kind)[task.index].state

    def retries(self) -> int:
        """Attempts that failed or were lost so far."""
        return sum(len(task.failures) for task in (*self._maps, *self._reduces))

    def done(self, kind: Kind) -> int:
        """Number of tasks with an accepted result."""
        return len(self._of(kind)) - self._left[kind]

    def is_idle(self) -> bool:
        """No attempt runs."""
        return not self._running

    def check(self) -> None:
        """Raise InternalError if an invariant is broken. Tests call it after every event."""
        for task in (*self._maps, *self._reduces):
            running = sum(attempt.task == task.id for attempt in self._running.values())
            if (task.state is State.DONE) != (task.result is not None):
                raise self._impossible(task, "a result and DONE go together")
            if running != task.running or (running > 0) != (task.state is State.RUNNING) or running > 2:
                raise self._impossible(task, f"{running} attempts run")
            waiting = self._pending[task.id.kind].count(task.id.index) + self._alone.count(task.id)
            if waiting != (task.state is State.PENDING):
                raise self._impossible(task, f"it waits {waiting} times")
        if set(self._idle) & set(self._running):
            raise InternalError(f"Workers are idle and busy: {set(self._idle) & set(self._running)}")
        alone = [a for a in self._running.values() if self._of(a.task.kind)[a.task.index].alone]
        if alone and len(self._running) > 1:
            raise InternalError(f"{alone[0]} does not run alone: {list(self._running.values())}")

    # ------------------------------------------------------------ transitions

    def _of(self, kind: Kind) -> list[_Task]:
        return self._maps if kind is Kind.MAP else self._reduces

    def _impossible(self, task: _Task, what: str) -> InternalError:
        story = " → ".join(task.story) or "nothing yet"
        return InternalError(f"{task.id} is {task.state.name}, but {what}. Its story: {story}.")

    def _release(self, attempt: Attempt) -> _Task | None:
        """The task of an attempt that has ended; None if it had been stopped before."""
        task = self._of(attempt.task.kind)[attempt.task.index]
        if attempt in self._stopped:
            return None
        if self._running.pop(attempt.worker, None) != attempt:
            raise self._impossible(task, f"{attempt} ended, which did not run")
        task.running -= 1
        return task

    def _worker_gone(self, event: WorkerGone) -> list[Command]:
        attempt = self._running.get(event.worker)
        if attempt:
            return self._failed(attempt, event.error)
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        return []

    def _succeeded(self, attempt: Attempt, result: Result) -> list[Command]:
        task = self._release(attempt)
        if task is None:
            return [Discard(attempt, result)]
        seconds = self._now - self._since.pop(attempt)
        if attempt.task.kind is Kind.REDUCE and result.inputs != self._inputs:
            task.story.append(f"attempt {attempt.number} read other maps")
            self._wait(task)
            return [Discard(attempt, result)]
        self._took[attempt.task.kind].append(seconds)
        self._done(task, result, f"attempt {attempt.number} accepted")
        commands: list[Command] = [Accept(attempt, result), *self._stop_others(task)]
        if error := self._too_many_bad():
            self._ended = True
            return [*commands, GiveUp(error)]
        if attempt.task.kind is Kind.MAP and not self._left[Kind.MAP]:
            commands += self._maps_done()
        return commands

    def _done(self, task: _Task, result: Result, how: str) -> None:
        task.state, task.result = State.DONE, result
        task.story.append(how)
        self._left[task.id.kind] -= 1
        self._count_bad(task, result.work, 1)

    def _count_bad(self, task: _Task, work: Work, sign: int) -> None:
        if task.id.kind is Kind.MAP:
            self._records += sign * work.records
            self._bad += sign * work.set_aside

    def _too_many_bad(self) -> MapReduceError | None:
        """The error of a job that has set aside more records than it may."""
        quarantine = self._limits.quarantine
        records = None if self._left[Kind.MAP] else self._records
        why = quarantine.exceeded(self._bad, records) if quarantine and self._bad else ""
        return too_many(self._bad, why) if why else None

    def _stop_others(self, task: _Task) -> list[Command]:
        others = [attempt for attempt in self._running.values() if attempt.task == task.id]
        for attempt in others:
            del self._running[attempt.worker]
            del self._since[attempt]
            self._stopped.add(attempt)
            task.running -= 1
            task.story.append(f"attempt {attempt.number} stopped")
        return [Stop(attempt) for attempt in others]

    def _maps_done(self) -> list[Command]:
        """All maps are accepted: reduces that were made from other map results are not valid."""
        results = [task.result for task in self._maps if task.result]
        self._inputs = inputs_digest(results, self._reduce_code)
        dropped: list[Command] = []
        for task in self._reduces:
            if task.result and task.result.inputs != self._inputs:
                attempt = Attempt(task.id, task.attempts, -1)
                dropped.append(Discard(attempt, task.result))
                task.story.append("dropped: the maps have changed")
                task.result = None
                self._left[Kind.REDUCE] += 1
                self._wait(task)
        return dropped

    def _failed(self, attempt: Attempt, error: MapReduceError) -> list[Command]:
        task = self._release(attempt)
        if task is None:
            return []
        self._since.pop(attempt)
        task.failures.append(Failure(error))
        task.story.append(f"attempt {attempt.number}: {type(error).__name__}")
        if isinstance(error, SegmentError) and 0 <= error.map_index < len(self._maps):
            self._redo_map(self._maps[error.map_index])
        if self._ended:
            self._wait(task)
            return []
        verdict = after_failure(
            task.failures[task.forgiven :],
            self._limits.max_attempts,
            may_skip=self._limits.quarantine is not None and attempt.task.kind is Kind.MAP,
        )
        if verdict is Verdict.SKIP and error.records is not None:
            task.skip[error.records.start] = error
            task.forgiven = len(task.failures)
            task.story.append(f"record {error.records.start} is left out")
        # One beside it takes as much: it would not be alone, and its failure would prove nothing.
        others = self._stop_others(task) if verdict in (Verdict.ALONE, Verdict.FAIL) else []
        if verdict is Verdict.FAIL:
            task.state = State.FAILED
            self._ended = True
            return [*others, GiveUp(error)]
        task.alone = task.alone or verdict is Verdict.ALONE
        self._wait(task)
        return others

    def _redo_map(self, task: _Task) -> None:
        if task.state is State.DONE and task.result:
            task.story.append("its data got lost")
            self._count_bad(task, task.result.work, -1)
            task.result = None
            self._left[Kind.MAP] += 1
            self._wait(task)

    def _wait(self, task: _Task) -> None:
        """Back among those that wait, unless another attempt of it runs."""
        if task.running:
            return
        task.state = State.PENDING
        if task.alone:
            self._alone.append(task.id)
        else:
            self._pending[task.id.kind].appendleft(task.id.index)

    # ------------------------------------------------------------ time and memory

    def _tick(self, event: Tick) -> list[Command]:
        commands: list[Command] = []
        for worker, attempt in list(self._running.items()):
            error = self._overdue(attempt) or self._too_large(attempt, event.memory.get(worker, 0))
            if error:
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

    def _too_large(self, attempt: Attempt, held: int) -> MapReduceError | None:
        alone = self._of(attempt.task.kind)[attempt.task.index].alone
        most = self._limits.memory_alone if alone else self._limits.memory
        if most is None or held <= most:
            return None
        return MemoryExceeded(
            f"{attempt} took {show_size(held)} of memory, where {show_size(most)} are allowed"
            f"{', with nothing beside it' if alone else ''}.",
            hint="Let the function hold less at once, or hand it less (smaller split_size, more shards), or "
            "give it more (Job(memory=…), fewer --workers).",
            place=f"memory:{attempt.task}",
        )

    # ------------------------------------------------------------ dispatch

    def _next(self) -> list[Command]:
        if self._ended:
            return []
        if not any(self._left.values()):
            self._ended = True
            return [Finish()]
        kind = Kind.MAP if self._left[Kind.MAP] else Kind.REDUCE
        if any(self._of(a.task.kind)[a.task.index].alone for a in self._running.values()):
            return []
        commands: list[Command] = []
        while self._idle and self._pending[kind]:
            commands.append(self._start(self._of(kind)[self._pending[kind].popleft()]))
        if self._idle and not self._running and self._alone:
            return [self._start(self._task_alone(kind))]
        return commands + self._backups(kind)

    def _task_alone(self, kind: Kind) -> _Task:
        found = next(task for task in self._alone if task.kind is kind)
        self._alone.remove(found)
        return self._of(found.kind)[found.index]

    def _backups(self, kind: Kind) -> list[Command]:
        if not (self._idle and self._limits.backups):
            return []
        single = {
            attempt: self._now - self._since[attempt]
            for attempt in self._running.values()
            if attempt.task.kind is kind and self._of(kind)[attempt.task.index].running == 1
        }
        slow = stragglers(single, self._took[kind], self._left[kind])
        return [self._start(self._of(kind)[attempt.task.index]) for attempt in slow[: len(self._idle)]]

    def _start(self, task: _Task) -> Command:
        task.attempts += 1
        task.running += 1
        task.state = State.RUNNING
        attempt = Attempt(task.id, task.attempts, self._idle.popleft())
        task.story.append(f"attempt {attempt.number} on worker {attempt.worker}")
        self._running[attempt.worker] = attempt
        self._since[attempt] = self._now
        inputs = self._inputs if task.id.kind is Kind.REDUCE else ""
        careful = must_be_careful(task.failures)
        return Start(attempt, inputs, careful, dict(task.skip), suspected(task.failures) if careful else None)


def inputs_digest(results: Sequence[Result], reduce_code: str = "") -> str:
    """Of all map results' contents, in map order, and of what they are reduced with."""
    return hashlib.sha256(
        "\n".join([reduce_code, *(result.digest for result in results)]).encode()
    ).hexdigest()

"""The brain: events in, commands out. No clock, no disk, no network, no randomness.

A task goes PENDING → RUNNING → DONE. A failed or lost attempt takes it back to PENDING, or to
FAILED when the policy gives up; a DONE map whose data got lost goes back to PENDING too. Once a
task has failed, or all are done, nothing more is started.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from mapreduce.coordinator.policy import Failure, Verdict, after_failure
from mapreduce.errors import InternalError, MapReduceError, SegmentError
from mapreduce.events import Event, Failed, Succeeded, WorkerGone, WorkerReady
from mapreduce.model import Attempt, Kind, Result, TaskId


class State(IntEnum):
    """Of a task. A higher number is further."""

    PENDING = 0
    RUNNING = 1
    DONE = 2
    FAILED = 3


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class Start:
    """Run an attempt on its worker. `inputs` is the digest of the maps that a reduce reads."""

    attempt: Attempt
    inputs: str = ""


@dataclass(frozen=True, slots=True)
class Accept:
    """This attempt's result is the task's only one."""

    attempt: Attempt
    result: Result


@dataclass(frozen=True, slots=True)
class Discard:
    """This result came too late, or was made from map results that are no longer current."""

    attempt: Attempt
    result: Result


@dataclass(frozen=True, slots=True)
class Finish:
    """Every task is done: commit."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed, for this reason."""

    error: MapReduceError


Command = Start | Accept | Discard | Finish | GiveUp


@dataclass(slots=True)
class _Task:
    id: TaskId
    state: State = State.PENDING
    attempts: int = 0
    failures: list[Failure] = field(default_factory=list)
    result: Result | None = None
    story: list[str] = field(default_factory=list)


class Brain:
    """Decides for one run with `maps` map and `reduces` reduce tasks (0: the maps are the last stage)."""

    def __init__(self, maps: int, reduces: int, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._maps = [_Task(TaskId(Kind.MAP, index)) for index in range(maps)]
        self._reduces = [_Task(TaskId(Kind.REDUCE, index)) for index in range(reduces)]
        self._pending = {Kind.MAP: deque(range(maps)), Kind.REDUCE: deque(range(reduces))}
        self._left = {Kind.MAP: maps, Kind.REDUCE: reduces}
        self._idle: deque[int] = deque()
        self._running: dict[int, Attempt] = {}
        self._inputs = ""
        self._ended = False

    def begin(self) -> list[Command]:
        """The first commands; a run without tasks finishes at once."""
        return self._next()

    def handle(self, event: Event) -> list[Command]:
        """Take in one event. Raises InternalError for one that can't happen, with the task's story."""
        if isinstance(event, WorkerReady):
            self._idle.append(event.worker)
            commands: list[Command] = []
        elif isinstance(event, WorkerGone):
            commands = self._worker_gone(event)
        elif isinstance(event, Succeeded):
            commands = self._succeeded(event.attempt, event.result)
        elif isinstance(event, Failed):
            commands = self._failed(event.attempt, event.error)
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

    def check(self) -> None:
        """Raise InternalError if an invariant is broken. Tests call it after every event."""
        for task in (*self._maps, *self._reduces):
            running = [a for a in self._running.values() if a.task == task.id]
            if (task.state is State.DONE) != (task.result is not None):
                raise self._impossible(task, "a result and DONE go together")
            if len(running) != (task.state is State.RUNNING):
                raise self._impossible(task, f"{len(running)} attempts run")
            waiting = self._pending[task.id.kind].count(task.id.index)
            if waiting != (task.state is State.PENDING):
                raise self._impossible(task, f"it waits {waiting} times")
        if set(self._idle) & set(self._running):
            raise InternalError(f"Workers are idle and busy: {set(self._idle) & set(self._running)}")

    # ------------------------------------------------------------ transitions

    def _of(self, kind: Kind) -> list[_Task]:
        return self._maps if kind is Kind.MAP else self._reduces

    def _impossible(self, task: _Task, what: str) -> InternalError:
        story = " → ".join(task.story) or "nothing yet"
        return InternalError(f"{task.id} is {task.state.name}, but {what}. Its story: {story}.")

    def _finished_attempt(self, attempt: Attempt) -> _Task:
        task = self._of(attempt.task.kind)[attempt.task.index]
        if self._running.pop(attempt.worker, None) != attempt:
            raise self._impossible(task, f"{attempt} ended, which did not run")
        return task

    def _worker_gone(self, event: WorkerGone) -> list[Command]:
        attempt = self._running.get(event.worker)
        if attempt:
            return self._failed(attempt, event.error)
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        return []

    def _succeeded(self, attempt: Attempt, result: Result) -> list[Command]:
        task = self._finished_attempt(attempt)
        if attempt.task.kind is Kind.REDUCE and result.inputs != self._inputs:
            task.story.append(f"attempt {attempt.number} read other maps")
            self._wait(task)
            return [Discard(attempt, result)]
        task.state, task.result = State.DONE, result
        task.story.append(f"attempt {attempt.number} accepted")
        self._left[attempt.task.kind] -= 1
        if attempt.task.kind is Kind.MAP and not self._left[Kind.MAP]:
            return [Accept(attempt, result), *self._maps_done()]
        return [Accept(attempt, result)]

    def _maps_done(self) -> list[Command]:
        """All maps are accepted: reduces that were made from other map results are not valid."""
        self._inputs = inputs_digest([task.result for task in self._maps if task.result])
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
        task = self._finished_attempt(attempt)
        task.failures.append(Failure(error))
        task.story.append(f"attempt {attempt.number}: {type(error).__name__}")
        if self._ended:
            self._wait(task)
            return []
        if after_failure(task.failures, self._max_attempts) is Verdict.FAIL:
            task.state = State.FAILED
            self._ended = True
            return [GiveUp(error)]
        self._wait(task)
        if isinstance(error, SegmentError) and 0 <= error.map_index < len(self._maps):
            self._redo_map(self._maps[error.map_index])
        return []

    def _redo_map(self, task: _Task) -> None:
        if task.state is State.DONE:
            task.story.append("its data got lost")
            task.result = None
            self._left[Kind.MAP] += 1
            self._wait(task)

    def _wait(self, task: _Task) -> None:
        task.state = State.PENDING
        self._pending[task.id.kind].appendleft(task.id.index)

    # ------------------------------------------------------------ dispatch

    def _next(self) -> list[Command]:
        if self._ended:
            return []
        if not any(self._left.values()):
            self._ended = True
            return [Finish()]
        kind = Kind.MAP if self._left[Kind.MAP] else Kind.REDUCE
        commands: list[Command] = []
        while self._idle and self._pending[kind]:
            task = self._of(kind)[self._pending[kind].popleft()]
            task.attempts += 1
            task.state = State.RUNNING
            attempt = Attempt(task.id, task.attempts, self._idle.popleft())
            task.story.append(f"attempt {attempt.number} on worker {attempt.worker}")
            self._running[attempt.worker] = attempt
            commands.append(Start(attempt, self._inputs if kind is Kind.REDUCE else ""))
        return commands


def inputs_digest(results: Sequence[Result]) -> str:
    """Of all map results' contents, in map order."""
    return hashlib.sha256("\n".join(result.digest for result in results).encode()).hexdigest()

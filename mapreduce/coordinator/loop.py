"""The brain's hands: start and stop what it says, log what it accepts, tell who watches."""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from mapreduce import chunks
from mapreduce.coordinator.commands import Accept, Command, Discard, Drop, Finish, GiveUp, Start, Stop
from mapreduce.coordinator.log import Acceptance, AcceptanceLog, Unlogged
from mapreduce.coordinator.standing import Standing
from mapreduce.coordinator.state import Brain, Limits
from mapreduce.errors import (
    AttemptTimeout,
    InternalError,
    Interrupted,
    MapReduceError,
    MemoryExceeded,
    QuarantineFull,
    SegmentError,
)
from mapreduce.events import Event, Failed, Printed, Reported, Succeeded, Tick, WorkerGone, WorkerReady
from mapreduce.figures import causes, count, is_of_cause, lines_of_causes
from mapreduce.model import Attempt, AttemptRecord, Kind, Plan, Result, Segments, SortedRun
from mapreduce.ordering import Range, index_within, merged, ranges
from mapreduce.packed import PackedList
from mapreduce.protocols import Executor, Observer, Store
from mapreduce.shuffle.objects import read_sketch

_LOG = logging.getLogger("mapreduce.run")
_POLL_SECONDS = 0.1
_SHOW_SECONDS = 0.2
DRAIN_SECONDS = 3.0
"""How long attempts that run may go on when the run is to end: what they finish need not be done again."""
STALL_SECONDS = 60.0
"""An attempt that has not moved for so long is told of."""


@dataclass
class Outcome:
    """What a run made: accepted results in task order, the story of attempts, wall times."""

    maps: Sequence[Result] = ()
    reduces: Sequence[Result] = ()
    attempts: PackedList[AttemptRecord] = field(default_factory=lambda: PackedList(AttemptRecord))
    seconds: dict[str, float] = field(default_factory=dict)


class Coordinator:
    """Runs a plan on an executor.

    log: gets what is accepted, before anything rests on it. store: the run's own. restored: what was
    accepted before. observers: hear of progress and of every attempt's end. stop_requested: asked
    several times a second whether the run shall end. settled: called when all that the executor has told
    is taken care of, what was accepted among it logged. waiting: told before each wait how many tasks have no
    worker. clock: seconds that never go back. new_nonce: makes
    what tells an attempt from all others of its task.
    """

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        limits: Limits,
        log: AcceptanceLog,
        store: Store,
        *,
        restored: Iterable[Acceptance] = (),
        observers: Sequence[Observer] = (),
        stop_requested: Callable[[], bool] = lambda: False,
        settled: Callable[[], None] = lambda: None,
        waiting: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        new_nonce: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._plan = plan
        self._executor = executor
        self._store = store
        self._to_log = Unlogged(log)
        self._observers = observers
        self._stop_requested = stop_requested
        self._settled = settled
        self._waiting = waiting
        self._clock = clock
        self._new_nonce = new_nonce
        self._brain = Brain(len(plan.splits), plan.shards, limits, plan.functions.get("reduce", ""))
        self._started: dict[Attempt, float] = {}
        self._moved: dict[Attempt, float] = {}
        self._records: dict[Attempt, AttemptRecord] = {}
        self._standing = Standing(plan)
        self._outcome = Outcome()
        self._ranges: list[Range] | None = None
        self._stored: list[tuple[int, str, SortedRun]] | None = None
        """Runs of all maps, once reduces read them: number and data object of the map, and the run."""
        self._unsent: list[Event] = []
        self._maps_ended = 0.0
        self._finished = False
        self._failure: MapReduceError | None = None
        self._shown = self._ticked = 0.0
        self._before = self._zero = 0.0
        """Seconds of earlier sessions, as far as attempts tell; and when they would have begun."""
        self._restore(list(restored))

    def _restore(self, restored: Sequence[Acceptance]) -> None:
        for acceptance in restored:
            self._outcome.attempts.append(acceptance.record)
            self._before = max(self._before, acceptance.record.began + acceptance.record.seconds)
            self._standing.accept(acceptance.task, acceptance.result)
        self._obey(self._brain.restore((acceptance.task, acceptance.result) for acceptance in restored))

    def run(self) -> Outcome:
        """Run until every task has an accepted result.

        Raises the error that ended the job, or Interrupted; what still runs then has a moment to end.
        """
        begin = self._clock()
        self._zero = begin - self._before
        self._obey(self._brain.begin())
        if not self._finished:
            self._executor.start()
        try:
            self._run_to_the_end()
        finally:
            with self._warning_only(lambda: not self._finished):
                self._to_log.write()
        self._shown = 0.0
        self._show()
        self._outcome.seconds = self._phases(begin)
        self._outcome.maps = self._accepted(Kind.MAP)
        self._outcome.reduces = self._accepted(Kind.REDUCE)
        return self._outcome

    def _run_to_the_end(self) -> None:
        while not self._finished:
            with self._warning_only(self._stop_requested):
                self._step()
            if self._failure or self._stop_requested():
                self._drain()
                raise self._told_failure() or Interrupted("The run was stopped.", hint="Go on with it.")

    def _phases(self, begin: float) -> dict[str, float]:
        end = self._clock()
        between = self._maps_ended or end
        return {"map": between - begin, "reduce": end - between}

    def _told_failure(self) -> MapReduceError | None:
        """The error that ended the job, with a note for each other cause of failed attempts."""
        error = self._failure
        if error is not None:
            others = [record for record in self._outcome.attempts if not is_of_cause(record, error)]
            for number, example in causes(others):
                error.add_note(f"Also, {count(number, 'attempt')} failed for another reason: {example}")
        return error

    def _drain(self) -> None:
        """Start nothing more, and take what ends soon: results to keep, errors to tell."""
        self._brain.stop()
        deadline = self._clock() + DRAIN_SECONDS
        with self._warning_only(lambda: True):
            while not self._brain.is_idle() and self._clock() < deadline:
                self._step()

    @staticmethod
    @contextmanager
    def _warning_only(is_ending: Callable[[], bool]) -> Iterator[None]:
        """Let an error not hide why the run ends, if it ends anyway."""
        try:
            yield
        except MapReduceError as error:
            if not is_ending():
                raise
            _LOG.warning("what ended last is not kept: %s", error)

    def _step(self) -> None:
        """Wait a moment for events, take them in, and act."""
        commands: list[Command] = []
        unsent, self._unsent = self._unsent, []
        patience = min(_POLL_SECONDS, max(0.0, self._to_log.patience(self._clock())))
        self._waiting(self._brain.waiting)
        events = [*unsent, *self._executor.poll(0 if unsent else patience)]
        if self._stop_requested():
            self._brain.stop()
        for event in events:
            if commands and _may_drop_a_map(event):  # what was decided rests on that map
                self._obey(commands)
                commands = []
            commands += self._hear(event)
        now = self._clock()
        if now - self._ticked >= _POLL_SECONDS:
            self._ticked = now
            commands += self._brain.handle(Tick(self._executor.memory()), now)
        self._obey(commands)
        if self._to_log.is_empty:
            self._settled()
        self._show()

    def _accepted(self, kind: Kind) -> Sequence[Result]:
        """Once all are there: before, there may be gaps."""
        return cast(Sequence[Result], self._brain.results(kind))

    # ------------------------------------------------------------ events

    def _hear(self, event: Event | Printed | Reported) -> list[Command]:
        if isinstance(event, Reported):
            if event.attempt not in self._started:  # it was stopped, or has ended
                return []
            self._standing.report(event)
            now = self._clock()
            if self._moved.get(event.attempt) == math.inf:
                self._started[event.attempt] = now
                self._brain.began(event.attempt, now)
            self._moved[event.attempt] = now
            return []
        if isinstance(event, Printed):
            for observer in self._observers:
                observer.printed(str(event.attempt.task), event.text)
            return []
        if isinstance(event, Succeeded):
            self._note(event.attempt, "succeeded")
        elif isinstance(event, Failed):
            if isinstance(event.error, (AttemptTimeout, MemoryExceeded)):
                self._say_on_what(event.attempt, event.error)
            self._note(event.attempt, "failed", event.error)
        elif isinstance(event, WorkerGone):
            for attempt in [a for a in self._started if a.worker == event.worker]:
                if event.begun:
                    self._say_on_what(attempt, event.error)
                    self._note(attempt, "lost", event.error)
                else:
                    self._standing.ended(attempt)
                    del self._started[attempt], self._moved[attempt]
        return self._brain.handle(event, self._clock())

    def _say_on_what(self, attempt: Attempt, error: MapReduceError) -> None:
        """Add the attempt's work to the message, unless that names it or the record already."""
        work = self._work_of(attempt)
        if "\n" not in error.message and work not in error.message:
            error.message += f" It worked on {work}."

    def _work_of(self, attempt: Attempt) -> str:
        if attempt.task.kind is Kind.REDUCE:
            return f"shard {attempt.task.index}"
        split = self._plan.splits[attempt.task.index]
        if split.file.uri == "records:":
            return f"items {split.start:,} to {split.stop:,} of the records in memory"
        return f"{split.file.uri}, bytes {split.start:,} to {split.stop:,}"

    def _note(self, attempt: Attempt, outcome: str, error: MapReduceError | None = None) -> None:
        self._standing.ended(attempt)
        self._moved.pop(attempt, None)
        started = self._started.pop(attempt, None)
        if started is None:  # it was stopped, and had ended by then
            return
        record = AttemptRecord(
            str(attempt.task),
            attempt.number,
            attempt.worker,
            outcome,
            round(self._clock() - started, 6),
            error.message if error else "",
            type(error).__name__ if error else "",
            error.place if error else "",
            round(max(0.0, started - self._zero), 6),
        )
        if not error:
            self._records[attempt] = record
        self._outcome.attempts.append(record)
        for observer in self._observers:
            observer.attempt_ended(record)

    # ------------------------------------------------------------ commands

    def _obey(self, commands: Sequence[Command]) -> None:
        """Log first what was accepted, if anything rests on it or it is time; then do the rest, in order."""
        for command in commands:
            if isinstance(command, Accept):
                record = self._records.pop(command.attempt)
                self._to_log.add(Acceptance(command.attempt.task, command.result, record), self._clock())
        if any(map(_rests_on_what_was_accepted, commands)) or self._to_log.patience(self._clock()) <= 0:
            self._to_log.write()
        for command in commands:
            if isinstance(command, Start):
                self._start(command)
            elif isinstance(command, Stop):
                self._stop(command)
            elif isinstance(command, Accept):
                self._take(command)
            elif isinstance(command, Discard):
                self._records.pop(command.attempt, None)
            elif isinstance(command, Drop):
                self._standing.drop(command.task, command.result)
            elif isinstance(command, Finish):
                self._finished = True
            elif isinstance(command, GiveUp):
                self._failure = self._failure or self._with_causes(command.error)

    def _with_causes(self, error: MapReduceError) -> MapReduceError:
        """Too many bad records are no news: what is wrong with them is."""
        if isinstance(error, QuarantineFull) and "\n" not in error.message:
            bad = [bad for result in self._brain.results(Kind.MAP) if result for bad in result.bad]
            error.message += lines_of_causes(bad)
        return error

    def _take(self, accepted: Accept) -> None:
        self._standing.accept(accepted.attempt.task, accepted.result)
        if accepted.attempt.task.kind is Kind.MAP and self._brain.done(Kind.MAP) == len(self._plan.splits):
            self._maps_ended = self._clock()
            self._ranges = self._stored = None

    def _stop(self, command: Stop) -> None:
        if command.error is None:
            self._note(command.attempt, "stopped")
        self._executor.stop(command.attempt, command.error)

    def _start(self, command: Start) -> None:
        attempt = command.attempt
        self._started[attempt] = now = self._clock()
        self._moved[attempt] = math.inf if self._executor.queues else now
        self._brain.began(attempt, self._moved[attempt])
        try:
            request = self._request(command)
        except SegmentError as error:  # of a sample of keys: its map runs again
            self._unsent += [Failed(attempt, error), WorkerReady(attempt.worker)]
        else:
            self._executor.submit(attempt, request)

    def _request(self, command: Start) -> dict[str, Any]:
        task = command.attempt.task
        request: dict[str, Any] = {
            "kind": task.kind.value,
            "index": task.index,
            "nonce": self._new_nonce(),
            "careful": command.careful,
            "memory": command.memory,
        }
        if task.kind is Kind.MAP:
            request["split"] = self._plan.splits[task.index]
            if command.skip:
                request["skip"] = [[number, error.to_plain()] for number, error in command.skip.items()]
            if command.suspected:
                request["suspected"] = [command.suspected.start, command.suspected.stop]
        else:
            request["inputs"] = command.inputs
            request["range"] = self._range_of(task.index)
            request["segments"] = self._segments_of(task.index)
        return request

    def _segments_of(self, shard: int) -> list[Segments]:
        """What a reduce reads: of each run of each map its part, in the order of the input."""
        wanted = self._range_of(shard)
        if self._stored is None:
            maps = enumerate(self._results_of_maps())
            self._stored = [(number, result.name, run) for number, result in maps for run in result.runs]
        found = []
        for number, name, run in self._stored:
            index = index_within(run.index, wanted) if wanted else chunks.of_shard(run.index, shard)
            if index:
                found.append(Segments(number, name, run.layout, index))
        return found

    def _range_of(self, shard: int) -> Range | None:
        """The keys of a shard, where parts follow the key order. Raises SegmentError."""
        if not self._plan.by_key:
            return None
        if self._ranges is None:
            samples = (
                read_sketch(self._store, number, result.name, result.sample)
                for number, result in enumerate(self._results_of_maps())
                if result.sample
            )
            self._ranges = ranges(merged(samples, self._plan.shards), self._plan.shards)
        return self._ranges[shard]

    def _results_of_maps(self) -> Iterator[Result]:
        for number, result in enumerate(self._brain.results(Kind.MAP)):
            if result is None:
                raise InternalError(f"A reduce was started before map {number} was accepted.")
            yield result

    # ------------------------------------------------------------ who watches

    def _show(self) -> None:
        now = self._clock()
        if self._observers and now - self._shown >= _SHOW_SECONDS:
            self._shown = now
            progress = self._standing.progress(retries=self._brain.retries(), workers=len(self._started))
            for observer in self._observers:
                observer.progress(progress)
            self._tell_stalled(now)

    def _tell_stalled(self, now: float) -> None:
        for attempt, moved in self._moved.items():
            if now - moved >= STALL_SECONDS:
                self._moved[attempt] = now
                for observer in self._observers:
                    observer.stalled(str(attempt.task), self._work_of(attempt), now - self._started[attempt])


def _may_drop_a_map(event: Event | Printed | Reported) -> bool:
    """Whether an accepted result may be none any more after this."""
    return isinstance(event, Failed | WorkerGone) and isinstance(event.error, SegmentError)


def _rests_on_what_was_accepted(command: Command) -> bool:
    """A map is started whatever became of other maps. All else may follow from what they made."""
    return not isinstance(command, Accept | Start) or (
        isinstance(command, Start) and command.attempt.task.kind is not Kind.MAP
    )

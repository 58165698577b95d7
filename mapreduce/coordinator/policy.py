"""What to do about attempts that failed, hang, or take too much. Pure functions of the run's story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from mapreduce.errors import (
    AttemptTimeout,
    InputChanged,
    InputDenied,
    InputError,
    InputMissing,
    MapReduceError,
    MemoryExceeded,
    Retry,
    SegmentError,
    WorkerCrash,
)
from mapreduce.model import Attempt
from mapreduce.units import show_size

SLOW_FACTOR = 3.0
"""An attempt that has taken so many times the median of its phase is a straggler."""
LEAST_SLOW_SECONDS = 2.0
"""Below that no attempt is one: starting another would take as long."""
LATEST_ENDED = 10_000
"""The median of a phase is that of so many attempts which ended last."""
LEAST_ENDED = 3
"""So many attempts of the phase must have ended before their median says anything."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed."""

    error: MapReduceError

    @property
    def retry(self) -> Retry:
        """What the error says about another try."""
        return self.error.retry


class Verdict(Enum):
    """What follows from a failure."""

    RETRY = "retry"
    ALONE = "alone"
    """Try again once nothing else runs, and start nothing beside it."""
    SKIP = "skip"
    """Try again without the record that it failed on."""
    FAIL = "fail"


def after_failure(
    failures: Sequence[Failure], max_attempts: int, *, may_skip: bool = False, elsewhere: bool = False
) -> Verdict:
    """Decide by all failures of one task so far, the newest last.

    A deterministic error fails at once. User code fails when it has failed twice in the same place, or
    run out of time twice. An attempt that took too much memory is tried once more, alone. Otherwise
    the machine's failures (LOST) and user code's (FAILED) each have the whole budget: a task that was
    unlucky with machines keeps its tries. Data of one map that got lost is that map's misfortune: it
    has a budget for each, and is made again at least once, or no run could ever go on from there.

    may_skip: a record on which the process was ended or ran out of time twice is left out. elsewhere: there
    is a host on which the task has not failed yet; what may be the fault of hosts is tried there first.
    """
    newest = failures[-1]
    if elsewhere and may_be_the_hosts(newest.error):
        return Verdict.RETRY
    if may_skip and newest.error.records is not None and isinstance(newest.error, _OF_A_RECORD):
        if len(newest.error.records) == 1 and any(_same_record(other, newest) for other in failures[:-1]):
            return Verdict.SKIP
        of_kind = sum(isinstance(failure.error, _OF_A_RECORD) for failure in failures)
        return Verdict.FAIL if of_kind >= max(max_attempts, _ATTEMPTS_TO_FIND) else Verdict.RETRY
    if newest.retry is Retry.NEVER:
        return Verdict.FAIL
    if newest.retry is Retry.ALONE:
        again = any(failure.retry is Retry.ALONE for failure in failures[:-1])
        return Verdict.FAIL if again else Verdict.ALONE
    if newest.retry is Retry.CONFIRM and any(_same_place(failure, newest) for failure in failures[:-1]):
        return Verdict.FAIL
    of_kind = sum(_one_budget(failure, newest) for failure in failures)
    if isinstance(newest.error, SegmentError):
        max_attempts = max(max_attempts, 2)
    return Verdict.FAIL if of_kind >= max_attempts else Verdict.RETRY


def may_be_the_hosts(error: MapReduceError) -> bool:
    """Whether the host may be what is wrong, not the task: its disk is full, or it lacks a mount."""
    lacks_input = isinstance(error, InputMissing | InputDenied | InputChanged) or type(error) is InputError
    return lacks_input or (error.retry is Retry.ALWAYS and not isinstance(error, SegmentError))


_OF_A_RECORD = (WorkerCrash, AttemptTimeout)
_ATTEMPTS_TO_FIND = 3
"""The attempts that it takes to lay a crash on one record: one that does not tell it, and two that do."""


def _same_record(failure: Failure, newest: Failure) -> bool:
    """Whether a failure was at the newest one's record, or at a frame that holds it."""
    at, before = newest.error.records, failure.error.records
    if type(failure.error) is not type(newest.error) or at is None or before is None:
        return False
    return before.start <= at.start and at.stop <= before.stop


def _same_place(failure: Failure, newest: Failure) -> bool:
    if isinstance(newest.error, AttemptTimeout):
        return isinstance(failure.error, AttemptTimeout)
    if failure.retry is Retry.CONFIRM and failure.error.place == newest.error.place:
        return True
    return isinstance(newest.error, WorkerCrash) and _same_record(failure, newest)


def _one_budget(failure: Failure, newest: Failure) -> bool:
    if isinstance(newest.error, SegmentError):
        return isinstance(failure.error, SegmentError) and failure.error.map_index == newest.error.map_index
    return failure.retry is newest.retry and not isinstance(failure.error, SegmentError)


def must_be_careful(failures: Sequence[Failure]) -> bool:
    """Whether the next attempt should note every record before the functions get it: so that the
    record is known that ends a process, keeps it, or takes all its memory.
    """
    kinds = (WorkerCrash, AttemptTimeout, MemoryExceeded)
    return any(isinstance(failure.error, kinds) for failure in failures)


def suspected(failures: Sequence[Failure]) -> range | None:
    """Numbers of the records of a frame that has ended a process, or hung: to be given one by one."""
    for failure in reversed(failures):
        if failure.error.records is not None and len(failure.error.records) > 1:
            return failure.error.records
    return None


def too_large(attempt: Attempt, held: int, most: int | None, *, alone: bool) -> MemoryExceeded | None:
    """The error of an attempt whose process holds more bytes than it may; None if it does not.

    alone: nothing runs beside it.
    """
    if most is None or held <= most:
        return None
    return MemoryExceeded(
        f"{attempt} took {show_size(held)} of memory, where {show_size(most)} are allowed"
        f"{', with nothing beside it' if alone else ''}.",
        hint="Let the function hold less at once, or hand it less (smaller split_size, more shards), or "
        "give it more (Job(memory=…), fewer --workers).",
        place=f"memory:{attempt.task}",
    )


def stragglers(running: Mapping[Attempt, float], ended: Sequence[float], left: int) -> list[Attempt]:
    """Attempts worth another one beside them, the longest first.

    running: attempts that are alone on their tasks, and the seconds they have taken so far. ended: seconds
    that the accepted attempts of this phase took. left: tasks of the phase that are not done; none
    of them waits. Only near the end of a phase, which is when half of it is done.
    """
    if (
        len(ended) < LEAST_ENDED
        or left > len(ended)
        or max(running.values(), default=0) <= LEAST_SLOW_SECONDS
    ):
        return []
    slow = max(LEAST_SLOW_SECONDS, SLOW_FACTOR * median(ended[-LATEST_ENDED:]))
    found = [attempt for attempt, seconds in running.items() if seconds > slow]
    return sorted(found, key=lambda attempt: -running[attempt])

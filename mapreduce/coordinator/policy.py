"""What to do about a failed attempt. Pure functions of the task's story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mapreduce.errors import MapReduceError, Retry


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
    FAIL = "fail"


def after_failure(failures: Sequence[Failure], max_attempts: int) -> Verdict:
    """Decide by all failures of one task so far, the newest last.

    A deterministic error fails at once. User code fails when it has failed twice in the same
    place, or when attempts are used up. The machine's failures (LOST) and user code's (FAILED)
    each have the whole budget: a task that was unlucky with machines keeps its tries.
    """
    newest = failures[-1]
    if newest.retry is Retry.NEVER:
        return Verdict.FAIL
    if newest.retry is Retry.CONFIRM:
        places = [f.error.place for f in failures if f.retry is Retry.CONFIRM]
        if places.count(newest.error.place) > 1:
            return Verdict.FAIL
    of_kind = sum(failure.retry is newest.retry for failure in failures)
    return Verdict.FAIL if of_kind >= max_attempts else Verdict.RETRY

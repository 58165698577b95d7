"""Ending a run from anywhere: whoever leads it is asked to stop, and can be followed by another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mapreduce.coordinator.loop import DRAIN_SECONDS
from mapreduce.hosts.desk import Pace
from mapreduce.hosts.jobs import Cluster
from mapreduce.hosts.leadership import (
    has_ended,
    leader,
    newest,
    request_stop,
    said_end,
    was_late,
    withdraw_retry,
)
from mapreduce.hosts.watching import watch


class Outcome(StrEnum):
    """What came of it."""

    STOPPED = "stopped"
    ALREADY = "already stopped"
    FAILED = "failed"
    """It had failed by itself, or failed before it saw the request."""
    ENDED = "ended"
    """It has its result."""
    LATE = "late"
    """It has ended without one: its output had got another run's."""
    FOLLOWED = "followed"
    """Another coordinator leads it now, which was not asked to stop."""
    SILENT = "silent"
    """Nobody has answered: there is no coordinator, or it is frozen."""


@dataclass(frozen=True)
class Stopping:
    """What came of asking a run's coordinator to stop."""

    outcome: Outcome
    epoch: int
    """Of the coordinator that was asked; 0: there was none."""
    coordinator: str
    """Its host and process."""
    seconds: float
    hosts: tuple[str, ...] = ()
    """Those that still wrote at the end."""

    @property
    def is_over(self) -> bool:
        """Whether nobody leads the run, for certain."""
        return self.outcome not in (Outcome.SILENT, Outcome.FOLLOWED)


def patience(pace: Pace) -> float:
    """Seconds in which a coordinator that lives has stopped: it looks, lets attempts end, and says so."""
    return DRAIN_SECONDS + 4 * pace.report + pace.dead


def stop(
    cluster: Cluster,
    run_id: str,
    seconds: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Stopping:
    """Ask whoever leads a run to stop, and wait for it, by default for as long as that may take.

    What was accepted stays. The request is for the newest coordinator alone, so it stops nobody who comes
    later; one that others were let lead again (`retry`) is left alone again. Raises StorageError.
    """
    store, pace = cluster.of_run(run_id), cluster.pace()
    allowed = patience(pace) if seconds is None else seconds
    begin, epoch, asked = clock(), newest(store), False

    def came_of_it(outcome: Outcome, hosts: tuple[str, ...] = ()) -> Stopping:
        name = leader(store, epoch) if epoch else ""
        return Stopping(outcome, epoch, name, round(clock() - begin, 1), hosts)

    while True:
        if has_ended(store):
            return came_of_it(Outcome.LATE if was_late(store) else Outcome.ENDED)
        epoch = epoch or newest(store)
        if epoch and (error := said_end(store, epoch)) is not None:
            withdraw_retry(store, epoch)
            if newest(store) > epoch:
                return came_of_it(Outcome.FOLLOWED)
            if error:
                return came_of_it(Outcome.FAILED)
            if not asked:
                return came_of_it(Outcome.ALREADY)
            return came_of_it(Outcome.STOPPED, _stay(cluster, run_id, pace, sleep))
        if epoch and newest(store) > epoch:
            return came_of_it(Outcome.FOLLOWED)
        if epoch and not asked:
            request_stop(store, epoch)
            asked = True
        if clock() - begin >= allowed:
            return came_of_it(Outcome.SILENT)
        sleep(pace.report / 2)


def _stay(cluster: Cluster, run_id: str, pace: Pace, sleep: Callable[[float], None]) -> tuple[str, ...]:
    """Hosts that report though they were told that the coordinator has ended: they are slow, or frozen."""
    sleep(pace.report)  # they have read it
    seen = watch(cluster.of_run(run_id), pace, 2 * pace.report, whole=True, sleep=sleep)
    return tuple(sorted(seen.wrote))

"""Letting whoever looks after a store lead runs again that have failed, or were stopped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from mapreduce.errors import JobError, SignatureError, WorkDamaged
from mapreduce.hosts.jobs import Cluster
from mapreduce.hosts.leadership import has_ended, is_retried, leader, newest, request_retry, said_end
from mapreduce.hosts.resuming import check_has_not_ended


@dataclass(frozen=True)
class Retried:
    """A run that others may lead again."""

    run: str
    job: str
    epoch: int
    """Of the coordinator that had it last."""
    is_new: bool
    """False: that was so already, and none has come since."""
    error: dict[str, str] = field(default_factory=dict)
    """What it had failed by: kind, message, hint. Empty: it was stopped."""


def retry(cluster: Cluster, run_id: str) -> Retried:
    """Let others lead a run again: what was accepted stays, and each task has all its attempts anew.

    May be called again. Raises JobError if the run has ended, has not failed and was not stopped,
    SignatureError, WorkDamaged, StorageError.
    """
    spec, store = cluster.spec(run_id), cluster.of_run(run_id)
    check_has_not_ended(cluster, spec)
    if has_ended(store):
        raise JobError(
            f"Run {run_id} has its result in {spec.output}; its sinks may not have been told.",
            hint=f"Tell them: mapreduce coordinator {cluster.place} {run_id}",
        )
    if not (epoch := newest(store)):
        raise JobError(
            f"Run {run_id} waits for its first coordinator.",
            hint=f"Lead it: mapreduce coordinator {cluster.place} {run_id}",
        )
    if (error := said_end(store, epoch)) is None:
        raise JobError(
            f"Run {run_id} has neither failed nor was it stopped: coordinator {epoch} "
            f"({leader(store, epoch)}) leads it, or was killed.",
            hint="Then a `mapreduce coordinator` follows by itself. "
            f"See `mapreduce status {cluster.place} {run_id}`.",
        )
    is_new = not is_retried(store, epoch)
    request_retry(store, epoch)
    return Retried(run_id, spec.job, epoch, is_new, error)


def retry_failed(cluster: Cluster) -> list[Retried]:
    """The same for all runs that have failed, but for those that somebody has begun to lead meanwhile."""
    found = []
    for run_id in resting(cluster, failed_only=True):
        with suppress(JobError):
            found.append(retry(cluster, run_id))
    return found


def resting(cluster: Cluster, *, failed_only: bool = False) -> list[str]:
    """Open runs that have failed or, unless only those are wanted, were stopped; the oldest first.

    Those that can't be read are left out. Raises StorageError.
    """
    found = []
    for run_id in cluster.open_runs():
        store = cluster.of_run(run_id)
        try:
            cluster.spec(run_id)
        except (SignatureError, WorkDamaged):
            continue
        ended = None if has_ended(store) or not (epoch := newest(store)) else said_end(store, epoch)
        if ended or (ended is not None and not failed_only):
            found.append(run_id)
    return found

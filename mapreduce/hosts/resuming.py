"""Going on with a run of a store, from anywhere: how it was begun, and whether that can be done here."""

from __future__ import annotations

import os
from pathlib import Path

from mapreduce.coordinator.log import read_log
from mapreduce.errors import JobError
from mapreduce.figures import count
from mapreduce.hosts.jobs import Cluster, Spec
from mapreduce.hosts.leadership import leader, was_late
from mapreduce.hosts.watching import enough, watch
from mapreduce.resume import Invocation


def invocation_of(cluster: Cluster, run_id: str) -> tuple[Invocation, str]:
    """How the command line began a run, and how far it is in words.

    Raises JobError if it can't be begun so here, SignatureError, WorkDamaged.
    """
    spec, store = cluster.spec(run_id), cluster.of_run(run_id)
    check_has_not_ended(cluster, spec)
    invocation = cluster.invocation(run_id)
    if invocation is None:
        raise JobError(
            f"Run {run_id} ({spec.job}) was not begun by `mapreduce run`.",
            hint=f"Call run(job, on={cluster.place!r}) again, as in the program that began it.",
        )
    _check_here(run_id, invocation)
    plan, done = cluster.plan(run_id), len(read_log(store).by_task)
    return invocation, f"{done:,} of {count(len(plan.splits) + plan.shards, 'task')} done"


def check_has_not_ended(cluster: Cluster, spec: Spec) -> None:
    """Raise JobError if nothing is left to be done for a run."""
    if not cluster.is_removed(spec.run_id):
        return
    if was_late(cluster.of_run(spec.run_id)):
        raise JobError(
            f"Run {spec.run_id} has ended without a result.", hint=f"{spec.output} has another run's."
        )
    raise JobError(f"Run {spec.run_id} has ended.", hint=f"Its result is in {spec.output}.")


def _check_here(run_id: str, invocation: Invocation) -> None:
    """Raise JobError unless the folder and the job file are here that the run was begun with."""
    where = Path(invocation.directory)
    hint = "Resume it on a host that has it, or put it there."
    if not where.is_dir():
        raise JobError(f"Run {run_id} was begun in {where}, which is no folder here.", hint=hint)
    begun_with = [argument.rpartition(":")[0] or argument for argument in invocation.arguments]
    files = [name for name in begun_with if name.endswith(".py")]
    missing = [name for name in files if not os.path.exists(where / name)]
    if files and len(missing) == len(files):
        raise JobError(f"Run {run_id} was begun with {where / missing[0]}, which is not here.", hint=hint)


def check_idle(cluster: Cluster, run_id: str) -> None:
    """Raise JobError if a coordinator leads the run, which is asked for a moment."""
    store, pace = cluster.of_run(run_id), cluster.pace()
    seen = watch(store, pace, enough(pace, store.capabilities), hosts=False)
    if seen.answer is not None:
        raise JobError(
            f"Run {run_id} goes on already: coordinator {seen.epoch} ({leader(store, seen.epoch)}) leads it.",
            hint=f"Wait for it, or stop it: mapreduce stop {cluster.place} {run_id}",
        )

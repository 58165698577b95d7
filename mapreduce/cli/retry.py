"""`mapreduce retry`: let the coordinators of a store lead runs again that have failed, or were stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.retrying import Retried


@click.command(short_help="Let others lead a failed run of a store again.")
@options.store
@options.a_run
@click.option(
    "--all", "everything", is_flag=True, help="All runs that have failed; not those that were stopped."
)
@options.key_file
@options.as_json
@options.traceback
def retry(store: str, run_id: str | None, everything: bool, key_file: str | None, as_json: bool) -> int:
    """Let a `mapreduce coordinator` lead a run of a STORE again that has failed, or was stopped.

    The one whose id begins with RUN; without RUN the only one of which that is so. Once what it failed by is
    mended: a disk, a mount, a file. What was accepted is not run again, and the functions are those that were
    laid down; with changed ones, `mapreduce resume STORE` where the job's file is. `mapreduce stop` takes it
    back until a coordinator has come.
    """
    from mapreduce.cli import console
    from mapreduce.codec import to_plain
    from mapreduce.hosts import retrying
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key

    if run_id and everything:
        raise click.UsageError("Give RUN or --all, not both.")
    cluster = Cluster(store, read_key(key_file))
    if everything:
        found = retrying.retry_failed(cluster)
    else:
        found = [retrying.retry(cluster, _the_run(cluster, run_id))]
    if as_json:
        console.say_json({"store": cluster.place, "runs": list(map(to_plain, found))})
    else:
        for line in _told(cluster, found):
            console.say(line)
    return 0


def _the_run(cluster: Cluster, begin: str | None) -> str:
    from mapreduce.errors import JobError
    from mapreduce.hosts.retrying import resting

    if begin:
        return cluster.named(begin)
    runs = resting(cluster)
    if not runs:
        raise JobError(
            f"No open run on {cluster.place} has failed or was stopped.",
            hint=f"See `mapreduce jobs {cluster.place}`.",
        )
    if len(runs) > 1:
        raise JobError(
            f"{len(runs):,} runs on {cluster.place} have failed or were stopped.",
            hint=f"Say which: {', '.join(runs)}; or --all for those that have failed.",
        )
    return runs[0]


def _told(cluster: Cluster, found: list[Retried]) -> list[str]:
    from mapreduce.cli.submit import what_next
    from mapreduce.figures import visible

    if not found:
        return [f"No open run on {cluster.place} has failed."]
    lines = []
    for run in found:
        waits = "waits for a coordinator" if run.is_new else "waits for a coordinator already"
        lines.append(f"Run {run.run} ({visible(run.job)}) {waits}.")
        why = f"it failed: {visible(run.error['message'])}" if run.error else "it was stopped"
        lines.append(f"  why        {why}")
    return [*lines, *what_next(cluster.place, found[0].run if len(found) == 1 else "")]

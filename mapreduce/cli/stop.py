"""`mapreduce stop`: ask whoever leads a run on a store to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.stopping import Stopping


@click.command(short_help="Stop a run on a store.")
@options.store
@options.a_run
@click.option(
    "--wait",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    help="Wait so long for the coordinator to stop; by default as long as that may take.",
)
@options.key_file
@options.as_json
@options.traceback
def stop(store: str, run_id: str | None, wait: float | None, key_file: str | None, as_json: bool) -> int:
    """Stop the run of a STORE whose id begins with RUN; without RUN the only open one.

    Its coordinator lets attempts end for up to three seconds, as by Ctrl-C; what was accepted stays, and
    `mapreduce resume STORE` goes on from there. Exit code 0: nobody leads the run. 1: that isn't known.
    """
    from mapreduce.cli import console
    from mapreduce.cli.status import the_run
    from mapreduce.codec import to_plain
    from mapreduce.hosts import stopping
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key

    cluster = Cluster(store, read_key(key_file))
    run = the_run(cluster, run_id, only=True)
    cluster.spec(run)
    found = stopping.stop(cluster, run, wait)
    if as_json:
        console.say_json({"store": cluster.place, "run": run, **to_plain(found)})
    else:
        for line in _told(cluster, run, found):
            console.say(line)
    return 0 if found.is_over else 1


def _told(cluster: Cluster, run: str, found: Stopping) -> list[str]:
    from mapreduce.figures import count, visible
    from mapreduce.hosts.stopping import Outcome

    who = f"coordinator {found.epoch} ({visible(found.coordinator)})"
    again = f"Go on with it: mapreduce resume {cluster.place} {run}"
    if found.outcome is Outcome.ENDED:
        return [f"Run {run} has ended, with a result: there is nothing to stop."]
    if found.outcome is Outcome.LATE:
        return [f"Run {run} has ended without a result, because its output had got another run's."]
    if found.outcome is Outcome.ALREADY:
        return [f"Run {run} was stopped before.", again]
    if found.outcome is Outcome.FAILED:
        return [f"Run {run} has failed: there is nothing to stop.", again]
    if found.outcome is Outcome.FOLLOWED:
        return [f"Run {run} is led by another one now, which was not asked to stop: it came after {who}."]
    if found.outcome is Outcome.SILENT and not found.epoch:
        return [f"Run {run} has no coordinator: none has come within {found.seconds:.1f} s.", again]
    if found.outcome is Outcome.SILENT:
        silent = f"Run {run} seems to have no coordinator: {who} was silent for {found.seconds:.1f} s."
        return [silent, "If it is frozen, it stops when it wakes up.", again]
    hosts = f"; {count(len(found.hosts), 'host')} still at it." if found.hosts else "; its hosts have left."
    return [f"Run {run} was stopped: {who} has ended after {found.seconds:.1f} s{hosts}", again]

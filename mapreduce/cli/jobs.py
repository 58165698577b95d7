"""`mapreduce jobs`: the runs of a store that have not ended."""

from __future__ import annotations

from typing import Any

import click

from mapreduce.cli import options


@click.command(short_help="List the runs of a store.")
@options.store
@options.key_file
@options.as_json
@options.traceback
def jobs(store: str, key_file: str | None, as_json: bool) -> int:
    """List the runs of a STORE that have not ended, and how far they are."""
    from mapreduce.cli import console
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key

    cluster = Cluster(store, read_key(key_file))
    found = [_facts(cluster, run_id) for run_id in cluster.open_runs()]
    if as_json:
        console.say_json({"store": cluster.place, "runs": found})
        return 0
    for facts in found:
        done = f"{facts['done']:,} of {facts['tasks']:,} tasks"
        console.say(f"{facts['run']}  {facts['job']}  {done}  {facts['output']}")
    if not found:
        console.say(f"No run on {cluster.place} is open.")
    return 0


def _facts(cluster: Any, run_id: str) -> dict[str, Any]:
    spec = cluster.spec(run_id)
    done, tasks = cluster.done(run_id)
    return {"run": run_id, "job": spec.job, "done": done, "tasks": tasks, "output": spec.output}

"""`mapreduce jobs`: the runs of a store."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.hosts.status import Facts


@click.command(short_help="List the runs of a store.")
@options.store
@click.option("--all", "everything", is_flag=True, help="Those too that have ended. Lists all of the store.")
@options.key_file
@options.as_json
@options.traceback
def jobs(store: str, everything: bool, key_file: str | None, as_json: bool) -> int:
    """List the runs of a STORE that have not ended, and how far they are.

    A run is queued, mapping, reducing, committed, failed, stopped, ended, late, or unreadable. Whether
    somebody is at work on it takes watching: `mapreduce status`.
    """
    from mapreduce.cli import console
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key
    from mapreduce.hosts.status import State, facts
    from mapreduce.store.together import together

    cluster = Cluster(store, read_key(key_file))
    runs = cluster.all_runs() if everything else cluster.open_runs()
    found = list(together(cluster.store, partial(facts, cluster), runs))
    unreadable = [fact for fact in found if fact.state is State.UNREADABLE]
    if as_json:
        console.say_json({"store": cluster.place, "runs": list(map(_document, found))})
        return 1 if unreadable else 0
    for line in _lines(found):
        console.say(line)
    for fact in unreadable:
        console.say(f"{fact.run}: {fact.error['message']} {fact.error['hint']}".rstrip(), sys.stderr)
    if not found:
        console.say(f"{cluster.place} has no runs." if everything else f"No run on {cluster.place} is open.")
    return 1 if unreadable else 0


def _document(fact: Facts) -> dict[str, Any]:
    from mapreduce.codec import to_plain

    plain: dict[str, Any] = to_plain(fact)
    return plain | {"done": fact.maps_done + fact.reduces_done, "tasks": fact.maps + fact.reduces}


def _lines(found: list[Facts]) -> list[str]:
    from mapreduce.cli import console, tables

    rows = [
        {
            "run": fact.run,
            "job": fact.job,
            "state": fact.state.value,
            "tasks": f"{fact.maps_done + fact.reduces_done:,} of {fact.maps + fact.reduces:,}"
            if fact.maps
            else "",
            "output": fact.output,
        }
        for fact in found
    ]
    return tables.of_rows(rows, console.width(sys.stdout))

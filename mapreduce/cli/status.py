"""`mapreduce status`: how far a run on a store is, and who is at work on it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.status import HostFacts, Status


@click.command(short_help="Show how far a run on a store is.")
@options.store
@options.a_run
@click.option(
    "--watch",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    help="Watch so long, or until all were seen; by default four reports of a host.",
)
@options.key_file
@options.as_json
@options.traceback
def status(store: str, run_id: str | None, watch: float | None, key_file: str | None, as_json: bool) -> int:
    """Show how far a run on a STORE is: the one whose id begins with RUN, by default the newest open one.

    Who is at work on it is found out by asking its coordinator and watching its hosts for a moment. Silence
    is no proof that somebody is gone.
    """
    from mapreduce.cli import console
    from mapreduce.codec import to_plain
    from mapreduce.hosts import status as statuses
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key

    cluster = Cluster(store, read_key(key_file))
    found = statuses.status(cluster, the_run(cluster, run_id), watch)
    if as_json:
        console.say_json({"store": cluster.place, **to_plain(found)})
        return 0
    for line in _lines(cluster, found):
        console.say(line)
    return 0


def the_run(cluster: Cluster, begin: str | None, *, only: bool = False) -> str:
    """The run that is meant: that whose id begins so, else the newest open one. Raises JobError.

    only: without a name there must be no other one.
    """
    from mapreduce.errors import JobError

    if begin:
        return cluster.named(begin)
    runs = cluster.open_runs()
    if not runs:
        raise JobError(
            f"No run on {cluster.place} is open.", hint=f"See `mapreduce jobs --all {cluster.place}`."
        )
    if only and len(runs) > 1:
        raise JobError(f"{cluster.place} has {len(runs):,} open runs.", hint=f"Say which: {', '.join(runs)}.")
    return runs[-1]


def _lines(cluster: Cluster, found: Status) -> list[str]:
    from mapreduce.cli import console, tables
    from mapreduce.figures import count

    facts = found.facts
    told = [
        ("run", facts.run),
        ("job", facts.job),
        ("output", facts.output),
        ("state", found.phase + _error(facts.error)),
        ("done", _done(found)),
        ("coordinator", _coordinator(found)),
        ("hosts", _hosts(found)),
        *(("failed", f"{number:,} × {example}") for number, example in found.failures),
        *(("next", advice) for advice in _advice(cluster, found)),
    ]
    rows = [_row(host) for host in found.hosts]
    refused = [f"{host.name} takes no part: {host.refused}." for host in found.hosts if host.refused]
    left = [f"{count(found.left, 'host')} left before"] if found.left else []
    width = console.width(sys.stdout)
    table = tables.of_rows(rows, width)
    return [*tables.of_facts(told, width), *([""] if table else []), *table, *refused, *left]


def _error(error: dict[str, str]) -> str:
    return f": {error['message']}" if error else ""


def _done(found: Status) -> str:
    facts = found.facts
    if not facts.maps:
        return ""
    maps = f"{facts.maps_done:,} of {facts.maps:,} maps"
    return f"{maps}, {facts.reduces_done:,} of {facts.reduces:,} reduces" if facts.reduces else maps


def _coordinator(found: Status) -> str:
    from mapreduce.hosts.status import State

    facts = found.facts
    if not facts.epoch:
        return "none has come yet"
    who = f"{facts.epoch}, {facts.coordinator or 'of unknown name'}"
    if facts.state in (State.ENDED, State.LATE):
        return f"{who}, was the last one"
    if facts.state in (State.FAILED, State.STOPPED, State.QUEUED):
        return f"{who}, has ended"
    if found.answered is None:
        return f"{who}: no answer within {found.watched:.1f} s"
    return f"{who}: answered within {found.answered:.1f} s"


def _hosts(found: Status) -> str:
    if not found.watched:
        return ""
    if not found.hosts:
        return f"none reported within {found.watched:.1f} s"
    here = [host for host in found.hosts if host.wrote is not None]
    slots = sum(host.slots for host in here)
    return f"{len(here):,} of {len(found.hosts):,} reported within {found.watched:.1f} s; {slots:,} slots"


def _row(host: HostFacts) -> dict[str, Any]:
    from mapreduce.units import show_size

    return {
        "host": host.name or host.id,
        "slots": host.slots,
        "seen": "silent" if host.wrote is None else f"after {host.wrote:.1f} s",
        "memory": show_size(host.memory) if host.memory else "",
        "runs": ", ".join(host.runs),
    }


def _advice(cluster: Cluster, found: Status) -> list[str]:
    """What to do, where somebody may do something."""
    from mapreduce.hosts.status import State

    facts = found.facts
    again = f"mapreduce resume {cluster.place} {facts.run}"
    by_others = f"mapreduce retry {cluster.place} {facts.run}, for a coordinator to lead it"
    if facts.state is State.ENDED:
        return [f"mapreduce show {facts.output}", f"mapreduce clean {cluster.place} {facts.run}"]
    if facts.state is State.LATE:
        return [f"mapreduce clean {cluster.place} {facts.run}"]
    if facts.state is State.FAILED:
        return [*filter(None, [facts.error.get("hint", "")]), again, by_others]
    if facts.state is State.STOPPED:
        return [again, by_others]
    if facts.state is State.QUEUED:
        return [f"mapreduce coordinator {cluster.place} {facts.run}"]
    if found.answered is None:
        return [again]
    return [] if found.hosts else [f"mapreduce worker {cluster.place}"]

"""`mapreduce sinks`, `approve` and `reject`: who was told of a result, and telling those who were not."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.ended import Ended
    from mapreduce.model import Delivery
    from mapreduce.sinks.delivery import Review

run_argument = click.argument("run", metavar="RUN")


@click.command(short_help="Show who was told of a result, or tell who was not.")
@click.argument("words", metavar="[retry] RUN", nargs=-1, required=True)
@options.as_json
@options.traceback
def sinks(words: tuple[str, ...], as_json: bool) -> int:
    """List the sinks of a run, and what became of telling each; with `retry`, tell those that were not.

    RUN is the folder or URL of a result, or the beginning of the id of a run that `mapreduce runs` lists. The
    sinks are those of the job file that began the run, as it is now.
    """
    from mapreduce.ended import find

    if len(words) > 2 or (len(words) == 2 and words[0] != "retry"):
        raise click.UsageError("Give RUN, or retry RUN.")
    ended = find(words[-1])
    if len(words) == 1:
        return _listed(ended, as_json)
    return _told(ended, as_json)


def _listed(ended: Ended, as_json: bool) -> int:
    from mapreduce.cli import console
    from mapreduce.codec import to_plain

    deliveries, review = ended.deliveries(), ended.review()
    if as_json:
        facts = {"run_id": ended.run_id, "path": str(ended.place), "name": ended.name}
        console.say_json({**facts, "review": to_plain(review), "sinks": to_plain(deliveries)})
        return 0
    for line in _lines(ended, deliveries, review):
        console.say(line)
    return 0


def _lines(ended: Ended, deliveries: tuple[Delivery, ...], review: Review | None) -> list[str]:
    from mapreduce.cli import console, tables
    from mapreduce.figures import visible

    head = f"{visible(ended.name)} {ended.word}, run {ended.run_id}"
    if not deliveries:
        return [head, "Nobody is to be told of it."]
    rows = [
        {
            "sink": delivery.sink,
            "state": _state(ended, delivery, review),
            "tries": f"{delivery.attempts:,}" if delivery.attempts else "",
            "last": delivery.when,
            "what it said": visible(delivery.error),
        }
        for delivery in deliveries
    ]
    told = [head, *tables.of_rows(rows, console.width(sys.stdout))]
    if ended.is_reviewed() and review is None:
        told.append(f"It waits for somebody: mapreduce approve {ended.place} --by NAME, or reject.")
    elif review is not None:
        decided = "approved" if review.approved else "rejected"
        note = f": {visible(review.note)}" if review.note else ""
        told.append(f"It was {decided} by {visible(review.by)}, {review.when}{note}")
    return told


def _state(ended: Ended, delivery: Delivery, review: Review | None) -> str:
    if delivery.delivered:
        return "told"
    if review is not None and not review.approved:
        return "rejected"
    if ended.is_reviewed() and review is None:
        return "waits"
    return "failed" if delivery.attempts else "not told"


def _told(ended: Ended, as_json: bool) -> int:
    """Tell who was not told; 4 if somebody still is not."""
    from mapreduce.cli.again import sinks_of
    from mapreduce.cli.run import logged

    here = os.getcwd()
    with logged(sys.stderr):
        deliveries = ended.tell(sinks_of(ended))
    os.chdir(here)
    _listed(ended, as_json)
    return 0 if all(delivery.delivered for delivery in deliveries) else 4


def _decision(command: Any) -> Any:
    for decorate in reversed(
        (
            run_argument,
            click.option("--by", required=True, metavar="NAME", help="Who decides."),
            click.option("--note", default="", metavar="TEXT", help="Why; it is kept with the decision."),
            options.as_json,
            options.traceback,
        )
    ):
        command = decorate(command)
    return command


@click.command(short_help="Let the sinks hear of a result that was reviewed.")
@_decision
def approve(run: str, by: str, note: str, as_json: bool) -> int:
    """Approve the result of a run with --review: its sinks are told now.

    The first decision counts.
    """
    from mapreduce.ended import find

    ended = find(run)
    ended.decide(approved=True, by=by, note=note)
    return _told(ended, as_json)


@click.command(short_help="Let nobody hear of a result that was reviewed.")
@_decision
def reject(run: str, by: str, note: str, as_json: bool) -> int:
    """Reject the result of a run with --review: nobody is told, but the log. The result stays where it is.

    The first decision counts.
    """
    from mapreduce.cli.run import logged
    from mapreduce.ended import find

    ended = find(run)
    with logged(sys.stderr):
        ended.decide(approved=False, by=by, note=note)
    return _listed(ended, as_json)

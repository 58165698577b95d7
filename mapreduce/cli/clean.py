"""`mapreduce clean`: remove what runs have left on a store."""

from __future__ import annotations

import sys
from typing import Any

import click

from mapreduce.cli import options


@click.command(short_help="Remove what runs have left on a store.")
@options.store
@options.a_run
@click.option("--all", "everything", is_flag=True, help="Open runs too, on which nobody is at work.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@options.key_file
@options.as_json
@options.traceback
def clean(
    store: str, run_id: str | None, everything: bool, dry_run: bool, key_file: str | None, as_json: bool
) -> int:
    """Remove what runs have left on a STORE that have ended; published results stay.

    With RUN, the beginning of an id: of this run, open or not. An open run can't go on then, and what it
    wrote to its output goes too. First each run is watched for some seconds: nothing goes of one to which
    anybody writes, nor of one whose result is decided and not yet published. Exit code 1: a run that was
    named stays.
    """
    from mapreduce.cli import console, tables
    from mapreduce.codec import to_plain
    from mapreduce.figures import count
    from mapreduce.hosts import cleaning
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key

    if run_id and everything:
        raise click.UsageError("RUN and --all exclude one another.")
    cluster = Cluster(store, read_key(key_file))
    run = cluster.named(run_id) if run_id else None
    if run:
        cluster.spec(run)
    found = cleaning.clean(cluster, run, everything=everything, dry=dry_run)
    code = 1 if run and any(leftover.stays for leftover in found.runs) else 0
    if as_json:
        console.say_json({"store": cluster.place, "dry_run": dry_run, **to_plain(found)})
        return code
    for line in tables.of_rows(list(map(_row, found.runs)), console.width(sys.stdout)):
        console.say(line)
    for leftover in found.runs:
        if leftover.stays:
            console.say(f"{leftover.run} stays: {leftover.stays}.")
    goes = [leftover for leftover in found.runs if not leftover.stays]
    others = f", and {count(found.others, 'object')} of no run" if found.others else ""
    did = "would be removed" if dry_run else "removed"
    console.say(f"{count(len(goes), 'run')} {did}{others}.")
    return code


def _row(leftover: Any) -> dict[str, Any]:
    from mapreduce.units import show_size

    return {
        "run": leftover.run,
        "job": leftover.job,
        "objects": leftover.objects,
        "files": leftover.files,
        "size": "" if leftover.size is None else show_size(leftover.size),
        "it": "stays" if leftover.stays else "goes",
    }

"""`mapreduce submit`: lay a job down on a store, for a coordinator there to lead."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.onstore import Submitted


@click.command(short_help="Lay a job down on a store, for others to lead.")
@options.job
@click.option(
    "--on", "store", metavar="STORE", required=True, help="The store of hosts: a folder (/… or ./…) or a URL."
)
@click.option(
    "--overwrite", is_flag=True, help="Replace the result that is there, once this one is complete."
)
@click.option("--new", is_flag=True, help="A run of its own, though the same job lies there already.")
@click.option("--no-backups", is_flag=True, help="Give stragglers no second attempt.")
@options.as_json
@options.traceback
@click.pass_context
def submit(
    context: click.Context,
    file: str,
    source: tuple[str, ...],
    output: str | None,
    shards: int | None,
    workers: int | None,
    limit: int | None,
    settings: tuple[str, ...],
    store: str,
    overwrite: bool,
    new: bool,
    no_backups: bool,
    as_json: bool,
) -> int:
    """Lay a job down on a STORE, and leave: `mapreduce coordinator STORE` leads it, hosts do the work.

    Done again it tells of the run that is there. Sinks are told by whoever leads it.
    """
    from mapreduce.choosing import only_job
    from mapreduce.cli import console
    from mapreduce.cli.jobfile import import_path, load_job
    from mapreduce.codec import to_plain
    from mapreduce.errors import JobError
    from mapreduce.importpath import deployed
    from mapreduce.onstore import submit as lay_down
    from mapreduce.options import Options, is_place
    from mapreduce.resume import Invocation

    if workers:
        raise click.UsageError(
            "Each host says how many processes it has: mapreduce worker STORE --processes N."
        )
    if not is_place(store):
        raise JobError(f"--on {store!r} is no store.", hint='Give a folder ("/…" or "./…") or a URL.')
    with redirect_stdout(sys.stderr):
        loaded = load_job(file, settings=settings, source=source, output=output, shards=shards)
        job = only_job(loaded, "`mapreduce submit`")
        by_path = import_path(file, settings=settings, source=source, output=output, shards=shards)
        how = Options(
            store,
            overwrite=overwrite,
            backups=not no_backups,
            invocation=Invocation(os.getcwd(), tuple(context.obj[1:])),
            deployed=None if by_path is None else deployed(by_path, job),
        )
        found = lay_down(job, store, how, limit=limit, resume=False if new else None)
    if as_json:
        console.say_json(to_plain(found))
    else:
        for line in _lines(found):
            console.say(line)
    return 0


def _lines(found: Submitted) -> list[str]:
    from mapreduce.figures import count, visible

    reduces = f" and {count(found.reduces, 'reduce')}" if found.reduces else ""
    tasks = f"{count(found.maps, 'map')}{reduces}"
    lies = "lies" if found.is_new else "lay already"
    return [
        f"Run {found.run_id} ({visible(found.job)}, {tasks}) {lies} on {found.store}.",
        *what_next(found.store, found.run_id),
    ]


def what_next(store: str, run: str = "") -> list[str]:
    """What is to be done about a run that waits for others, or about all of a store."""
    return [
        f"  see it     mapreduce {'status' if run else 'jobs'} {store} {run}".rstrip(),
        f"  lead it    mapreduce coordinator {store}, unless that runs somewhere",
        f"  work       mapreduce worker {store}, on each host",
    ]

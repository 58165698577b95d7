"""`mapreduce report` and `runs`: the page of a run that has ended, and which there are."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.ended import Ended


@click.command(short_help="Write the report of a run again.")
@click.argument("run", metavar="RUN")
@click.option(
    "--to",
    "target",
    metavar="FILE",
    help="Where: .html, .md or .json; by default NAME-RUN.html, in the current folder.",
)
@options.as_json
@options.traceback
def report(run: str, target: str | None, as_json: bool) -> int:
    """Write the report of a run of a job or a JobSet, also of one that failed.

    RUN is the folder or URL of a result, or the beginning of the id of a run that `mapreduce runs` lists.
    """
    from mapreduce.cli import console
    from mapreduce.ended import find
    from mapreduce.sinks.reportfile import ReportFile

    ended = find(run)
    path = target or f"{ended.name}-{ended.run_id}.html"
    ReportFile(path).deliver(ended.result, "")
    if as_json:
        console.say_json({"run_id": ended.run_id, "name": ended.name, "report": os.path.abspath(path)})
    else:
        console.say(f"{ended.name} {ended.word}: {path}")
    return 0


@click.command(short_help="List the runs that have ended below a folder.")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False))
@options.as_json
@options.traceback
def runs(directory: str, as_json: bool) -> int:
    """List what ran below a folder, the oldest run first: results, and ends without one.

    By default below the current folder. An output tells of the last run that wrote it; a run that failed is
    listed until one to the same output has succeeded.
    """
    from pathlib import Path

    from mapreduce.cli import console, tables
    from mapreduce.ended import runs as runs_below

    found = runs_below(Path(directory))
    if as_json:
        console.say_json({"directory": directory, "runs": list(map(_document, found))})
        return 0
    for line in tables.of_rows(list(map(_row, found)), console.width(sys.stdout)):
        console.say(line)
    if not found:
        console.say(f"No run has ended below {directory}.")
    return 0


def _row(ended: Ended) -> dict[str, str]:
    from mapreduce.figures import duration, visible, when
    from mapreduce.observers.summary import shown_path

    manifest = ended.result.manifest
    return {
        "run": ended.run_id,
        "name": visible(ended.name),
        "status": ended.word,
        "started": when(manifest.started),
        "took": duration(manifest.seconds.get("total", 0.0)),
        "where": visible(shown_path(ended.place)),
    }


def _document(ended: Ended) -> dict[str, Any]:
    from mapreduce.codec import to_plain
    from mapreduce.setresult import JobSetResult

    manifest = ended.result.manifest
    return {
        "run_id": ended.run_id,
        "name": ended.name,
        "kind": "jobset" if isinstance(ended.result, JobSetResult) else "job",
        "status": ended.status.value,
        "started": manifest.started,
        "seconds": manifest.seconds.get("total", 0.0),
        "place": str(ended.place),
        "error": to_plain(manifest.failure),
    }

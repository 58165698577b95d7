"""`mapreduce demo`: a log of a web server, and which pages were asked for most."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mapreduce.cli import console, options
from mapreduce.cli.run import reporting, told
from mapreduce.cli.show import rendered
from mapreduce.figures import visible
from mapreduce.observers.summary import shown_path

if TYPE_CHECKING:
    from mapreduce.job import Job
    from mapreduce.result import JobResult

_LINE = 4096
"""A log of a given size is at most one line longer; no line is longer than this."""
_ROWS = 10


@click.command(short_help="Make a log and find its busiest pages.")
@click.option("--size", default="200MB", show_default=True, metavar="SIZE", help="Size of the log.")
@click.option(
    "--dir", "directory", default="mapreduce-demo", show_default=True, metavar="DIR", help="Where to write."
)
@options.workers
@options.traceback
def demo(size: str, directory: str, workers: int | None) -> int:
    """Make an access log and find its busiest pages, on all processors.

    Makes DIR/access.log, unless it is there already, and DIR/page-hits.
    """
    from mapreduce import engine
    from mapreduce.units import parse_size

    log, output = Path(directory) / "access.log", Path(directory) / "page-hits"
    _make_log(log, parse_size("--size", size))
    with reporting(sys.stderr, None) as observers:
        result = engine.run(_job(log, output), workers=workers, overwrite=True, observers=observers)
    for line in _shown(result, log):
        console.say(line)
    return told(result, as_json=False)


def hits(line: str) -> Iterator[tuple[str, int]]:
    """The path that a line of an access log asks for, without its query."""
    yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1


def _job(log: Path, output: Path) -> Job:
    from mapreduce.aggregates import Sum
    from mapreduce.job import Job

    return Job(name="page-hits", source=log, map=hits, reduce=Sum(), output=output)


def _make_log(log: Path, size: int) -> None:
    """Write the log, the same bytes on every machine, unless one of that size is there."""
    from mapreduce.store.local import storage_errors
    from mapreduce.testing.logs import write_access_log
    from mapreduce.units import show_size

    with storage_errors("write", log):
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file() and size <= log.stat().st_size < size + _LINE:
            return
        console.say(f"Writing {shown_path(log)}, an access log of {show_size(size)} …", sys.stderr)
        write_access_log(log, size)


def _shown(result: JobResult, log: Path) -> list[str]:
    from mapreduce.observers.summary import summary
    from mapreduce.rows import leading
    from mapreduce.store import layout

    where = visible(shown_path(result.place))
    return [
        f"The {_ROWS} busiest pages of {visible(shown_path(log))}",
        "",
        *rendered(leading(result, _ROWS, "largest"), chart=True),
        "",
        *summary(result),
        f"  {'manifest':<13}  {where}/{layout.MANIFEST}",
        "",
        "Try next:",
        f"  mapreduce show {shlex.quote(where)} --chart",
        f"  mapreduce verify {shlex.quote(where)}",
    ]

"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else.")
traceback = click.option(
    "--traceback", is_flag=True, expose_value=False, help="With an error, print the whole traceback."
)
directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=str))
work = click.option(
    "--work",
    metavar="DIR",
    help="Where the run keeps what it needs while it runs; by default beside the output.",
)
workers = click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes; by default one for each processor."
)
store = click.argument("store", metavar="STORE")
a_run = click.argument("run_id", metavar="[RUN]", required=False)
key_file = click.option(
    "--key-file", metavar="FILE", help="The cluster's key; by default the one that MAPREDUCE_KEY_FILE names."
)


def job(command: F) -> F:
    """What `run` and `plan` are told about a job: its file, and what to change about it."""
    for decorate in reversed(_JOB):
        command = decorate(command)
    return command


_JOB: list[Callable[[Any], Any]] = [
    click.argument("file", metavar="FILE.py[:JOB]|MODULE:JOB"),
    click.option("--source", multiple=True, metavar="PATH", help="Read this instead. May be given again."),
    click.option("--output", metavar="DIR", help="Write there instead."),
    click.option("--shards", type=click.IntRange(min=1), metavar="N", help="Number of reducers and parts."),
    workers,
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Read the first N records only."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help='The job file reads it as params["NAME"]. May be given again.',
    ),
]

"""`mapreduce resume`: go on with a run that was killed, stopped or failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mapreduce.cli import options
from mapreduce.cli.run import GO_ON, GO_ON_WITH, run

if TYPE_CHECKING:
    from mapreduce.resume import Invocation


@click.command(short_help="Go on with a run that did not end.")
@click.argument("place", metavar="DIR|STORE")
@options.a_run
@options.key_file
@options.as_json
@options.traceback
def resume(place: str, run_id: str | None, key_file: str | None, as_json: bool) -> int:
    """Go on with the newest run to the output DIR that was killed, stopped or failed.

    DIR may also be the directory given by --work. On a STORE that hosts share: with the run whose id begins
    with RUN, by default the only open one, unless somebody leads it. The command that began the run is done
    again, where it was done: what the run had accepted is not run again.
    """
    from mapreduce.hosts.jobs import is_store
    from mapreduce.store.inputs import is_url

    if is_url(place) or is_store(Path(place)):
        return _on_store(place, run_id, key_file, as_json)
    if run_id or key_file:
        raise click.UsageError(f"RUN and --key-file are for a store that hosts share; {place} is none.")
    return _in_directory(place, as_json)


def _in_directory(directory: str, as_json: bool) -> int:
    from mapreduce.errors import JobError
    from mapreduce.resume import invocation_at

    found = invocation_at(Path(directory))
    if found is None:
        raise JobError(
            f"No run to {directory} can go on: none was begun by `mapreduce run` and has not ended.",
            hint="Give the output's directory, or the one given by --work; or run the job.",
        )
    run_id, done, invocation = found
    return _again(invocation, f"Run {run_id}, {done}", as_json)


def _on_store(store: str, begin: str | None, key_file: str | None, as_json: bool) -> int:
    from mapreduce.cli.status import the_run
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.resuming import check_idle, invocation_of
    from mapreduce.hosts.signing import KEY_FILE, read_key

    cluster = Cluster(store, read_key(key_file))
    run_id = the_run(cluster, begin, only=True)
    invocation, done = invocation_of(cluster, run_id)
    check_idle(cluster, run_id)
    if named := key_file or os.environ.get(KEY_FILE):  # its path begins here, and the run is done elsewhere
        os.environ[KEY_FILE] = os.path.abspath(named)
    return _again(invocation, f"Run {run_id}, {done}", as_json, store=cluster.place, run_id=run_id)


def _again(invocation: Invocation, what: str, as_json: bool, *, store: str = "", run_id: str = "") -> int:
    """Do the command again that began a run. store, run_id: where the run is that must go on."""
    from mapreduce.cli import console

    console.say(f"{what}: mapreduce run {_shown(invocation.arguments)}", sys.stderr)
    os.chdir(invocation.directory)
    arguments = [*_lasting(invocation.arguments), *(["--json"] if as_json else [])]
    with run.make_context("mapreduce run", arguments, obj=["run"]) as context:
        context.meta[GO_ON] = invocation
        if store:
            context.meta[GO_ON_WITH] = run_id
            context.params["on"] = store
        code: int = run.invoke(context)
        return code


def _lasting(arguments: tuple[str, ...]) -> list[str]:
    """Without those that were meant for one time."""
    return [argument for argument in arguments if argument not in ("--new", "--json", "--traceback")]


def _shown(arguments: tuple[str, ...]) -> str:
    import shlex

    return shlex.join(_lasting(arguments))

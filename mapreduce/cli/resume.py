"""`mapreduce resume`: go on with a run that was killed, stopped or failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mapreduce.cli import options
from mapreduce.cli.run import GO_ON, run


@click.command(short_help="Go on with a run that did not end.")
@options.directory
@options.as_json
@options.traceback
def resume(directory: str, as_json: bool) -> int:
    """Go on with the newest run to the output DIR that was killed, stopped or failed.

    DIR may also be the directory given by --work. The command that began the run is done again, where
    it was done: what the run had accepted is not run again.
    """
    from mapreduce.cli import console
    from mapreduce.errors import JobError
    from mapreduce.resume import done_of, invocation_at

    found = invocation_at(Path(directory))
    if found is None:
        raise JobError(
            f"No run to {directory} can go on: none was begun by `mapreduce run` and has not ended.",
            hint="Give the output's directory, or the one given by --work; or run the job.",
        )
    begun, invocation = found
    shown = f"mapreduce run {_shown(invocation.arguments)}"
    console.say(f"Run {begun.place.run_id}, {done_of(begun)}: {shown}", sys.stderr)
    os.chdir(invocation.directory)
    arguments = [*_lasting(invocation.arguments), *(["--json"] if as_json else [])]
    with run.make_context("mapreduce run", arguments, obj=["run"]) as context:
        context.meta[GO_ON] = invocation
        code: int = run.invoke(context)
        return code


def _lasting(arguments: tuple[str, ...]) -> list[str]:
    """Without those that were meant for one time."""
    return [argument for argument in arguments if argument not in ("--new", "--json", "--traceback")]


def _shown(arguments: tuple[str, ...]) -> str:
    import shlex

    return shlex.join(_lasting(arguments))

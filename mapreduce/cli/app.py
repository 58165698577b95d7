"""The commands as one program: what it is called with, what it exits with."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from mapreduce.cli import console, failure
from mapreduce.cli.clean import clean
from mapreduce.cli.coordinator import coordinator
from mapreduce.cli.demo import demo
from mapreduce.cli.doctor import doctor
from mapreduce.cli.jobs import jobs
from mapreduce.cli.keygen import keygen
from mapreduce.cli.plan import plan
from mapreduce.cli.report import report, runs
from mapreduce.cli.resume import resume
from mapreduce.cli.retry import retry
from mapreduce.cli.run import run
from mapreduce.cli.show import show
from mapreduce.cli.sinks import approve, reject, sinks
from mapreduce.cli.status import status
from mapreduce.cli.stop import stop
from mapreduce.cli.submit import submit
from mapreduce.cli.verify import verify
from mapreduce.cli.worker import worker

_EPILOG = """\b
Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 completed with errors,
4 committed but a sink failed, 130 interrupted (Ctrl-C), 143 ended (SIGTERM)."""


class ReaderGone(Exception):
    """Nobody reads our output any more."""


class App(click.Group):
    """A group whose `main` tells every error in one way and always exits by itself."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run one command line and exit. `standalone_mode` is not asked."""
        given = list(sys.argv[1:] if args is None else args)
        console.outlast_terminal()
        try:
            code = super().main(
                given, prog_name or "mapreduce", complete_var, standalone_mode=False, obj=given, **extra
            )
        except ReaderGone:
            code = _reader_gone()
        except BaseException as error:  # noqa: BLE001 - told, whatever it is
            code = failure.tell(error, given)
        sys.exit(code or 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises ReaderGone, for which click has an exit code of its own."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error
        return code

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(self.commands)


def _reader_gone() -> int:
    """Whoever read our output has ended: so do we, as if by the signal, without another word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"mapreduce {version('mapreduce')}")
        ctx.exit()


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group("mapreduce", cls=App, epilog=_EPILOG, context_settings=_SETTINGS)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
)
def main() -> None:
    """MapReduce for Python functions: the bytes of a plain loop, on all processors.

    `mapreduce demo` shows it at work; `mapreduce run FILE.py` runs a job of your own.
    """


for _command in (
    run,
    resume,
    plan,
    show,
    verify,
    runs,
    report,
    sinks,
    approve,
    reject,
    demo,
    worker,
    submit,
    coordinator,
    jobs,
    status,
    stop,
    retry,
    clean,
    doctor,
    keygen,
):
    main.add_command(_command)

"""How an error is told: one paragraph that says what to do, and the traceback of the user's own code."""

from __future__ import annotations

import sys
import textwrap
import traceback
from collections.abc import Sequence

import click

from mapreduce.cli import console
from mapreduce.errors import Interrupted, JobError, MapReduceError, internal
from mapreduce.figures import visible_lines

_INTERRUPTED = 130
_MAX_WIDTH = 110


def tell(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell an error on standard error, and with --json on standard output too; the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        console.say(error.format_message(), sys.stderr)
        return error.exit_code
    if isinstance(error, click.Abort) and error.__cause__:  # click's word for Ctrl-C, which has the notes
        error = error.__cause__
    typed, code = _typed(error, arguments)
    with_trace = "--traceback" in arguments
    notes = list(getattr(error, "__notes__", ()))
    for line in _lines(typed, notes, error if with_trace else None):
        console.say(line, sys.stderr)
    if "--json" in arguments:
        plain = typed.to_plain()
        shown = ("kind", "message", "hint", "details", "output", *(("trace",) if with_trace else ()))
        facts = {name: plain[name] for name in shown}
        console.say_json({"error": {**facts, "category": typed.category, "notes": notes}})
    return code


def _typed(error: BaseException, arguments: Sequence[str]) -> tuple[MapReduceError, int]:
    if isinstance(error, MapReduceError):
        return error, error.exit_code
    if isinstance(error, click.ClickException):
        return _usage(error, arguments), error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _ended("Interrupted", error), _INTERRUPTED
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        return _ended("Ended by a signal", error), code
    if isinstance(error, Exception):
        return internal(error), 1
    raise error


def _ended(how: str, error: BaseException) -> MapReduceError:
    if getattr(error, "__notes__", ()):
        return Interrupted(f"{how}.")
    return Interrupted(f"{how}. A run that had not committed has left nothing behind.", hint="Run it again.")


def _usage(error: click.ClickException, arguments: Sequence[str]) -> JobError:
    message = error.format_message().rstrip(".") + "."
    context = getattr(error, "ctx", None)
    hint = f"See `{context.command_path if context else 'mapreduce'} --help`."
    if "unexpected extra argument" in message and "--source" in arguments:
        hint = "Quote a pattern, so that the shell leaves it alone: --source 'logs/*.log'. " + hint
    return JobError(message, hint=hint)


# ---------------------------------------------------------------- in lines


def _lines(error: MapReduceError, notes: Sequence[str], whole: BaseException | None) -> list[str]:
    columns = min(console.width(sys.stderr) or sys.maxsize, _MAX_WIDTH) if sys.stderr.isatty() else None
    first, *more = visible_lines(error.message).split("\n")
    mark = click.style("error:", fg="red", bold=True)
    told = [*_wrapped("error: " + first, columns, ""), *more]
    told[0] = mark + told[0].removeprefix("error:")
    for text in filter(None, (error.hint, *notes)):
        told += _wrapped(visible_lines(text), columns, "  ")
    details = (error.trace or "".join(traceback.format_exception(whole))) if whole else error.details
    if details.strip():
        told += ["", _heading(whole), *visible_lines(details.rstrip()).split("\n")]
    if error.output.strip():
        told += ["", "What the attempt printed:", *visible_lines(error.output.rstrip()).split("\n")]
    return told


def _heading(whole: object) -> str:
    return "The whole traceback:" if whole else "Where, in the job's own code (--traceback shows all):"


def _wrapped(text: str, columns: int | None, indent: str) -> list[str]:
    """Lines of at most so many columns; words, such as paths, stay whole."""
    if columns is None:
        return [indent + text]
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )

"""Text on a stream: in its encoding, in colour only where somebody looks."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

import click

from mapreduce.codec import to_plain

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Terminal(io.FileIO):
    """What is written after the terminal was closed goes nowhere: the signal says that it was."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(data).nbytes


def outlast_terminal() -> None:
    """Let standard output and error, where they are a terminal, take text when it has been closed too."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and stream.isatty():
            raw = io.BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
            lasting = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True)
            setattr(sys, name, lasting)


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Write a line. Characters that the stream's encoding lacks become escapes."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    click.echo(text, stream, color=None if _may_colour() else False)


def writer(stream: TextIO) -> Callable[[str], None]:
    """`say` for a stream: later redirections don't move it."""
    return lambda text: say(text, stream)


def say_json(document: Any, stream: TextIO | None = None) -> None:
    """Write a JSON document. It is ASCII: any terminal, pipe and parser takes it, whatever it tells of."""
    click.echo(json.dumps(document, indent=2, default=to_plain), stream, color=True)


def _may_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sees the stream, on something that can draw."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width(stream: TextIO) -> int | None:
    """Columns of the terminal; None if it is no terminal."""
    return shutil.get_terminal_size((80, 24)).columns if stream.isatty() else None


def bar_mark(stream: TextIO) -> str:
    """What bars are drawn with."""
    try:
        "█▏".encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return "#"
    return "█"

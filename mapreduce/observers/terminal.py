"""Live progress on a terminal: a line for map, shuffle and reduce; gone when the run has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from mapreduce.figures import count, visible
from mapreduce.model import AttemptRecord, Progress
from mapreduce.observers.pace import Line, Pace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

_PATIENCE = 0.5
"""Seconds before anything is drawn: a run that is over by then costs no import of rich."""
_BETWEEN = 0.1
"""Seconds between two pictures."""
_NAME = len("shuffle")
_GAP = "  "
_MARGIN = 3
"""Cells that stay free: a terminal echoes ^C there, and a line that it wrapped could not be erased."""
_BAR = (8, 40)
"""Cells of a bar: at least, at most."""
_USUAL = {"tasks": 3, "amount": 7, "speed": 9, "rate": 14, "left": 10}
"""Fields in their order; their usual widths are kept free, so that the bars don't jump."""
_DISPENSABLE = ("amount", "rate", "speed", "tasks")
"""What a narrow terminal goes without, the first one first."""


class Terminal:
    """An observer that draws on a terminal. A context manager: leaving it erases the picture."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._pace = Pace()
        self._failures: list[str] = []
        self._begin = clock()
        self._drawn = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def progress(self, progress: Progress) -> None:
        """Draw, if it is time."""
        now = self._clock()
        lines = self._pace.lines(progress, now)
        if now - self._begin < _PATIENCE or now - self._drawn < _BETWEEN:
            return
        self._drawn = now
        self._draw(lines)

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """Remember what failed."""
        if attempt.error:
            self._failures.append(attempt.error)

    def printed(self, task: str, text: str) -> None:
        """Write its lines above the picture."""
        for line in text.splitlines():
            self._write(f"{task}: {visible(line)}")

    def stalled(self, task: str, work: str, seconds: float) -> None:
        """Write it above the picture."""
        self._write(f"{task} has not moved for a while; it has worked for {seconds:.0f} s on {visible(work)}")

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(line + "\n")

    def finished(self, result: Any) -> None:
        """Erase the picture."""
        self.close()

    def close(self) -> None:
        """Erase the picture, and show the cursor again. May be called twice."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, lines: Sequence[Line]) -> None:
        if self._live is None:
            self._live = _new_live(self._stream)
            self._live.start()
        console = self._live.console
        self._live.update(picture(lines, self._failures, console), refresh=True)


def _new_live(stream: TextIO) -> Live:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    return Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)


def picture(lines: Sequence[Line], failures: Sequence[str], console: Console) -> Text:
    """The lines, fitted to the console's width."""
    from rich.text import Text

    marks = ("#", "-") if console.encoding.lower() in ("ascii", "us-ascii", "latin-1") else ("━", "─")
    drawn = [_drawn(line, *fitted(lines, console.width), marks) for line in lines]
    if failures:
        text = f"{count(len(failures), 'attempt')} failed and tried again: {visible(failures[-1])}"
        retried = Text(text, style="yellow")
        retried.truncate(console.width - _MARGIN, overflow="ellipsis")
        drawn.append(retried)
    return Text("\n").join(drawn)


def fitted(lines: Sequence[Line], width: int) -> tuple[int, dict[str, int]]:
    """The bar's width and that of every field that there is room for."""
    widths = {name: max(size, *(len(getattr(line, name)) for line in lines)) for name, size in _USUAL.items()}

    def room() -> int:
        return width - _MARGIN - _NAME - len(_GAP) - sum(len(_GAP) + size for size in widths.values())

    for dispensable in _DISPENSABLE:
        if room() >= _BAR[0]:
            break
        widths.pop(dispensable, None)
    return max(0, min(room(), _BAR[1])), widths


def _drawn(line: Line, bar: int, widths: dict[str, int], marks: tuple[str, str]) -> Text:
    from rich.text import Text

    full = int(bar * line.fraction)
    text = Text(f"{line.name:<{_NAME}}{_GAP}", no_wrap=True, overflow="crop")
    text.append(marks[0] * full, style="green" if line.fraction >= 1 else "cyan")
    text.append(marks[1] * (bar - full), style="dim")
    for name, size in widths.items():
        text.append(f"{_GAP}{getattr(line, name):>{size}}", style="bold" if name == "left" else "")
    return text

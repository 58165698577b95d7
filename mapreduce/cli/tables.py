"""Rows and bars as lines of text, fitted to a width."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence

import click

from mapreduce.figures import visible
from mapreduce.rows import Leading, Table, fractions
from mapreduce.rows import table as as_table

_GAP = "  "
_LEAST_COLUMN = 8
_LEAST_BAR = 10
_PLAIN_COLUMN = 60
"""Columns that are aligned where there is no terminal: longer texts stand out, and stay whole."""
_PLAIN_BAR = 40
"""Cells of the longest bar where there is no terminal to fit."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, with an ellipsis if it lost something."""
    if cells(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += cells(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def lines(table: Table, leading: Leading, *, width: int | None, bars: str = "") -> list[str]:
    """A header, a row each; with `bars` (what they are drawn with) a bar for each value.

    width: columns of the terminal; None cuts nothing.
    """
    lengths = fractions(leading.values) if bars and leading.values is not None else []
    sizes = _sizes(table, width, with_bars=bool(lengths))
    header, *rows = [_row(row, sizes, table.numeric, width) for row in (table.columns, *table.rows)]
    if lengths:
        longest = _PLAIN_BAR if width is None else width - sum(sizes) - len(_GAP) * len(sizes)
        drawn = (click.style(bar(length, longest, bars), fg="cyan") for length in lengths)
        rows = [row + _GAP + mark for row, mark in zip(rows, drawn, strict=True)]
    return [click.style(header.rstrip(), bold=True), *(row.rstrip() for row in rows)]


def _sizes(table: Table, width: int | None, *, with_bars: bool) -> list[int]:
    sizes = [max(map(cells, column)) for column in zip(table.columns, *table.rows, strict=True)]
    if width is None:
        return [min(size, _PLAIN_COLUMN) for size in sizes]
    room = width - (len(_GAP) + max(_LEAST_BAR, width // 4) if with_bars else 0)
    return _shrunk(sizes, table.numeric, room - len(_GAP) * (len(sizes) - 1))


def _shrunk(sizes: list[int], numeric: list[bool], room: int) -> list[int]:
    """Widths that fit into `room`: the widest text gives way first; numbers stay whole."""
    sizes = list(sizes)
    while sum(sizes) > room:
        candidates = [i for i, size in enumerate(sizes) if not numeric[i] and size > _LEAST_COLUMN]
        if not candidates:
            break
        sizes[max(candidates, key=lambda i: sizes[i])] -= 1
    return sizes


def _row(texts: Sequence[str], sizes: Sequence[int], numeric: Sequence[bool], width: int | None) -> str:
    fitted = texts if width is None else map(cut, texts, sizes)
    return _GAP.join(map(_aligned, fitted, sizes, numeric))


def _aligned(text: str, size: int, right: bool) -> str:
    space = " " * (size - cells(text))
    return space + text if right else text + space


def bar(length: float, longest: int, mark: str) -> str:
    """A bar of `length` (0 to 1) times `longest` cells, to an eighth of one where the mark is a block."""
    eighths = round(length * longest * 8)
    whole, rest = divmod(eighths, 8)
    if mark != "█":
        return mark * (whole or (eighths > 0))
    return mark * whole + (_EIGHTHS[rest] if rest else "") or ("▏" if length > 0 else "")


def of_rows(rows: Sequence[Mapping[str, object]], width: int | None) -> list[str]:
    """Facts as a table: a column for each name, "-" for an empty text. Nothing for no rows."""
    if not rows:
        return []
    shown = [{name: "-" if value == "" else value for name, value in row.items()} for row in rows]
    leading = Leading(shown, None, "first", len(shown))
    return lines(as_table(leading, separators=width is not None), leading, width=width)


def of_facts(facts: Sequence[tuple[str, str]], width: int | None) -> list[str]:
    """Labels and texts, the texts below one another; an empty text is left out.

    width: columns of the terminal, in which words stay whole; None: each text is one line.
    """
    told = [(label, visible(text)) for label, text in facts if text]
    size = max((len(label) for label, _ in told), default=0)
    found = []
    for label, text in told:
        indent = label.ljust(size) + _GAP
        room = max(_LEAST_COLUMN, (width or sys.maxsize) - len(indent))
        wrapped = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        found += [indent + wrapped[0], *(" " * len(indent) + line for line in wrapped[1:])]
    return found

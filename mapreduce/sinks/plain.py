"""A report as plain text of at most 78 columns: for mail, terminals and printers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mapreduce.figures import shares, visible

if TYPE_CHECKING:
    from mapreduce.sinks.report import Report, Section

WIDTH = 78
_GAP = "  "
_NARROWEST = 12
"""Columns that a table's text keeps; a table that needs more room is written row by row."""


def plain(report: Report) -> str:
    """The whole text, with "\\n" at the end of each line. No text in it can steer a terminal."""
    blocks = [
        _underlined(f"{report.title}: {report.status}", "="),
        _wrapped(visible(report.subtitle), WIDTH),
        _joined([f"{visible(label)} {visible(text)}" for label, text in report.highlights], " · "),
    ]
    if report.functions:
        functions, engine = shares(report.functions, 1 - report.functions)
        blocks.append([f"Time in functions {functions}, in the engine {engine}."])
    blocks += [_section(section) for section in report.sections]
    blocks.append(_wrapped(visible(report.footer), WIDTH))
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block) + "\n"


def _underlined(title: str, rule: str) -> list[str]:
    lines = _wrapped(visible(title), WIDTH)
    return [*lines, rule * max(map(columns, lines))]


def _section(section: Section) -> list[str]:
    note = ["", *_wrapped(visible(section.note), WIDTH)] if section.note else []
    return [*_underlined(section.title, "-"), *_table(section), *note]


def _table(section: Section) -> Iterator[str]:
    rows = [[visible(text) for text in row] for row in (section.columns, *section.rows) if row]
    widths = _widths(rows, section.numeric)
    if widths is None:
        yield from _row_by_row(section.columns or [""] * len(section.numeric), section.rows)
        return
    for row in rows:
        yield from _row(row, section.numeric, widths)


def _widths(rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[int] | None:
    """Columns of the screen for each column of a table. None if it does not fit, its texts wrapped."""
    widths = [max((columns(row[index]) for row in rows), default=0) for index in range(len(numeric))]
    room = WIDTH - len(_GAP) * (len(widths) - 1)
    texts = [index for index, number in enumerate(numeric) if not number]
    while sum(widths) > room:
        widest = max(texts, key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            return None
        widths[widest] -= 1
    return widths


def _row(row: Sequence[str], numeric: Sequence[bool], widths: Sequence[int]) -> Iterator[str]:
    cells = [_wrapped(text, max(width, 1)) for text, width in zip(row, widths, strict=True)]
    for line in range(max(map(len, cells))):
        texts = [cell[line] if line < len(cell) else "" for cell in cells]
        yield _GAP.join(map(_padded, texts, numeric, widths))


def _padded(text: str, number: bool, width: int) -> str:
    space = " " * (width - columns(text))
    return space + text if number else text + space


def _row_by_row(labels: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for index, row in enumerate(rows):
        if index:
            yield ""
        for label, text in zip(labels, row, strict=True):
            first, *more = _wrapped(
                f"{visible(label)}: {visible(text)}" if label else visible(text), WIDTH - 2
            )
            yield first
            yield from (f"  {line}" for line in more)


def _joined(texts: Sequence[str], separator: str) -> list[str]:
    """The texts on as few lines as hold them, each whole where it can be."""
    lines: list[str] = []
    for text in texts:
        if lines and columns(lines[-1] + separator + text) <= WIDTH:
            lines[-1] += separator + text
        else:
            lines += _wrapped(text, WIDTH)
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, between words where that is possible; at least one."""
    lines, line = [], ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if columns(candidate) <= width:
            line = candidate
            continue
        lines += [line] if line else []
        *full, line = _pieces(word, width)
        lines += full
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    pieces, room = [""], width
    for character in word:
        if (wide := _wide(character)) > room:
            pieces.append("")
            room = width
        pieces[-1] += character
        room -= wide
    return pieces


def columns(text: str) -> int:
    """How many columns of a terminal a text without control characters takes."""
    return len(text) if text.isascii() else sum(map(_wide, text))


def _wide(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

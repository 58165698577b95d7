"""A report as Markdown with tables; what is no markup of ours is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mapreduce.figures import shares
from mapreduce.sinks.report import inert

if TYPE_CHECKING:
    from mapreduce.sinks.report import Report, Section


def markdown(report: Report) -> str:
    """The whole text."""
    head = [
        f"# {_escaped(report.title)}",
        f"**{_escaped(report.status)}** · {_escaped(report.subtitle)}",
        " · ".join(f"{_escaped(label)} **{_escaped(text)}**" for label, text in report.highlights),
        ", ".join(f"{number:,} {_escaped(_words(status))}" for status, number in report.counts),
        _time(report.functions),
    ]
    blocks = [block for section in report.sections for block in _section(section)]
    footer = f"---\n\n{_escaped(report.footer)}" if report.footer else ""
    return "\n\n".join(filter(None, [*head, *blocks, footer])) + "\n"


def _words(status: str) -> str:
    return status.lower().replace("_", " ")


def _time(functions: float) -> str:
    if not functions:
        return ""
    shown = shares(functions, 1 - functions)
    return f"Time in functions {shown[0]}, in the engine {shown[1]}."


def _section(section: Section) -> Iterator[str]:
    yield f"## {_escaped(section.title)}"
    if section.timeline:
        yield _escaped(section.timeline.told)
    if section.rows:
        yield _table(section)
    for details in filter(None, section.details or ()):
        yield _fenced(details)
    if section.note:
        yield _escaped(section.note)


def _table(section: Section) -> str:
    rule = ["---:" if numeric else "---" for numeric in section.numeric]
    columns = section.columns or [""] * len(section.numeric)
    rows = [[_escaped(inert(cell)) for cell in row] for row in (columns, *section.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _fenced(lines: str) -> str:
    """Lines as they are, between fences that none of them can close."""
    longest = max(map(len, re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{lines}\n{fence}"


def _escaped(text: str) -> str:
    """Text in which Markdown and HTML see no markup, in a cell of a table too."""
    text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""What a report says, whatever it is written in: a page that can be forwarded, or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapreduce.sinks.timeline import Timeline

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")  # noqa: RUF001 - a spreadsheet takes the wide ones too
_NUMBER = re.compile(r"[+-](?:\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?|inf)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Section:
    """A table with a title; without `columns` it has no head, and its first column tells what is what.

    All text is safe but for markup.
    """

    title: str
    columns: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]
    bars: Sequence[float] | None = None
    """From 0 to 1, one a row."""
    note: str = ""
    status: int | None = None
    """The column that holds a status or an outcome."""
    details: Sequence[str] | None = None
    """One a row, of several lines, "" for none. A page then shows each row as a paragraph, not as a table:
    its first three columns are how many, what kind, and an example."""
    timeline: Timeline | None = None
    folded: bool = False
    """A page shows it when it is asked to."""


@dataclass(frozen=True)
class Report:
    """What a report says. All text is safe but for markup."""

    title: str
    status: str
    subtitle: str
    highlights: Sequence[tuple[str, str]]
    functions: float
    """Share of the workers' time that was spent in the job's functions; the rest is the engine's. 0 if that
    is not known."""
    sections: Sequence[Section]
    footer: str
    counts: Sequence[tuple[str, int]] = ()
    """Jobs by the status in which they ended."""


def render(report: Report, form: str) -> str:
    """The report as "html", "markdown" or "text". The same report gives the same text."""
    if form == "html":
        from mapreduce.sinks.page import page

        return page(report)
    if form == "text":
        from mapreduce.sinks.plain import plain

        return plain(report)
    from mapreduce.sinks.markdown import markdown

    return markdown(report)


def inert(text: str) -> str:
    """A cell that a spreadsheet into which it is pasted takes for text. Numbers stay as they are."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text

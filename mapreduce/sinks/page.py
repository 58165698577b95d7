"""A report as one HTML page: no scripts, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING

from mapreduce.figures import count, shares
from mapreduce.sinks.drawing import drawing
from mapreduce.sinks.report import inert
from mapreduce.sinks.style import STYLE

if TYPE_CHECKING:
    from mapreduce.sinks.report import Report, Section

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TONES = {
    "SUCCEEDED": "good",
    "COMPLETED_WITH_ERRORS": "warn",
    "FAILED": "bad",
    "CANCELLED": "idle",
    "RUNNING": "warn",
    "succeeded": "good",
    "failed": "bad",
    "lost": "bad",
    "stopped": "idle",
}
"""Which colours a status has. Text from outside names no class."""
_UNDONE = ("FAILED", "CANCELLED", "RUNNING")
"""What went wrong is told before the figures."""
_FEW = 5
"""Columns beside which there is much room for bars."""
_ROOM = 300_000
"""Characters for all rows of a page: together with a drawing and the rest it stays below 500 kB."""


def page(report: Report) -> str:
    """The whole document, which stays below 500 kB."""
    title, status = escape(report.title), escape(_words(report.status))
    room = _Room()
    urgent = report.status in _UNDONE
    first = list(takewhile(lambda section: urgent and section.details is not None, report.sections))
    sections = [_section(section, room) for section in report.sections]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}: {status}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<h1><bdi>{title}</bdi></h1>
<p>{_status(report.status)}<bdi>{escape(report.subtitle)}</bdi></p>
</header>
{_counts(report.counts)}{"".join(sections[: len(first)])}{_cards(report.highlights)}{_time(report.functions)}
{"".join(sections[len(first) :])}<footer><p>{escape(report.footer)}</p></footer>
</main>
</body>
</html>
"""


class _Room:
    """How much more may be said."""

    def __init__(self) -> None:
        self._left = _ROOM

    def fitting(self, rows: Iterable[str]) -> list[str]:
        """The first rows, as far as there is room."""
        found = []
        for row in rows:
            if len(row) > self._left:
                break
            self._left -= len(row)
            found.append(row)
        return found


def _words(status: str) -> str:
    return status.replace("_", " ")


def _status(status: str) -> str:
    return f'<span class="status {_TONES.get(status, "idle")}">{escape(_words(status))}</span>'


def _cards(highlights: Sequence[tuple[str, str]]) -> str:
    cards = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in highlights
    )
    return f'<dl class="cards">{cards}</dl>' if cards else ""


def _time(functions: float) -> str:
    """The job's functions against the engine, as one bar."""
    if not functions:
        return ""
    shown = shares(functions, 1 - functions)
    parts = [
        ("bar", functions, f"the job’s functions {shown[0]}"),
        ("rest", 1 - functions, f"the engine {shown[1]}"),
    ]
    return _split("Time of the workers", parts)


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    """How many jobs ended how, as one bar."""
    whole = sum(number for _, number in counts)
    parts = [
        (_TONES.get(status, "idle"), number / whole, f"{_words(status).lower()} {number:,}")
        for status, number in counts
        if number
    ]
    return _split("Jobs by how they ended", parts) if parts else ""


def _split(title: str, parts: Sequence[tuple[str, float, str]]) -> str:
    bar = "".join(f'<span class="{tone}" style="width:{_percent(share)}"></span>' for tone, share, _ in parts)
    legend = "".join(f'<span><i class="{tone}"></i>{escape(text)}</span>\n' for tone, _, text in parts)
    return f"""<section>
<h2>{escape(title)}</h2>
<div class="split" aria-hidden="true">{bar}</div>
<div class="legend">{legend}</div>
</section>
"""


def _section(section: Section, room: _Room) -> str:
    if section.details is not None:
        rows = room.fitting(map(_error, section.rows, section.details))
        body = "".join(rows)
    else:
        rows = room.fitting(_row(section, index) for index in range(len(section.rows)))
        body = _table(section, rows) if rows else ""
    left_out = len(section.rows) - len(rows)
    notes = [section.note, f"{count(left_out, 'more row')}, for which there is no room." if left_out else ""]
    note = "".join(f"<p>{escape(note)}</p>" for note in notes if note)
    figure = drawing(section.timeline) if section.timeline else ""
    title = f"<h2>{escape(section.title)}</h2>"
    if section.folded:
        number = f'<span class="soft">{len(section.rows):,}</span>'
        return f"<section><details><summary>{title}{number}</summary>\n{body}{note}\n</details></section>\n"
    return f"<section>\n{title}\n{figure}{body}{note}\n</section>\n"


def _error(row: Sequence[str], details: str) -> str:
    """A cause of errors: how often and of which kind, an example, what to do, and where in the job's code."""
    times, kind, example, advice = row
    told = f'<p class="advice"><b>What to do:</b> {escape(advice)}</p>' if advice else ""
    code = f"<pre>{escape(details)}</pre>" if details else ""
    return f"""<div class="error">
<h3><span class="number">{escape(times)}&nbsp;×</span>{escape(kind)}</h3>
<p>{escape(example)}</p>{told}{code}
</div>
"""


def _table(section: Section, rows: Sequence[str]) -> str:
    title = escape(section.title)
    head = "".join(
        f'<th scope="col"{_class(numeric)}>{escape(inert(text))}</th>'
        for text, numeric in zip(section.columns, section.numeric, strict=bool(section.columns))
    )
    if section.bars is not None:
        head += '<th scope="col" class="chart"><span>bar</span></th>'
    header = f"<thead><tr>{head}</tr></thead>" if section.columns else ""
    kind = _kind(section)
    body = "\n".join(rows)
    return f"""<div class="scroll" tabindex="0" role="group" aria-label="{title}">
<table class="{kind}">{header}<tbody>
{body}
</tbody></table></div>"""


def _kind(section: Section) -> str:
    """Which of the style's tables it is: one with bars takes the whole width."""
    if not section.columns:
        return "facts"
    if section.bars is None:
        return "plain"
    return "wide" if len(section.columns) <= _FEW else "wide many"


def _row(section: Section, index: int) -> str:
    row = section.rows[index]
    if not section.columns:
        label, *texts = row
        told = "".join(f"<td>{escape(text)}</td>" for text in texts)
        return f'<tr><th scope="row">{escape(label)}</th>{told}</tr>'
    cells = "".join(
        f'<td class="state">{_status(text)}</td>'
        if column == section.status
        else f"<td{_class(numeric)}>{escape(inert(text))}</td>"
        for column, (text, numeric) in enumerate(zip(row, section.numeric, strict=True))
    )
    if section.bars is not None:
        width = _percent(section.bars[index])
        cells += f'<td class="chart"><div style="width:{width}"></div></td>'
    return f"<tr>{cells}</tr>"


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"

"""A report as one HTML page: no scripts, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from mapreduce.figures import shares

if TYPE_CHECKING:
    from mapreduce.sinks.report import Report, Section

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1b2330; --soft: #5c6675; --line: #e3e6eb;
  --bar: #4f7df3; --rest: #d5dcea; --good: #157347; --good-back: #dff3e7; --bad: #b02a37; --bad-back: #fbe3e5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161d; --card: #1b212b; --text: #e6e9ef; --soft: #98a3b3; --line: #2c3440;
    --bar: #6c93ff; --rest: #333d4e; --good: #7fd6a4; --good-back: #173527;
    --bad: #ff9aa5; --bad-back: #42202a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 32px 20px 48px; }
header { margin-bottom: 20px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 10px; }
p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.status { display: inline-block; margin-right: 8px; padding: 1px 10px; border-radius: 999px;
  font-size: 13px; font-weight: 600; letter-spacing: .02em; color: var(--bad); background: var(--bad-back); }
.status.SUCCEEDED { color: var(--good); background: var(--good-back); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin: 0 0 12px; }
.cards div, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.cards div { padding: 12px 16px; }
.cards dt { color: var(--soft); font-size: 13px; }
.cards dd { margin: 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
section { padding: 16px; margin-bottom: 12px; }
section > p { margin-top: 10px; font-size: 13px; }
.split { display: flex; height: 12px; border-radius: 6px; overflow: hidden; background: var(--rest); }
.split span { background: var(--bar); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 8px; color: var(--soft);
  font-size: 14px; }
.legend i { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 3px;
  background: var(--rest); }
.legend .functions { background: var(--bar); }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-size: 13px; font-weight: 600; color: var(--soft); }
th, td { padding: 5px 16px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
td { overflow-wrap: anywhere; min-width: 4em; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.bar { width: 38%; min-width: 90px; }
.bar span { display: block; height: 10px; min-width: 2px; margin-top: 6px; border-radius: 3px;
  background: var(--bar); }
.facts td:first-child { width: 9em; color: var(--soft); overflow-wrap: normal; }
footer p { font-size: 12px; }
@media (max-width: 560px) {
  main { padding: 20px 12px 32px; }
  .cards { grid-template-columns: repeat(2, 1fr); gap: 8px; }
  .cards div { padding: 10px 12px; }
  .cards dd { font-size: 19px; }
  .cards div:last-child:nth-child(odd) { grid-column: span 2; }
  section { padding: 12px; }
  th, td { padding-right: 10px; }
  .bar { width: 26%; min-width: 56px; }
}
@media print { body { background: none; } section, .cards div { break-inside: avoid; } }
"""


def page(report: Report) -> str:
    """The whole document."""
    title = escape(report.title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}: {escape(report.status)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>
<p><span class="status {escape(report.status)}">{escape(report.status)}</span>{escape(report.subtitle)}</p>
</header>
{_cards(report.highlights)}
{_time(report.functions)}
{"".join(map(_section, report.sections))}<footer><p>{escape(report.footer)}</p></footer>
</main>
</body>
</html>
"""


def _cards(highlights: Sequence[tuple[str, str]]) -> str:
    cards = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in highlights
    )
    return f'<dl class="cards">{cards}</dl>'


def _time(functions: float) -> str:
    """The job's functions against the engine, as one bar."""
    shown = shares(functions, 1 - functions)
    return f"""<section>
<h2>Time of the workers</h2>
<div class="split"><span style="width:{_percent(functions)}"></span></div>
<div class="legend"><span><i class="functions"></i>the job’s functions {shown[0]}</span>
<span><i></i>the engine {shown[1]}</span></div>
</section>"""


def _section(section: Section) -> str:
    head = "".join(map(partial(_cell, "th"), section.columns, section.numeric))
    bars: Sequence[float | None] = section.bars or [None] * len(section.rows)
    if section.bars is not None:
        head += '<th class="bar"></th>'
    rows = "\n".join(_row(row, section.numeric, bar) for row, bar in zip(section.rows, bars, strict=True))
    header = f"<thead><tr>{head}</tr></thead>" if section.columns else ""
    opening = "<table>" if section.columns else '<table class="facts">'
    note = f"<p>{escape(section.note)}</p>" if section.note else ""
    return f"""<section>
<h2>{escape(section.title)}</h2>
<div class="scroll">{opening}{header}<tbody>
{rows}
</tbody></table></div>{note}
</section>
"""


def _row(texts: Sequence[str], numeric: Sequence[bool], bar: float | None) -> str:
    cells = "".join(_cell("td", text, right) for text, right in zip(texts, numeric, strict=True))
    if bar is not None:
        cells += f'<td class="bar"><span style="width:{_percent(bar)}"></span></td>'
    return f"<tr>{cells}</tr>"


def _cell(tag: str, text: str, numeric: bool) -> str:
    opening = f'{tag} class="number"' if numeric else tag
    return f"<{opening}>{escape(text)}</{tag}>"


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"

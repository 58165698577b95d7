"""How a report's page looks: in light and dark, on a phone, on a wide screen and on paper."""

from __future__ import annotations

_LIGHT = """
  --page: #f5f6f8; --card: #fff; --text: #1a2230; --soft: #566071; --line: #e1e5eb; --well: #f5f6f8;
  --bar: #4a76e8; --rest: #d5dcea; --good: #136b40; --good-back: #dcf2e5; --good-fill: #2f9e68;
  --warn: #7a4a00; --warn-back: #fcecc9; --warn-fill: #d99000; --bad: #a92433; --bad-back: #fbe1e4;
  --bad-fill: #cf3346; --idle: #4d5767; --idle-back: #e6e9ee; --idle-fill: #8a94a6;
"""
_DARK = """
  --page: #11151c; --card: #1a202a; --text: #e6e9ef; --soft: #9ba6b6; --line: #2b333f; --well: #141922;
  --bar: #6c93ff; --rest: #333d4e; --good: #86dbaa; --good-back: #173527; --good-fill: #3fae78;
  --warn: #f3c667; --warn-back: #3d2f10; --warn-fill: #d99a1c; --bad: #ff9fa9; --bad-back: #45202a;
  --bad-fill: #f0566a; --idle: #b9c2cf; --idle-back: #2b333f; --idle-fill: #77839a;
"""

STYLE = (
    f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
"""
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 36px 24px 48px; }
header { margin-bottom: 20px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 17px; line-height: 1.3; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 0 0 4px; overflow-wrap: anywhere; }
p, figcaption { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
bdi { overflow-wrap: anywhere; }
.status { display: inline-block; padding: 0 9px; border-radius: 999px; font-size: 12px; line-height: 21px;
  font-weight: 600; letter-spacing: .02em; white-space: nowrap; color: var(--idle);
  background: var(--idle-back); }
header .status { margin-right: 8px; font-size: 13px; line-height: 24px; padding: 0 11px; }
.status.good { color: var(--good); background: var(--good-back); }
.status.warn { color: var(--warn); background: var(--warn-back); }
.status.bad { color: var(--bad); background: var(--bad-back); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(134px, 1fr)); gap: 12px;
  margin: 0 0 12px; }
.cards div, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.cards div { padding: 11px 14px; }
.cards dt { color: var(--soft); font-size: 13px; }
.cards dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; line-height: 1.35; }
section { padding: 18px 20px; margin-bottom: 12px; overflow: hidden; }
section > p, figcaption { margin-top: 10px; font-size: 13px; }
.split { display: flex; gap: 2px; height: 12px; border-radius: 6px; overflow: hidden; }
.split span { background: var(--rest); min-width: 3px; }
.split .bar { background: var(--bar); }
.split .good { background: var(--good-fill); }
.split .warn { background: var(--warn-fill); }
.split .bad { background: var(--bad-fill); }
.split .idle { background: var(--idle-fill); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 10px; color: var(--soft);
  font-size: 14px; }
.legend > span { display: inline-flex; align-items: center; gap: 7px; }
.legend i { width: 11px; height: 11px; border-radius: 3px; background: var(--rest); }
.legend i.bar { background: var(--bar); }
.legend i.good { background: var(--good-fill); }
.legend i.warn { background: var(--warn-fill); }
.legend i.bad { background: var(--bad-fill); }
.legend i.idle { background: var(--idle-fill); }
.scroll { position: relative; overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
table { max-width: 100%; border-collapse: collapse; }
table.wide, table.facts { width: 100%; }
th { text-align: left; font-size: 13px; font-weight: 600; color: var(--soft); }
th, td { padding: 6px 24px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
tr > :last-child { padding-right: 0; }
td { overflow-wrap: anywhere; min-width: 7em; }
td + td { min-width: 12em; }
.facts td { min-width: 0; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.number { overflow-wrap: normal; min-width: 0; }
td.state { min-width: 0; white-space: nowrap; }
.chart { width: 40%; }
td.chart { min-width: 80px; }
.many .chart { width: 12%; }
.chart div { height: 10px; min-width: 2px; margin-top: 7px; border-radius: 3px; background: var(--bar); }
th.chart span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
summary { cursor: pointer; }
summary h2 { display: inline; }
summary .soft { margin-left: 8px; font-size: 13px; color: var(--soft); }
summary:focus-visible { outline: 2px solid var(--bar); outline-offset: 3px; border-radius: 4px; }
details[open] summary { margin-bottom: 12px; }
.facts th { width: 9em; font-weight: 400; font-size: 15px; }
.error { padding: 14px 0; border-top: 1px solid var(--line); }
.error:first-of-type { padding-top: 0; border-top: 0; }
.error:last-of-type { padding-bottom: 0; }
.error h3 .number { margin-right: 8px; padding: 1px 8px; border-radius: 6px; font-size: 13px;
  color: var(--bad); background: var(--bad-back); }
.error p { color: var(--text); }
.error .advice { margin-top: 4px; color: var(--soft); }
.error .advice b { font-weight: 600; color: var(--text); }
pre { margin: 10px 0 0; padding: 12px 14px; border-radius: 8px; background: var(--well);
  border: 1px solid var(--line); white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.timeline { margin: 0; }
.lanes { display: grid; grid-template-columns: auto minmax(0, 1fr); column-gap: 10px; }
.lanes svg { display: block; width: 100%; }
.names { text-align: right; font-variant-numeric: tabular-nums; }
.names span { display: block; height: 18px; font-size: 12px; line-height: 18px; color: var(--soft); }
.unit { font-size: 12px; line-height: 20px; color: var(--soft); }
.ticks { position: relative; height: 20px; font-size: 12px; line-height: 20px; color: var(--soft); }
.ticks span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.ticks span:first-child { transform: none; }
.ticks .last { transform: translateX(-100%); }
.grid { stroke: var(--line); fill: none; vector-effect: non-scaling-stroke; }
svg .succeeded { fill: var(--good-fill); }
svg .stopped { fill: var(--idle-fill); }
svg .failed { fill: var(--bad-fill); }
svg .lost { fill: var(--card); stroke: var(--bad-fill); stroke-width: 1.5;
  vector-effect: non-scaling-stroke; }
footer p { font-size: 12px; }
@media (max-width: 560px) {
  main { padding: 20px 12px 32px; }
  h1 { font-size: 24px; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .cards div { padding: 9px 12px; }
  .cards dd { font-size: 18px; }
  .cards div:last-child:nth-child(odd) { grid-column: span 2; }
  section { padding: 14px 14px; }
  th, td { padding-right: 14px; }
  td { min-width: 6.5em; }
  td.chart { min-width: 52px; }
  .chart { width: 22%; }
  .facts th { width: 6.5em; font-size: 14px; }
}
@media print {
  body { background: none; font-size: 12px; }
  main { max-width: none; padding: 0; }
  .error, .cards div, tr, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  .split span, .chart div, .status, i, svg, pre { -webkit-print-color-adjust: exact;
    print-color-adjust: exact; }
}
"""
)

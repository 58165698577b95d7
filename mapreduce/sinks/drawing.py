"""A timeline as a drawing in a page: SVG whose outcomes differ in shape as well as in colour."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapreduce.sinks.timeline import Lane, Span, Timeline

_WIDTH = 1000
_LANE = 18
"""Height of a lane in pixels; the width is the page's."""
_SHAPES = {
    "succeeded": (5.0, 8.0, 1.5),
    "stopped": (7.5, 3.0, 1.5),
    "lost": (2.0, 14.0, 4.0),
    "failed": (1.0, 16.0, 3.0),
}
"""Of each outcome: where in the lane, how high, and how wide at least."""
_STEPS = [
    *(step * 10.0**power for power in range(-3, 1) for step in (1, 2, 5)),
    *(10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 120, 240, 480, 1200, 2400)),
]
_TICKS = 6


def drawing(timeline: Timeline) -> str:
    """The drawing, its axis and legend."""
    lanes = timeline.lanes
    draw = _columns if timeline.thinned else _attempts
    height = len(lanes) * _LANE
    ticks = list(_ticks(timeline.seconds))
    grid = "".join(f"M{_WIDTH * share:.1f} 0v{height}" for share, _ in ticks)
    shapes = "".join(draw(lane, index * _LANE) for index, lane in enumerate(lanes))
    names = "".join(f"<span>{escape(lane.worker)}</span>" for lane in lanes)
    axis = "".join(
        f'<span style="left:{100 * share:.1f}%"{" class=last" if share > 0.9 else ""}>{text}</span>'
        for share, text in ticks
    )
    return f"""<figure class="timeline">
<div class="lanes"><div class="names" aria-hidden="true">{names}</div>
<svg role="img" aria-label="{escape(timeline.told)}" viewBox="0 0 {_WIDTH} {height}" height="{height}"
preserveAspectRatio="none"><path class="grid" d="{grid}"/>{shapes}</svg>
<div class="unit" aria-hidden="true">worker</div><div class="ticks" aria-hidden="true">{axis}</div></div>
<div class="legend">{"".join(_key(*each) for each in timeline.counts)}</div>
<figcaption>{escape(timeline.told)}</figcaption>
</figure>"""


def _attempts(lane: Lane, top: float) -> str:
    return "".join(_attempt(span, top) for span in lane.spans)


def _attempt(span: Span, top: float) -> str:
    below, height, least = _SHAPES[span.outcome]
    width = max(_WIDTH * span.width, least)
    start = min(_WIDTH * span.start, _WIDTH - width)
    return (
        f'<rect class="{span.outcome}" x="{start:.1f}" y="{top + below:g}" width="{width:.1f}" '
        f'height="{height:g}"><title>{escape(span.told)}</title></rect>'
    )


def _columns(lane: Lane, top: float) -> str:
    """Each cell as a column on the lane's ground, and marks over it."""
    paths: dict[str, list[str]] = {}
    for span in lane.spans:
        below, height, _ = _SHAPES[span.outcome]
        if span.outcome == "succeeded":
            height = 13 * span.height
            below = 16 - height
        left, width = _WIDTH * span.start, _WIDTH * span.width
        column = f"M{left:.1f} {top + below:.1f}h{width:.1f}v{height:.1f}H{left:.1f}z"
        paths.setdefault(span.outcome, []).append(column)
    return "".join(f'<path class="{outcome}" d="{"".join(path)}"/>' for outcome, path in paths.items())


def _key(outcome: str, number: int) -> str:
    below, height, _ = _SHAPES[outcome]
    shape = f'<rect class="{outcome}" x="2" y="{below:g}" width="14" height="{height:g}"/>'
    return (
        f'<span><svg class="key" aria-hidden="true" viewBox="0 0 18 18" width="18" height="18">{shape}</svg>'
        f"{outcome} {number:,}</span>"
    )


def _ticks(seconds: float) -> Iterator[tuple[float, str]]:
    """Round times up to the end: the share of the whole at which each stands, and its text."""
    step = next((step for step in _STEPS if seconds / step <= _TICKS), seconds / _TICKS)
    unit, size = ("h", 3600) if step >= 3600 else ("min", 60) if step >= 60 else ("s", 1)
    for tick in takewhile(lambda tick: tick * step <= seconds, range(_TICKS + 1)):
        yield tick * step / seconds, f"{tick * step / size:g} {unit}"

"""Sections that the reports of jobs, of sets and of alerts have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mapreduce.errors import from_plain
from mapreduce.figures import count, visible, visible_lines
from mapreduce.model import ErrorGroup
from mapreduce.sinks.report import Section

LONGEST = 300
"""Characters of one value that are shown."""
TITLE = 120
_CAUSES = 20
_VERSIONS = 50
_LINES = 60
"""Lines of a traceback that are shown: the last ones, which are nearest to the error."""
_LONGEST_DETAILS = 5_000
_DETAILED = 8
"""Causes that are shown with a traceback."""


def shortened(text: str, most: int = LONGEST) -> str:
    """A text from outside as one safe line of at most so many characters."""
    text = visible(text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def without_middle(text: str, most: int = LONGEST) -> str:
    """The same for a path or a URL, whose end says the most."""
    text = visible(text if len(text) <= 2 * most else f"{text[:most]}…{text[-most:]}")
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-half:]}"


def troubles(title: str, groups: Sequence[ErrorGroup]) -> Section:
    """What went wrong, by cause."""
    shown = groups[:_CAUSES]
    rows = [_trouble(group) for group in shown]
    details = [_details(group) if index < _DETAILED else "" for index, group in enumerate(shown)]
    more = len(groups) - len(shown)
    note = f"{count(more, 'more cause')}, named in the manifest." if more > 0 else ""
    columns = ["times", "kind", "example", "what to do"]
    return Section(title, columns, [True, *[False] * 3], rows, note=note, details=details)


def _trouble(group: ErrorGroup) -> tuple[str, str, str, str]:
    example = group.message.split("\n", 1)[0]
    return (
        f"{group.number:,}",
        shortened(group.kind, 80),
        shortened(example, 600),
        shortened(_advice(group), 600),
    )


def _advice(group: ErrorGroup) -> str:
    """What to do; where nobody said it of the error at hand, what helps with its kind."""
    known = from_plain({"kind": group.kind, "message": ""})
    return group.hint or (known.advice if type(known).__name__ == group.kind else "")


def _details(group: ErrorGroup) -> str:
    """The rest of the message, and where the job's own code raised it."""
    rest = group.message.partition("\n")[2]
    lines = "\n".join(filter(None, (rest, group.details))).rstrip("\n").split("\n")
    if len(lines) > _LINES:
        lines = ["…", *lines[-_LINES:]]
    text = visible_lines("\n".join(line[:LONGEST] for line in lines))
    return text if len(text) <= _LONGEST_DETAILS else f"…{text[-_LONGEST_DETAILS:]}"


def versions(packages: Mapping[str, str]) -> Section:
    """What the result's bytes may depend on."""
    rows = [(shortened(name, 80), shortened(version, 80)) for name, version in sorted(packages.items())]
    return Section("Versions", ["package", "version"], [False, False], rows[:_VERSIONS])


def some(rows: Iterable[Section]) -> list[Section]:
    """Those that have something to say."""
    return [section for section in rows if section.rows or section.timeline]

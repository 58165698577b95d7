"""A report of a run as one file: HTML that can be forwarded, or Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mapreduce.errors import JobError, SinkError
from mapreduce.figures import count, duration, error_groups, facts, phases, shares, visible, when
from mapreduce.rows import Leading, fractions, leading, table
from mapreduce.setresult import JobSetResult
from mapreduce.store.local import LocalStore
from mapreduce.units import show_size

if TYPE_CHECKING:
    from mapreduce.model import ErrorGroup, InputFile, Manifest, SetJob, SetManifest
    from mapreduce.result import JobResult

_FORMATS = {".html": "html", ".htm": "html", ".md": "markdown"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_ROWS = 20
_FILES = 100
"""Inputs and parts that are listed by name."""
_LONGEST = 300
"""Characters of one value that are shown."""


class ReportFile:
    """A sink that writes status, times, counters, inputs, parts and the leading records to a file.

    path: its suffix says what it is: `.html`, `.htm` or `.md`. The file appears whole, and replaces
    one of that name. It must not lie in the output's directory, where only parts belong.
    name: of the sink; by default the file's name.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = os.fspath(path)
        suffix = Path(self.path).suffix.lower()
        if suffix not in _FORMATS:
            raise JobError(
                f"ReportFile({self.path!r}): the suffix {suffix!r} is not known.", hint="Use .html or .md."
            )
        self.name = _sink_name(self.path) if name is None else name
        if not _NAME.match(self.name):
            raise JobError(
                f"ReportFile({self.path!r}): name={self.name!r}.",
                hint="Use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or a digit.",
            )
        self._format = _FORMATS[suffix]

    def __repr__(self) -> str:
        return f"ReportFile({self.path!r})"

    def deliver(self, result: JobResult, key: str) -> None:
        """Write the report; the same result gives the same bytes. Raises SinkError, StorageError."""
        target = Path(os.path.abspath(self.path))
        if isinstance(result.place, Path) and target.is_relative_to(os.path.abspath(result.place)):
            raise SinkError(
                f"{self.path} lies in the output's directory, where only parts belong.",
                hint="Write the report beside it.",
            )
        text = render(describe(result), self._format)
        LocalStore(target.parent).put(target.name, text.encode())


def _sink_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", Path(path).name).lstrip("._-")[:100]


# ---------------------------------------------------------------- what it says


@dataclass(frozen=True)
class Section:
    """A table with a title; without `columns` it has no head, and its first column tells what is what.

    `bars` are from 0 to 1, one a row. All text is safe but for markup.
    """

    title: str
    columns: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]
    bars: Sequence[float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What a report says, whatever it is written in."""

    title: str
    status: str
    subtitle: str
    highlights: Sequence[tuple[str, str]]
    functions: float
    """Share of the workers' time that was spent in the job's functions; the rest is the engine's."""
    sections: Sequence[Section]
    footer: str


def describe(result: JobResult | JobSetResult) -> Report:
    """The report of a result. Reads its records. Raises ManifestError."""
    if isinstance(result, JobSetResult):
        return _describe_set(result)
    manifest = result.manifest
    totals = manifest.totals
    spent = totals.user_seconds + totals.engine_seconds
    sections = [
        _errors(error_groups(manifest)),
        *([] if manifest.failure else [_leading(leading(result, _ROWS))]),
        _set_aside(manifest),
        _facts(manifest),
        _counters(manifest),
        _inputs(manifest),
        _parts(manifest),
    ]
    return Report(
        title=manifest.job,
        status=manifest.status.value,
        subtitle=f"{when(manifest.started)} · run {visible(manifest.run_id)}",
        highlights=_highlights(manifest),
        functions=totals.user_seconds / spent if spent > 0 else 0.0,
        sections=[section for section in (*sections, _versions(manifest)) if section.rows],
        footer=f"Manifest {manifest.digest}",
    )


def _describe_set(result: JobSetResult) -> Report:
    manifest = result.manifest
    sections = [_errors(result.errors), _jobs(manifest.jobs), _versions(manifest)]
    return Report(
        title=manifest.jobset,
        status=manifest.status.value,
        subtitle=f"{when(manifest.started)} · run {visible(manifest.run_id)}",
        highlights=[
            ("time", duration(manifest.seconds.get("total", 0.0))),
            ("jobs", f"{len(manifest.jobs):,}"),
            *(
                (status.value.lower().replace("_", " "), f"{number:,}")
                for status, number in result.counts.items()
                if number
            ),
            ("records in", f"{sum(job.records_in for job in manifest.jobs):,}"),
            ("records out", f"{sum(job.records_out for job in manifest.jobs):,}"),
        ],
        functions=0.0,
        sections=[section for section in sections if section.rows],
        footer=f"Manifest {manifest.digest}",
    )


def _errors(groups: Sequence[ErrorGroup]) -> Section:
    rows = [
        (f"{group.number:,}", visible(group.kind), _cut(visible(group.message)), _cut(visible(group.hint)))
        for group in groups
    ]
    return Section("What went wrong", ["times", "kind", "example", "what to do"], [True, *[False] * 3], rows)


def _jobs(jobs: Sequence[SetJob]) -> Section:
    rows = [
        (
            visible(job.name),
            job.status.value,
            f"{job.records_in:,}",
            f"{job.records_out:,}",
            duration(job.seconds),
            visible(job.place),
        )
        for job in jobs
    ]
    columns = ["job", "status", "records in", "records out", "time", "result"]
    return Section("Jobs", columns, [False, False, True, True, True, False], rows)


def _highlights(manifest: Manifest) -> list[tuple[str, str]]:
    totals = manifest.totals
    return [
        ("time", duration(manifest.seconds.get("total", 0.0))),
        ("records in", f"{totals.records_in:,}"),
        ("records out", f"{totals.records_out:,}"),
        *([("pairs", f"{totals.pairs:,}")] if manifest.tasks.get("reduce") else []),
        ("input", show_size(totals.bytes_in)),
        ("output", show_size(totals.bytes_out)),
    ]


def _leading(found: Leading) -> Section:
    rows = table(found)
    bars = fractions(found.values) if found.values is not None else None
    whole = len(found.records) == found.total
    order = {"largest": "Largest values", "first": "First records"}[found.order]
    note = "" if whole else f"{len(found.records):,} of {found.total:,} records."
    return Section(order, rows.columns, rows.numeric, [list(map(_cut, row)) for row in rows.rows], bars, note)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _facts(manifest: Manifest) -> Section:
    rows = [("wall time", phases(manifest)), *facts(manifest)]
    return Section("Run", [], [False, False], [row for row in rows if row[0] != "counters"])


def _set_aside(manifest: Manifest) -> Section:
    rows = [
        (_cut(visible(str(bad.location))), _cut(visible(bad.error)), _cut(visible(bad.record)))
        for bad in manifest.bad[:_ROWS]
    ]
    total = manifest.totals.set_aside
    files = f"{count(len(manifest.set_aside), 'file')} beside the parts"
    note = f"{len(rows):,} of {total:,} records; all are in {files}." if total > len(rows) else ""
    return Section("Records set aside", ["place", "error", "record"], [False] * 3, rows, note=note)


def _counters(manifest: Manifest) -> Section:
    rows = [(visible(name), f"{number:,}") for name, number in manifest.counters.items()]
    return Section("Counters", ["counter", "count"], [False, True], rows)


def _inputs(manifest: Manifest) -> Section:
    shown = manifest.inputs[:_FILES]
    columns = ["file", "size", "packed"] if any(file.compression for file in shown) else ["file", "size"]
    numeric = [column == "size" for column in columns]
    rows = [_input(file)[: len(columns)] for file in shown]
    return Section("Inputs", columns, numeric, rows, note=_more(manifest.inputs))


def _input(file: InputFile) -> tuple[str, str, str]:
    if file.uri == "records:":
        return "records in memory", count(file.size, "item"), ""
    return visible(file.uri), show_size(file.size), file.compression


def _parts(manifest: Manifest) -> Section:
    rows = [
        (visible(part.name), f"{part.records:,}", show_size(part.size), part.digest[:8])
        for part in manifest.parts[:_FILES]
    ]
    columns = ["part", "records", "size", "sha256"]
    return Section("Parts", columns, [False, True, True, True], rows, note=_more(manifest.parts))


def _versions(manifest: Manifest | SetManifest) -> Section:
    rows = [(visible(name), visible(version)) for name, version in sorted(manifest.versions.items())]
    return Section("Versions", ["package", "version"], [False, False], rows)


def _more(files: Sequence[object]) -> str:
    return f"{count(len(files) - _FILES, 'more file')}, named in the manifest." if len(files) > _FILES else ""


def render(report: Report, form: str) -> str:
    """The report as "html" or "markdown"."""
    if form == "html":
        from mapreduce.sinks.page import page

        return page(report)
    return markdown(report)


# ---------------------------------------------------------------- Markdown


def markdown(report: Report) -> str:
    """The report as Markdown with tables; what is no markup of ours is escaped."""
    functions, engine = shares(report.functions, 1 - report.functions)
    head = [
        f"# {_escaped(report.title)}",
        f"**{_escaped(report.status)}** · {_escaped(report.subtitle)}",
        " · ".join(f"{_escaped(label)} **{_escaped(text)}**" for label, text in report.highlights),
        f"Time in functions {functions}, in the engine {engine}.",
    ]
    blocks = [block for section in report.sections for block in _markdown_section(section)]
    return "\n\n".join([*head, *blocks, f"---\n\n{_escaped(report.footer)}"]) + "\n"


def _markdown_section(section: Section) -> list[str]:
    rule = ["---:" if numeric else "---" for numeric in section.numeric]
    columns = section.columns or [""] * len(section.numeric)
    rows = [list(map(_escaped, row)) for row in (columns, *section.rows)]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
    note = [_escaped(section.note)] if section.note else []
    return [f"## {_escaped(section.title)}", "\n".join(lines), *note]


def _escaped(text: str) -> str:
    """Text in which Markdown and HTML see no markup, in a cell of a table too."""
    text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

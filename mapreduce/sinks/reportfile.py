"""A report in a file: a page that can be forwarded, Markdown, or facts for programs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mapreduce.errors import JobError, SinkError, SinkRefused, StorageError
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.news import News, Result
from mapreduce.sinks.report import render
from mapreduce.sinks.teller import Teller
from mapreduce.store.local import LocalStore
from mapreduce.store.urls import folder_or_url

_FORMATS = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}


class ReportFile(Teller):
    """Writes what a job, or a set of jobs, came to into a file, also if it failed or was cancelled.

    path: its suffix says what it is: `.html`, `.htm`, `.md`, or `.json` for the facts alone. The file
    appears whole, and replaces one of that name. It must not lie in an output's directory, where only
    parts belong. Cells that a spreadsheet would take for a formula begin with an apostrophe.
    name: of the sink; by default the file's name.
    """

    remote = False

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = os.fspath(path)
        suffix = Path(self.path).suffix.lower()
        if suffix not in _FORMATS:
            raise JobError(
                f"ReportFile({self.path!r}): the suffix {suffix!r} is not known.",
                hint="Use .html, .md or .json.",
            )
        super().__init__(_sink_name(self.path) if name is None else name)
        self._format = _FORMATS[suffix]

    def __repr__(self) -> str:
        return f"ReportFile({self.path!r})"

    def deliver(self, result: Result, key: str) -> None:
        """Write the report; the same result gives the same bytes. Raises SinkError."""
        target = Path(os.path.abspath(self.path))
        for output in _outputs(result):
            if isinstance(output, Path) and target.is_relative_to(os.path.abspath(output)):
                raise SinkRefused(
                    f"{self.path} lies in the output's directory {output}, where only parts belong.",
                    hint="Write the report beside it.",
                )
        super().deliver(result, key)

    def tell(self, news: News, key: str) -> None:
        """Write the news. Raises SinkError."""
        target = Path(os.path.abspath(self.path))
        try:
            LocalStore(target.parent).put(target.name, _written(news, self._format))
        except StorageError as error:
            raise SinkError(
                f"The report {self.path} was not written: {error.message}",
                hint="Give a path in a folder that may be written to, and that has room.",
            ) from error


def _outputs(result: Result) -> Iterator[Path | str]:
    if isinstance(result, JobSetResult):
        yield from (folder_or_url(job.place) for job in result.jobs if job.place)
    else:
        yield result.place


def _written(news: News, form: str) -> bytes:
    if form == "json":
        text = json.dumps(news.facts, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        return text.encode("utf-8", "backslashreplace")  # "\ud800", as JSON writes it too
    return render(news.report, form).encode()


def _sink_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", Path(path).name).lstrip("._-")[:100]

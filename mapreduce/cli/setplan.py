"""`mapreduce plan` of a JobSet: what each of its jobs would read and write, before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapreduce.cli.plan import Outlook, free_space, look_ahead

if TYPE_CHECKING:
    from mapreduce.job import Job
    from mapreduce.jobset import JobSet
    from mapreduce.place import Place

_SHOWN_JOBS = 20
_MEANING = {"continue": "the others run, but for those that read its output", "stop": "no other is begun"}


@dataclass(frozen=True)
class JobOutlook:
    """What is known of a job of a set: a plan, or what it waits for, or why it can't be planned."""

    name: str
    output: str
    """The folder or URL; "" if its result is kept with its run."""
    after: tuple[str, ...] = ()
    """Jobs whose output it reads: what that will be is not known yet."""
    outlook: Outlook | None = None
    error: dict[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """The facts as plain data."""
        facts = {"job": self.name, "output": self.output or None}
        if self.outlook is not None:
            facts |= self.outlook.document()
        return facts | {"after": list(self.after), "error": self.error}

    def row(self) -> dict[str, str]:
        """The facts for people."""
        from mapreduce.figures import count
        from mapreduce.observers.summary import shown_path
        from mapreduce.units import show_size

        read = tasks = ""
        if self.after:
            more = f" and {len(self.after) - 3:,} more" if len(self.after) > 3 else ""
            read = f"what {', '.join(self.after[:3])}{more} will write"
        elif self.error is not None:
            read = "can't be planned"
        elif self.outlook is not None:
            plan = self.outlook.plan
            files = [file for file in plan.inputs if file.uri != "records:"]
            read = f"{count(len(files), 'file')}, {show_size(self.outlook.bytes_in)}"
            if self.outlook.items or not files:
                read = f"{count(self.outlook.items, 'record')} in memory"
            reduces = f", {count(plan.shards, 'reduce')}" if plan.shards else ""
            tasks = f"{count(len(plan.splits), 'map')}{reduces}"
        taken = " (taken)" if self.outlook is not None and self.outlook.taken else ""
        output = shown_path(Path(self.output)) if self.output.startswith("/") else self.output
        return {
            "job": self.name,
            "reads": read,
            "tasks": tasks,
            "output": f"{output}{taken}" if output else "",
        }


@dataclass(frozen=True)
class SetOutlook:
    """What is known before a run of a set."""

    name: str
    on_failure: str
    place: Place
    workers: int
    jobs: tuple[JobOutlook, ...]
    """In the order in which they would run."""
    free: int | None
    """Bytes free on the disk of the set's manifest; None: it goes to a bucket."""

    @property
    def wrong(self) -> list[JobOutlook]:
        """Jobs that would fail before they begin."""
        return [job for job in self.jobs if job.error is not None]

    @property
    def bytes_in(self) -> int:
        """Stored bytes of the input that is known."""
        return sum(job.outlook.bytes_in for job in self.jobs if job.outlook)

    def document(self) -> dict[str, Any]:
        """The facts as plain data."""
        return {
            "jobset": self.name,
            "on_failure": self.on_failure,
            "jobs": [job.document() for job in self.jobs],
            "input_bytes": self.bytes_in,
            "workers": self.workers,
            "output": None if self.place.kept else str(self.place.output),
            "free_bytes": self.free,
        }

    def lines(self) -> Iterator[str]:
        """The facts for people."""
        from mapreduce.cli import console, tables
        from mapreduce.figures import count, visible, visible_lines
        from mapreduce.observers.summary import shown_path
        from mapreduce.units import show_size

        waiting = sum(bool(job.after) for job in self.jobs)
        planned = [job.outlook for job in self.jobs if job.outlook]
        tasks = sum(len(outlook.plan.splits) + outlook.plan.shards for outlook in planned)
        later = f", {waiting:,} of them after others" if waiting else ""
        known = ", as far as it is known" if waiting else ""
        where = self.place.root if self.place.kept else self.place.output
        room = "" if self.free is None else f", {show_size(self.free)} free"
        facts = [
            ("  jobs", f"{len(self.jobs):,}{later}"),
            ("  input", f"{show_size(self.bytes_in)}, {count(tasks, 'task')}{known}"),
            ("  workers", f"{self.workers:,}"),
            ("  if one fails", _MEANING.get(self.on_failure) or f"{self.on_failure} of all may"),
            ("  manifest", f"{visible(shown_path(where))}{room}"),
        ]
        yield f"{self.name}: this is the plan, nothing has run"
        yield from tables.of_facts(facts, console.width(sys.stdout))
        yield ""
        shown = [job for number, job in enumerate(self.jobs) if number < _SHOWN_JOBS or job.error]
        yield from tables.of_rows([job.row() for job in shown], console.width(sys.stdout))
        if len(shown) < len(self.jobs):
            yield f"… and {count(len(self.jobs) - len(shown), 'job')} more; --json has all"
        for job in self.wrong:
            if error := job.error:
                yield f"{job.name}: {visible_lines(error['message'])} {visible(error['hint'])}".rstrip()


def look_ahead_set(
    jobset: JobSet, *, workers: int | None, limit: int | None, work: Path | None = None
) -> SetOutlook:
    """Plan the jobs of a set that can be planned now."""
    from datetime import UTC, datetime

    from mapreduce import host
    from mapreduce.jobset import order
    from mapreduce.place import place_to
    from mapreduce.plan import new_run_id

    path = None if jobset.output is None else str(jobset.output)
    place = place_to(path, f"@{jobset.name}", new_run_id(datetime.now(UTC)), work)
    by_name = {job.name: job for job in jobset.jobs}
    return SetOutlook(
        jobset.name,
        str(jobset.on_failure),
        place,
        workers or host.processors(),
        tuple(_look(by_name[name], after, limit, work) for name, after in order(jobset).items()),
        free_space(place.output) if isinstance(place.output, Path) else None,
    )


def _look(job: Job, after: tuple[str, ...], limit: int | None, work: Path | None) -> JobOutlook:
    from mapreduce.errors import MapReduceError
    from mapreduce.jobset import output_of

    output = output_of(job) or ""
    if after:
        return JobOutlook(job.name, output, after)
    try:
        return JobOutlook(job.name, output, outlook=look_ahead(job, workers=None, limit=limit, work=work))
    except MapReduceError as error:
        plain = error.to_plain()
        return JobOutlook(job.name, output, error={name: plain[name] for name in ("kind", "message", "hint")})

"""`mapreduce plan`: what a run would do, before anything runs."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.cli.setplan import SetOutlook
    from mapreduce.job import Job
    from mapreduce.model import Plan
    from mapreduce.place import Place

_SHOWN_FILES = 5


@click.command(short_help="Show what a run would do, before it does.")
@options.job
@options.work
@options.as_json
@options.traceback
def plan(
    file: str,
    source: tuple[str, ...],
    output: str | None,
    shards: int | None,
    workers: int | None,
    limit: int | None,
    settings: tuple[str, ...],
    work: str | None,
    as_json: bool,
) -> int:
    """Show what a run would read and write: splits, shards, bytes, free space. Nothing runs.

    Of a JobSet: each job that does not wait for another one's output. Exit code 1: a job can't be planned.
    """
    from mapreduce.cli import console
    from mapreduce.cli.jobfile import load_job
    from mapreduce.cli.setplan import look_ahead_set
    from mapreduce.jobset import JobSet

    outlook: Outlook | SetOutlook
    place = None if work is None else Path(work)
    code = 0
    with redirect_stdout(sys.stderr):
        found = load_job(file, settings=settings, source=source, output=output, shards=shards)
        if isinstance(found, JobSet):
            outlook = look_ahead_set(found, workers=workers, limit=limit, work=place)
            code = 1 if outlook.wrong else 0
        else:
            outlook = look_ahead(found, workers=workers, limit=limit, work=place)
    if as_json:
        console.say_json(outlook.document())
    else:
        for line in outlook.lines():
            console.say(line)
    return code


@dataclass(frozen=True)
class Outlook:
    """What is known before a run."""

    plan: Plan
    place: Place
    workers: int
    taken: str
    """Why the output can't be written to; "" if it can."""
    free: int | None
    """Bytes free on the output's disk; None: it is a bucket."""
    free_work: int
    """Bytes free on the disk of the run's own files."""

    @property
    def bytes_in(self) -> int:
        """Stored bytes of the input."""
        return sum(file.size for file in self.plan.inputs if file.uri != "records:")

    @property
    def items(self) -> int:
        """Records in memory."""
        return sum(file.size for file in self.plan.inputs if file.uri == "records:")

    @property
    def largest_split(self) -> int:
        """Stored bytes, or records in memory."""
        return max((split.size for split in self.plan.splits), default=0)

    def document(self) -> dict[str, Any]:
        """The facts as plain data."""
        from mapreduce.codec import to_plain

        return {
            "job": self.plan.job,
            "inputs": to_plain(self.plan.inputs),
            "input_bytes": self.bytes_in,
            "records_in_memory": self.items,
            "splits": len(self.plan.splits),
            "largest_split": self.largest_split,
            "shards": self.plan.shards,
            "parts": self.plan.parts,
            "workers": self.workers,
            "output": None if self.place.kept else str(self.place.output),
            "output_taken": self.taken,
            "free_bytes": self.free,
            "work": str(self.place.root),
            "work_free_bytes": self.free_work,
        }

    def lines(self) -> list[str]:
        """The facts for people."""
        from mapreduce.figures import count, visible
        from mapreduce.observers.summary import shown_path

        shards = self.plan.shards
        facts = [
            ("input", self._input()),
            *(("", text) for text in self._files()),
            ("splits", self._splits()),
            ("shards", count(shards, "reduce task") if shards else "none: the job has no reduce"),
            ("parts", f"{self.plan.parts:,}"),
            ("workers", f"{self.workers:,}"),
            ("output", self._output()),
            *([("", visible(self.taken))] if self.taken else []),
            *([] if self.free is None else [("", self._space(self.free))]),
            ("work", f"{visible(shown_path(self.place.root))}, while it runs"),
            ("", self._space(self.free_work)),
        ]
        return [
            f"{self.plan.job}: this is the plan, nothing has run",
            *(f"  {label:<10}  {text}" for label, text in facts),
        ]

    def _space(self, free: int) -> str:
        from mapreduce.units import show_size

        tight = f", less than the input's {show_size(self.bytes_in)}" if free < self.bytes_in else ""
        return f"{show_size(free)} free{tight}"

    def _input(self) -> str:
        from mapreduce.figures import count
        from mapreduce.units import show_size

        files = [file for file in self.plan.inputs if file.uri != "records:"]
        if self.items or not files:
            return f"{count(self.items, 'record')} in memory"
        packed = sum(bool(file.compression) for file in files)
        cut = len({split.file.uri for split in self.plan.splits if split.stretch})
        how = f"{cut:,} of them cut" if cut else "one split each"
        note = f", {packed:,} compressed ({how})" if packed else ""
        return f"{count(len(files), 'file')}, {show_size(self.bytes_in)}{note}"

    def _files(self) -> list[str]:
        from mapreduce.figures import visible
        from mapreduce.units import show_size

        files = [file for file in self.plan.inputs if file.uri != "records:"]
        shown = [f"{visible(file.uri)} ({show_size(file.size)})" for file in files[:_SHOWN_FILES]]
        more = len(files) - len(shown)
        return [*shown, *([f"… and {more:,} more"] if more else [])]

    def _splits(self) -> str:
        from mapreduce.figures import count
        from mapreduce.units import show_size

        tasks = count(len(self.plan.splits), "map task")
        if not self.plan.splits:
            return tasks
        largest = count(self.largest_split, "record") if self.items else show_size(self.largest_split)
        return f"{tasks} of up to {largest}"

    def _output(self) -> str:
        from mapreduce.figures import visible
        from mapreduce.observers.summary import shown_path

        if self.place.kept:
            return f"kept with the run, in {visible(shown_path(self.place.root))}"
        return f"{visible(shown_path(self.place.output))} ({'taken' if self.taken else 'free'})"


def look_ahead(job: Job, *, workers: int | None, limit: int | None, work: Path | None = None) -> Outlook:
    """Plan a job and look at the place it writes to. Raises JobError, InputError."""
    from mapreduce import host
    from mapreduce.errors import OutputExists
    from mapreduce.place import check_output, place_of
    from mapreduce.plan import make_plan, new_run_id
    from mapreduce.signatures import check_signatures

    check_signatures(job)
    place = place_of(job, new_run_id(datetime.now(UTC)), work)
    try:
        check_output(place, overwrite=False)
        taken = ""
    except OutputExists as error:
        taken = str(error)
    made = make_plan(job, place.run_id, limit)
    useful = max(1, len(made.splits), made.shards)
    return Outlook(
        plan=made,
        place=place,
        workers=min(workers or host.processors(), useful),
        taken=taken,
        free=free_space(place.output) if isinstance(place.output, Path) else None,
        free_work=free_space(place.root),
    )


def free_space(directory: Path) -> int:
    """Bytes that may be written to a directory's disk; of the nearest parent that is there."""
    while not os.path.isdir(directory) and directory != directory.parent:
        directory = directory.parent
    return shutil.disk_usage(directory).free

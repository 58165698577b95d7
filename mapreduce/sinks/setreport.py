"""The report of a JobSet's run: how many jobs ended how, why, and where the results lie."""

from __future__ import annotations

from collections.abc import Sequence

from mapreduce.figures import count, duration, when
from mapreduce.model import SetJob, SetManifest, Status
from mapreduce.rows import fractions
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.report import Report, Section
from mapreduce.sinks.sections import TITLE, shortened, some, troubles, versions, without_middle

_JOBS = 200
"""Jobs that are listed; those that failed or were cancelled come first."""
_ORDER = (Status.FAILED, Status.CANCELLED, Status.COMPLETED_WITH_ERRORS, Status.SUCCEEDED)
_NAME, _PLACE = 100, 120


def report_of_set(result: JobSetResult) -> Report:
    """What there is to say of a set."""
    manifest = result.manifest
    counts = [(status.value, number) for status, number in result.counts.items() if number]
    ended = [manifest.failure] if manifest.failure else []
    sections = [
        troubles("What went wrong", [*ended, *result.errors]),
        _without_result(manifest.jobs),
        _jobs(manifest.jobs),
        _run(manifest, str(result.place)),
        versions(manifest.versions),
    ]
    return Report(
        title=shortened(manifest.jobset, TITLE),
        status=manifest.status.value,
        subtitle=f"{when(manifest.started[:40])} · run {shortened(manifest.run_id)}",
        highlights=[
            ("time", duration(manifest.seconds.get("total", 0.0))),
            ("jobs", f"{len(manifest.jobs):,}"),
            ("records in", f"{sum(job.records_in for job in manifest.jobs):,}"),
            ("records out", f"{sum(job.records_out for job in manifest.jobs):,}"),
        ],
        functions=0.0,
        sections=some(sections),
        footer=f"Manifest {shortened(manifest.digest)}",
        counts=counts,
    )


def _without_result(jobs: Sequence[SetJob]) -> Section:
    failed = [job for job in jobs if job.status in (Status.FAILED, Status.CANCELLED)]
    failed.sort(key=lambda job: _ORDER.index(job.status))
    rows = [(shortened(job.name, _NAME), job.status.value, _why(job)) for job in failed[:_JOBS]]
    note = _more(len(failed) - len(rows), "more such job")
    return Section("Jobs without a result", ["job", "status", "why"], [False] * 3, rows, note=note, status=1)


def _why(job: SetJob) -> str:
    if job.errors:
        return shortened(job.errors[0].message.split("\n", 1)[0])
    if job.without:
        return f"it reads {_names(job.without)}, without a result"
    return "" if job.run_id else "it was not run"


def _jobs(jobs: Sequence[SetJob]) -> Section:
    shown = sorted(jobs, key=lambda job: _ORDER.index(job.status))[:_JOBS]
    rows = [_job(job) for job in shown]
    columns = ["job", "status", "time", "records in", "records out", "result", "reads"]
    numeric = [False, False, True, True, True, False, False]
    if not any(row[-1] for row in rows):
        columns, numeric, rows = columns[:-1], numeric[:-1], [row[:-1] for row in rows]
    bars = fractions([0.0 if job.kept else job.seconds for job in shown])
    note = _more(len(jobs) - len(shown), "more job")
    return Section("Jobs", columns, numeric, rows, bars, note, status=1)


def _job(job: SetJob) -> tuple[str, ...]:
    without = f"; without {_names(job.without)}" if job.without else ""
    return (
        shortened(job.name, _NAME),
        job.status.value,
        "kept" if job.kept else duration(job.seconds) if job.run_id else "",
        f"{job.records_in:,}",
        f"{job.records_out:,}",
        without_middle(job.place, _PLACE),
        f"{_names(job.reads)}{without}".removeprefix("; "),
    )


def _names(jobs: Sequence[str]) -> str:
    named = ", ".join(shortened(name, _NAME) for name in jobs[:3])
    return f"{named} and {len(jobs) - 3:,} more" if len(jobs) > 3 else named


def _run(manifest: SetManifest, place: str) -> Section:
    total = sum(job.seconds for job in manifest.jobs)
    rows = [
        ("manifest in", without_middle(place)),
        ("workers", f"{manifest.workers:,}"),
        ("time of all jobs", duration(total)),
        ("on failure", shortened(manifest.on_failure)),
        ("kept", _kept(manifest.jobs)),
        ("resumed", f"{count(manifest.resumed, 'time')}" if manifest.resumed else ""),
    ]
    return Section("Run", [], [False, False], [row for row in rows if row[1]])


def _kept(jobs: Sequence[SetJob]) -> str:
    kept = sum(job.kept for job in jobs)
    return f"{count(kept, 'job')}, done in an earlier run" if kept else ""


def _more(number: int, noun: str) -> str:
    return f"{count(number, noun)}, named in the manifest." if number > 0 else ""

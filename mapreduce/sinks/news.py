"""What sinks tell: in one line, as a page, and as facts for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mapreduce.codec import to_plain
from mapreduce.figures import count, duration, error_groups, visible
from mapreduce.model import ErrorGroup, Status
from mapreduce.result import JobResult
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.jobreport import report_of_job
from mapreduce.sinks.report import Report
from mapreduce.sinks.sections import troubles
from mapreduce.sinks.setreport import report_of_set

Result = JobResult | JobSetResult


@dataclass(frozen=True)
class News:
    """What a sink tells. Texts are safe for a terminal; a page must still escape its own markup."""

    event: str
    """"run.succeeded", "run.completed_with_errors", "run.failed", "run.cancelled", "run.alert", and the same
    for "jobset"."""
    subject: str
    """One line, no control characters."""
    report: Report
    facts: dict[str, Any]
    """A JSON object: event, name, run_id, status, figures, errors."""


@dataclass(frozen=True)
class Alert:
    """Something failed for a new reason, while the run still goes on."""

    job: str
    run_id: str
    jobset: str
    """Name of the JobSet; "" for a job by itself."""
    error: ErrorGroup
    when: str
    """UTC, ISO 8601."""


def news_of(result: Result) -> News:
    """What there is to tell of a result. Reads its records, to show some. Raises ManifestError."""
    if isinstance(result, JobSetResult):
        return _of_set(result)
    return _of_job(result)


def _of_job(result: JobResult) -> News:
    manifest = result.manifest
    totals = manifest.totals
    took = duration(manifest.seconds.get("total", 0.0))
    if manifest.failure is None:
        told = f"{count(totals.records_in, 'record')} in, {totals.records_out:,} out, in {took}"
        if totals.set_aside:
            told += f"; {count(totals.set_aside, 'bad record')} set aside"
    else:
        told = _first_line(manifest.failure.message)
    facts = {
        "event": _event("run", manifest.status),
        "name": manifest.job,
        "run_id": manifest.run_id,
        "status": manifest.status.value,
        "manifest": manifest.digest,
        "started": manifest.started,
        "seconds": manifest.seconds,
        "place": str(result.place),
        "totals": to_plain(totals),
        "counters": manifest.counters,
        "parts": [part.name for part in manifest.parts],
        "errors": to_plain(error_groups(manifest)),
    }
    subject = _subject(manifest.job, manifest.status, told)
    return News(_event("run", manifest.status), subject, report_of_job(result), facts)


def _of_set(result: JobSetResult) -> News:
    manifest = result.manifest
    counts = result.counts
    told = ", ".join(f"{number:,} {_word(status)}" for status, number in counts.items() if number)
    took = duration(manifest.seconds.get("total", 0.0))
    facts = {
        "event": _event("jobset", manifest.status),
        "name": manifest.jobset,
        "run_id": manifest.run_id,
        "status": manifest.status.value,
        "manifest": manifest.digest,
        "started": manifest.started,
        "seconds": manifest.seconds,
        "place": str(result.place),
        "counts": {status.value: number for status, number in counts.items()},
        "errors": to_plain(result.errors),
        "jobs": to_plain(manifest.jobs),
    }
    subject = _subject(
        manifest.jobset, manifest.status, f"{count(len(manifest.jobs), 'job')}: {told}, in {took}"
    )
    return News(facts["event"], subject, report_of_set(result), facts)


def news_of_alert(alert: Alert) -> News:
    """What there is to tell of a failure while the run goes on."""
    of_set = bool(alert.jobset)
    name = f"{alert.jobset}: {alert.job}" if of_set else alert.job
    event = "jobset.alert" if of_set else "run.alert"
    facts = {
        "event": event,
        "name": alert.jobset or alert.job,
        "job": alert.job,
        "run_id": alert.run_id,
        "status": "RUNNING",
        "when": alert.when,
        "errors": [to_plain(alert.error)],
    }
    error = alert.error
    report = Report(
        title=visible(name),
        status="RUNNING",
        subtitle=f"run {visible(alert.run_id)} goes on",
        highlights=[],
        functions=0.0,
        sections=[troubles("Failed, while the run goes on", [error])],
        footer=visible(alert.when),
    )
    return News(event, _line(f"{name} goes on, but: {_first_line(error.message)}"), report, facts)


def _event(what: str, status: Status) -> str:
    return f"{what}.{status.value.lower()}"


def _subject(name: str, status: Status, told: str) -> str:
    return _line(f"{name} {_word(status)}: {told}")


def _word(status: Status) -> str:
    return status.value.lower().replace("_", " ")


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


_LONGEST = 200


def _line(text: str) -> str:
    text = visible(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

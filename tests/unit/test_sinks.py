"""Sinks: told after the commit, each on its own, with a mark and a constant key."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import samples

from mapreduce import Job, JobResult, Log, Records, Sum, run
from mapreduce.errors import JobError
from mapreduce.model import ErrorGroup, Status
from mapreduce.sinks.delivery import deliver_all, idempotency_key
from mapreduce.sinks.news import Alert
from mapreduce.store import open_store


def job(*sinks: Any) -> Job:
    return Job("told", Records(["a"]), lambda line: [(line, 1)], Sum(), "out", sinks=sinks)


def test_a_function_is_told_after_the_commit() -> None:
    seen: list[Any] = []

    def tell(result: JobResult) -> None:
        seen.append((result.status, list(result), Path("out/_manifest.json").exists()))

    result = run(job(tell), on="serial")
    assert seen == [("SUCCEEDED", [("a", 1)], True)]
    (delivery,) = result.deliveries
    assert (delivery.sink, delivery.delivered, delivery.error) == ("tell", True, "")
    mark = json.loads(Path(f"out/_sinks/{result.manifest.run_id}/marks/tell.json").read_text())
    assert mark["key"] == delivery.key == idempotency_key(result.manifest, "tell")


def test_a_sink_that_fails_undoes_nothing_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def first(result: JobResult) -> None:
        raise ConnectionError("the mail server is down")

    def second(result: JobResult) -> None:
        told.append("second")

    result = run(job(first, second), on="serial")
    assert told == ["second"]
    assert [d.delivered for d in result.deliveries] == [False, True]
    assert "ConnectionError: the mail server is down" in result.deliveries[0].error
    assert not Path(f"out/_sinks/{result.manifest.run_id}/marks/first.json").exists()
    assert list(JobResult.load("out")) == [("a", 1)]
    assert "sink first failed" in caplog.text


def test_the_key_is_the_same_at_every_delivery_and_another_for_every_sink_and_run() -> None:
    one, two = run(job(), on="serial"), run(job(), on="serial", overwrite=True)
    keys = [idempotency_key(m, s) for m in (one.manifest, two.manifest) for s in ("a", "b")]
    assert len(set(keys)) == 4
    first, again = (deliver_all([Log()], one, open_store(one.path)) for _ in range(2))
    assert [delivery.key for delivery in first] == [delivery.key for delivery in again]


def test_two_sinks_of_one_name_are_refused_before_anything_runs() -> None:
    with pytest.raises(JobError, match="Two sinks are called 'log'"):
        run(job(Log(), Log()), on="serial")
    assert not Path("out").exists()


def test_log_tells_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mapreduce.job"):
        run(job(Log()), on="serial")
    (record,) = [r for r in caplog.records if r.name == "mapreduce.job"]
    assert record.getMessage().startswith("told SUCCEEDED: 1 records in, 1 out, 1 parts")
    assert "\n" not in record.getMessage()


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a plain handler writes for the logger of jobs."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("mapreduce.job")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.mark.covers("X6", "lines of a failed and of a cancelled run, and of a set")
def test_log_tells_how_it_ended(own_folder: Path, lines: io.StringIO) -> None:
    for result in (
        samples.good(own_folder / "good"),
        samples.troubled(own_folder / "troubled"),
        samples.failed(own_folder / "failed"),
        samples.failed(own_folder / "cancelled", Status.CANCELLED),
        samples.of_set(own_folder / "set"),
    ):
        Log().deliver(result, "key")
    told = lines.getvalue().splitlines()
    begins = [
        "INFO page-hits SUCCEEDED: 4,211,045 records in, 12 out, 4 parts, ",
        "WARNING page-hits COMPLETED_WITH_ERRORS: 4,211,045 records in, ",
        "ERROR page-hits FAILED: UserFunctionError: map `hits` (page_hits.py:14) failed on logs/",
        "WARNING page-hits CANCELLED: Interrupted: The run was stopped by SIGTERM., in 16.2 s: ",
        "ERROR november FAILED: 201 jobs, 196 SUCCEEDED, 1 COMPLETED_WITH_ERRORS, 3 FAILED, 1 CANCELLED, in",
    ]
    assert [line[: len(begin)] for line, begin in zip(told, begins, strict=True)] == begins
    assert all(line.endswith(f"/{name}") for line, name in zip(told[::4], ("good", "set"), strict=True))


@pytest.mark.covers("Q10", "line ends, ANSI, bidi, NUL, surrogates, 10,000 characters, in name, error, place")
def test_an_event_is_one_line_of_a_log_that_nothing_forges(own_folder: Path, lines: io.StringIO) -> None:
    manifest = samples.failed(own_folder / "out").manifest
    texts = [*samples.HOSTILE, "a\u2028b", "a\x85b", "a\vb\fc", "\nERROR hits FAILED: forged"]
    events = 0
    for text in texts:
        error = ErrorGroup("UserFunctionError", text)
        for status in Status:
            told = replace(manifest, job=text, failure=error, status=status)
            Log().deliver(JobResult(text, told), "key")
        Log(alert=True).warn(Alert(text, text, text, error, "2026-11-26T21:04:00Z"), "key")
        events += len(Status) + 1
    written = lines.getvalue()
    assert len(written.splitlines()) == events
    assert all(line.isprintable() for line in written.split("\n"))
    assert max(map(len, written.split("\n"))) < 4_000


def test_log_reads_no_records(own_folder: Path, lines: io.StringIO) -> None:
    result = samples.good(own_folder / "out")
    for part in result.parts:
        (own_folder / "out" / part.name).unlink()
    Log().deliver(result, "key")
    assert "SUCCEEDED" in lines.getvalue()


def test_log_tells_of_a_failure_while_the_run_goes_on(lines: io.StringIO) -> None:
    sink = Log("ops", alert=True)
    assert (sink.name, sink.alert, sink.remote, repr(sink)) == ("ops", True, False, "Log('ops', alert=True)")
    error = ErrorGroup("UserFunctionError", "map `f` failed.\n  record: 1")
    sink.warn(Alert("hits", "run-1", "nightly", error, "2026-11-26T21:04:00Z"), "key")
    expected = r"WARNING nightly: hits goes on, but: UserFunctionError: map `f` failed.\n  record: 1"
    assert lines.getvalue() == expected + "\n"

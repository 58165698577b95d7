"""Sinks: told after the commit, each on its own, with a mark and a constant key."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, Log, Records, Sum, run
from mapreduce.errors import JobError
from mapreduce.sinks.delivery import deliver_all, idempotency_key
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

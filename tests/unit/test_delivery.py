"""Telling sinks: who is tried again and for how long, what is recorded, and what waits for a person."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, Records, ReportFile, Secret, Sum, run
from mapreduce.ended import find
from mapreduce.errors import JobError, SinkError, SinkRefused, StorageError
from mapreduce.sinks import delivery
from mapreduce.sinks.delivery import deliver_all, deliveries_of
from mapreduce.sinks.news import News, news_of
from mapreduce.sinks.teller import Teller
from mapreduce.store import open_store


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> JobResult:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.001)
    return run(Job("told", Records(["a"]), lambda line: [(line, 1)], Sum(), "out"), on="serial")


class Target(Teller):
    """A sink whose target answers as it was told to: an error to raise, or None."""

    def __init__(self, name: str, *answers: Exception | None, **options: Any) -> None:
        super().__init__(name, **options)
        self.answers = list(answers)
        self.keys: list[str] = []

    def tell(self, news: News, key: str) -> None:
        self.keys.append(key)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


def told(result: JobResult, *sinks: Any, **options: Any) -> list[tuple[str, bool, int]]:
    found = deliver_all(sinks, result, open_store(result.path), **options)
    return [(each.sink, each.delivered, each.attempts) for each in found]


DOWN = SinkError("It is down.", hint="Wait.")
NO = SinkRefused("It says no.", hint="Mend it.")


@pytest.mark.parametrize(
    ("answers", "patience", "expected"),
    [
        ([], 60.0, (True, 1)),
        ([DOWN, ConnectionError("reset"), TimeoutError()], 60.0, (True, 4)),
        ([DOWN] * 99, 0.0, (False, 1)),
        ([NO], 60.0, (False, 1)),
        ([DOWN, NO], 60.0, (False, 2)),
    ],
)
def test_how_often_a_remote_sink_is_tried(
    result: JobResult, answers: list[Exception], patience: float, expected: tuple[bool, int]
) -> None:
    sink = Target("one", *answers, patience=patience)
    ((_, delivered, attempts),) = told(result, sink)
    assert (delivered, attempts) == expected
    assert len(set(sink.keys)) == 1, "each with the same key"


@pytest.mark.covers("X4", "one sink refuses, one raises, one hangs past its patience: the others are told")
def test_no_sink_holds_up_another(result: JobResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "OVERTIME", 0.05)
    stuck = threading.Event()

    class Hangs(Target):
        def tell(self, news: News, key: str) -> None:
            stuck.wait(60)

    def local(result: Any) -> None:
        raise OSError("no such thing")

    try:
        found = told(result, Hangs("hangs", patience=0.0), Target("no", NO), local, Target("fine"))
    finally:
        stuck.set()
    assert found == [("hangs", False, 1), ("no", False, 1), ("local", False, 1), ("fine", True, 1)]


def test_a_pause_that_the_target_asks_for_is_kept(result: JobResult) -> None:
    busy = SinkError("Too many.", hint="")
    busy.retry_after = 5.0  # type: ignore[attr-defined]
    assert told(result, Target("one", busy, patience=1.0)) == [("one", False, 1)], "five seconds are too long"


def test_every_try_is_recorded_and_a_later_one_goes_on(result: JobResult) -> None:
    sink = Target("one", DOWN, DOWN, patience=0.0)
    assert told(result, sink) == [("one", False, 1)]
    assert told(result, sink) == [("one", False, 2)]
    (record,) = deliveries_of(open_store(result.path), result.manifest)
    assert (record.attempts, record.error) == (2, "It is down. Wait.")
    assert record.when.endswith("+00:00")
    assert told(result, sink) == [("one", True, 3)]
    assert told(result, sink) == [("one", True, 3)], "its mark is there"
    assert len(sink.keys) == 3
    (record,) = deliveries_of(open_store(result.path), result.manifest)
    assert (record.delivered, record.attempts, record.error) == (True, 3, "")


@pytest.mark.covers("X7", "sinks in another order, and one of the same name twice")
def test_marks_go_by_name(result: JobResult) -> None:
    first, second = Target("first"), Target("second", DOWN, patience=0.0)
    told(result, first, second)
    assert told(result, second, first) == [("second", True, 2), ("first", True, 1)]
    assert (len(first.keys), len(second.keys)) == (1, 2)
    with pytest.raises(JobError, match="Two sinks are called 'first'"):
        told(result, first, Target("first"))


@pytest.mark.covers("Q8", "names of sinks that lead out of the folder, are too long, or are no text")
@pytest.mark.parametrize("name", ["../../evil", "a/b", "", "x" * 101, ".hidden", "a\x00", "\ud800", 3])
def test_a_sink_s_name_is_one_that_a_file_may_have(result: JobResult, name: Any) -> None:
    class Own:
        def deliver(self, result: Any, key: str) -> None:
            raise AssertionError("nobody is told")

    own = Own()
    own.name = name  # type: ignore[attr-defined]
    with pytest.raises(JobError, match="A sink is called"):
        told(result, own)


def test_a_secret_is_taken_out_of_what_a_sink_says(
    result: JobResult, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t/+&x")
    forms = ["s3cr3t/+&x", "s3cr3t%2F%2B%26x", "s3cr3t/%2B%26x", "czNjcjN0LysmeA=="]
    sink = Target("one", SinkRefused(f"No: {' '.join(forms)}", hint="s3cr3t/+&x"))
    sink.secrets = (Secret.env("TOKEN"),)
    (found,) = deliver_all([sink], result, open_store(result.path))
    written = [path.read_text() for path in Path("out/_sinks").rglob("*") if path.is_file()]
    for text in (found.error, caplog.text, *written):
        assert not [form for form in forms if form in text], text
    assert found.error.startswith("No: … ")


@pytest.mark.covers("X5", "a report to where nothing can be written: typed, and the others are told")
def test_a_report_that_can_t_be_written_says_why(result: JobResult) -> None:
    Path("a-file").write_text("")
    (report, other) = deliver_all(
        [ReportFile("a-file/report.html"), Target("other")], result, open_store(result.path)
    )
    assert not report.delivered
    assert "a-file" in report.error
    assert "Give a path in a folder that may be written to" in report.error
    assert other.delivered


# ---------------------------------------------------------------- review


def test_nobody_is_told_before_somebody_has_approved(result: JobResult) -> None:
    sink = Target("one")
    assert told(result, sink, reviewed=True) == [("one", False, 0)]
    assert told(result, sink) == [("one", False, 0)], "whoever goes on with it waits too"
    ended = find("out")
    assert ended.is_reviewed()
    ended.decide(approved=True, by="ann", note="looks right")
    assert [each.delivered for each in ended.tell([sink])] == [True]
    review = ended.review()
    assert review is not None
    assert (review.approved, review.by, review.note) == (True, "ann", "looks right")


def test_a_damaged_record_lets_nobody_get_round_the_review(result: JobResult) -> None:
    sink = Target("one")
    told(result, sink, reviewed=True)
    (record,) = Path("out/_sinks").glob("*/told")
    record.write_bytes(record.read_bytes()[:10])
    with pytest.raises(StorageError, match="told is damaged"):
        told(result, sink)
    assert sink.keys == []


def test_what_was_rejected_stays_so(result: JobResult) -> None:
    sink = Target("one")
    told(result, sink, reviewed=True)
    ended = find("out")
    ended.decide(approved=False, by="bob", note="")
    with pytest.raises(JobError, match="was rejected by bob"):
        ended.decide(approved=True, by="ann", note="")
    ended.decide(approved=False, by="ann", note="again")
    assert ended.review().by == "bob"  # type: ignore[union-attr]
    assert [each.delivered for each in ended.tell([sink])] == [False]
    assert sink.keys == []


def test_what_was_not_to_be_reviewed_has_nothing_to_decide(result: JobResult) -> None:
    told(result, Target("one"))
    with pytest.raises(JobError, match="not begun with --review"):
        find("out").decide(approved=True, by="ann", note="")


# ---------------------------------------------------------------- runs without a result


def broken(line: str) -> list[tuple[str, int]]:
    raise ValueError("it is bad")


@pytest.mark.covers("X6", "a job fails: its sinks hear FAILED with its error, with the same rules")
def test_a_failed_run_is_told_with_its_error_and_told_anew_each_time() -> None:
    sink = Target("one", DOWN, DOWN, patience=0.0)
    job = Job("fails", Records(["a"]), broken, Sum(), "out", sinks=[sink])
    for _ in range(2):
        with pytest.raises(Exception, match="it is bad") as failed:
            run(job, on="serial")
    assert "mapreduce sinks retry" in "".join(failed.value.__notes__)
    records = sorted(Path(".out.mapreduce/failed").iterdir())
    assert len(records) == 2
    assert len(set(sink.keys)) == 2, "each failed run is a piece of news"
    ended = find("out")
    assert ended.status == "FAILED"
    news = news_of(ended.result)
    assert news.event == "run.failed"
    assert "it is bad" in news.subject
    assert [error["kind"] for error in news.facts["errors"]] == ["UserFunctionError"]
    with pytest.raises(Exception, match="has no result"):
        list(ended.result)  # type: ignore[arg-type]
    assert [each.delivered for each in ended.tell([sink])] == [True]
    assert not Path("out").exists(), "nothing of it is visible where results are"


def test_when_a_result_is_there_failures_that_everybody_has_heard_of_are_forgotten() -> None:
    heard, deaf = Target("heard"), Target("deaf", DOWN, patience=0.0)
    for number, sink in enumerate((heard, deaf)):
        with pytest.raises(Exception, match="it is bad"):
            run(Job("fails", Records([number]), broken, Sum(), "out", sinks=[sink]), on="serial")
    assert len(list(Path(".out.mapreduce/failed").iterdir())) == 2
    run(Job("fails", Records(["a"]), lambda line: [(line, 1)], Sum(), "out"), on="serial")
    (left,) = Path(".out.mapreduce/failed").iterdir()
    assert json.loads((left / "_sinks").joinpath(left.name[:24], "told").read_text())["sinks"] == ["deaf"]


@pytest.mark.covers("X6", "Ctrl-C: its sinks hear CANCELLED")
def test_a_run_that_was_stopped_is_told_as_cancelled() -> None:
    def stop(line: str) -> list[tuple[str, int]]:
        raise KeyboardInterrupt

    sink = Target("one")
    with pytest.raises(KeyboardInterrupt):
        run(Job("stops", Records(["a"]), stop, Sum(), "out", sinks=[sink]), on="serial")
    assert find("out").status == "CANCELLED"
    assert len(sink.keys) == 1


# ---------------------------------------------------------------- while it goes on


class Warned(Target):
    def warn(self, alert: Any, key: str) -> None:
        self.keys.append(f"{alert.error.message} {key}")


def test_a_sink_is_warned_once_of_each_cause_while_the_run_goes_on() -> None:
    once = Path("once")
    once.mkdir()

    def flaky(line: str) -> list[tuple[str, int]]:
        mark = once / line
        if not mark.exists():
            mark.touch()
            if line < "e":
                raise ValueError("by chance")
            raise KeyError("another")
        return [(line, 1)]

    sink = Warned("warned", alert=True)
    silent = Warned("silent")
    job = Job("flaky", Records(list("abcdefg"), split_size=1), flaky, Sum(), "out", sinks=[sink, silent])
    assert run(job, on="serial").status == "SUCCEEDED"
    warnings = [key for key in sink.keys if "chance" in key or "another" in key]
    assert len(warnings) == 2, sink.keys
    assert len(sink.keys) == 3
    assert len(silent.keys) == 1

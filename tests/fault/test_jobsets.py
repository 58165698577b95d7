"""Runs of JobSets: what becomes of the others when one fails, what is done again, and who hears of it."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fault.clusters import Processes, ended
from fault.small_run import Ended, Runs, calls, new_folder, note, told
from mapreduce import Job, JobResult, JobSet, JobSetResult, JsonLines, Records, Sum, run
from mapreduce.errors import JobChanged, JobError, OutputExists
from mapreduce.manifest import verify
from mapreduce.testing import run_sequential

ON = pytest.mark.parametrize("on", ["serial", "processes"])


def pair(word: str) -> Iterator[tuple[str, int]]:
    note(f"map {word}")
    if word.startswith("bad"):
        raise ValueError(f"{word} is bad")
    yield word, 1


def again(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    note(f"again {record['key']}")
    yield record["key"], record["value"]


def job(name: str, *words: str, **options: Any) -> Job:
    return Job(name, Records(list(words)), pair, Sum(), f"out/{name}", **options)


def summary(*names: str) -> Job:
    return Job("summary", JsonLines([f"out/{name}" for name in names]), again, Sum(), "out/summary")


def statuses(result: JobSetResult) -> dict[str, str]:
    return {each.name: each.status.value for each in result.jobs}


class Heard:
    """A sink that keeps what it was told."""

    def __init__(self, name: str = "heard") -> None:
        self.name = name

    def deliver(self, result: Any, key: str) -> None:
        note(f"{self.name} {result.name} {result.status} {key}")


def heard() -> list[list[str]]:
    return [call.split() for call in calls(Path()).elements() if call.startswith("heard")]


# ---------------------------------------------------------------- when all goes well


@ON
def test_a_set_runs_in_order_and_is_told_once(on: str) -> None:
    jobs = [summary("a", "b"), job("a", "x", "y"), job("b", "x"), Job("kept", Records(["q"]), pair, Sum())]
    result = run(JobSet("set", jobs, sinks=[Heard()]), on=on)
    assert statuses(result) == dict.fromkeys(["summary", "a", "b", "kept"], "SUCCEEDED")
    assert result.status == "SUCCEEDED"
    assert list(result["summary"]) == [("x", 2), ("y", 1)]
    assert [each.name for each in result] == ["summary", "a", "b", "kept"]
    assert list(result["kept"]) == [("q", 1)]
    assert result.jobs[0].reads == ("a", "b")
    assert {each.manifest.jobset for each in result} == {f"set/{result.manifest.run_id}"}
    ((_, name, status, _),) = heard()
    assert (name, status) == ("set", "SUCCEEDED")
    assert JobSetResult.load(result.place).manifest == result.manifest


@ON
def test_a_job_s_bytes_are_those_of_the_job_by_itself(on: str) -> None:
    one = job("a", *"kxyzk" * 20)
    expected = run_sequential(one).parts
    result = run(JobSet("set", [one, job("b", "x")]), on=on)["a"]
    assert [result.part_bytes(part) for part in result.parts] == expected


def test_more_jobs_than_workers_share_them() -> None:
    jobs = [job(f"j{number:02d}", f"w{number}", "x") for number in range(12)]
    result = run(JobSet("set", [*jobs, summary(*(each.name for each in jobs))]), workers=2)
    assert result.status == "SUCCEEDED"
    assert dict(result["summary"])["x"] == 12
    assert calls(Path())["map x"] == 12


# ---------------------------------------------------------------- when one fails


FAILURES: list[tuple[str, Any, str, dict[str, str]]] = [
    (
        "continue: what needs it is not run",
        "continue",
        "COMPLETED_WITH_ERRORS",
        {"a": "SUCCEEDED", "b": "FAILED", "c": "SUCCEEDED", "summary": "CANCELLED", "d": "SUCCEEDED"},
    ),
    (
        "stop: no other is begun",
        "stop",
        "FAILED",
        {"a": "SUCCEEDED", "b": "FAILED", "c": "CANCELLED", "summary": "CANCELLED", "d": "CANCELLED"},
    ),
    (
        "a share that is kept: what needs it goes on without",
        0.2,
        "COMPLETED_WITH_ERRORS",
        {"a": "SUCCEEDED", "b": "FAILED", "c": "SUCCEEDED", "summary": "SUCCEEDED", "d": "SUCCEEDED"},
    ),
    (
        "a share that is not",
        0.1,
        "FAILED",
        {"a": "SUCCEEDED", "b": "FAILED", "c": "CANCELLED", "summary": "CANCELLED", "d": "CANCELLED"},
    ),
]


@pytest.mark.parametrize(
    ("on_failure", "status", "expected"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES]
)
def test_what_a_failed_job_does_to_the_others(on_failure: Any, status: str, expected: dict[str, str]) -> None:
    jobs = [job("a", "x"), job("b", "bad-b"), job("c", "x"), summary("a", "b", "c"), job("d", "z")]
    result = run(JobSet("set", jobs, on_failure=on_failure, sinks=[Heard()]), on="serial")
    assert statuses(result) == expected
    assert result.status == status
    assert [row[2] for row in heard()] == [status], "once, with the truth"
    (cause,) = [error for error in result.errors if error.kind == "UserFunctionError"]
    assert "bad-b is bad" in cause.message
    assert result["b"].status == "FAILED"
    assert "bad-b is bad" in result["b"].errors[0]
    if expected["summary"] == "SUCCEEDED":
        assert list(result["summary"]) == [("x", 2)]
        assert next(each for each in result.jobs if each.name == "summary").without == ("b",)
    else:
        with pytest.raises(Exception, match="summary was not run"):
            result["summary"]


def test_all_failed_is_failed() -> None:
    assert run(JobSet("set", [job("a", "bad")]), on="serial").status == "FAILED"


@pytest.mark.covers("X6", "a job of a set fails, its own sink and the set's: FAILED, never SUCCEEDED")
def test_a_job_s_own_sink_hears_of_its_failure_and_the_set_s_of_the_set() -> None:
    jobs = [job("a", "bad-a", sinks=[Heard("heard-own")]), job("b", "x")]
    run(JobSet("set", jobs, sinks=[Heard("heard-set")]), on="serial")
    assert [row[:3] for row in heard()] == [
        ["heard-own", "a", "FAILED"],
        ["heard-set", "set", "COMPLETED_WITH_ERRORS"],
    ]


# ---------------------------------------------------------------- again


def test_after_failures_only_what_has_no_result_runs_again() -> None:
    jobs = [job("a", "x"), job("b", "bad-b"), summary("a", "b")]
    first = run(JobSet("set", jobs), on="serial")
    assert statuses(first) == {"a": "SUCCEEDED", "b": "FAILED", "summary": "CANCELLED"}
    before = calls(Path())
    jobs[1] = job("b", "y")
    second = run(JobSet("set", jobs), on="serial")
    assert calls(Path()) - before == Counter({"map y": 1, "again x": 1, "again y": 1})
    assert second.status == "SUCCEEDED"
    assert [each.kept for each in second.jobs] == [True, False, False]
    with pytest.raises(OutputExists, match="has succeeded already"):
        run(JobSet("set", jobs), on="serial")
    before = calls(Path())
    assert run(JobSet("set", jobs), on="serial", overwrite=True).status == "SUCCEEDED"
    assert sum((calls(Path()) - before).values()) == 4, "all of it"


def test_a_mended_job_begins_afresh_though_it_had_accepted_something() -> None:
    def halves(word: str) -> Iterator[tuple[str, int]]:
        note(f"map {word}")
        if word == "bad":
            raise ValueError("a bad word")
        yield word, 1

    def mended(word: str) -> Iterator[tuple[str, int]]:
        note(f"map {word}")
        yield word, 1

    def jobs(function: Any) -> list[Job]:
        return [Job("a", Records(["x", "bad"], split_size=1), function, Sum(), "out/a", max_attempts=1)]

    assert run(JobSet("set", jobs(halves)), on="serial").status == "FAILED"
    assert any(Path("out").glob(".a.mapreduce/2*/log/0*")), "it had accepted a map"
    second = run(JobSet("set", jobs(mended)), on="serial")
    assert list(second["a"]) == [("bad", 1), ("x", 1)]
    assert calls(Path())["map x"] == 2


def test_what_went_on_without_a_job_is_done_again_when_that_has_a_result() -> None:
    jobs = [job("a", "x"), job("b", "bad-b"), summary("a", "b")]
    first = run(JobSet("set", jobs, on_failure=0.5), on="serial")
    assert list(first["summary"]) == [("x", 1)]
    jobs[1] = job("b", "x")
    second = run(JobSet("set", jobs, on_failure=0.5), on="serial")
    assert list(second["summary"]) == [("x", 2)]
    assert [each.kept for each in second.jobs] == [True, False, False]


def test_a_result_of_other_code_or_input_is_none() -> None:
    jobs = [job("a", "x"), job("b", "bad-b")]
    run(JobSet("set", jobs), on="serial")
    jobs[0] = job("a", "x", "y")
    second = run(JobSet("set", jobs), on="serial")
    assert [each.kept for each in second.jobs] == [False, False]
    assert list(second["a"]) == [("x", 1), ("y", 1)]


def test_a_set_that_has_grown_runs_what_is_new() -> None:
    run(JobSet("set", [job("a", "x")], output="sets"), on="serial")
    before = calls(Path())
    second = run(JobSet("set", [job("a", "x"), job("b", "y")], output="sets"), on="serial")
    assert calls(Path()) - before == Counter({"map y": 1})
    assert [each.kept for each in second.jobs] == [True, False]
    assert second.manifest.previous != ""


def test_what_failed_in_between_and_is_mended_is_not_stuck() -> None:
    jobs = [job("a", "x"), job("b", "bad-b")]
    run(JobSet("set", jobs), on="serial")
    jobs[0] = job("a", "bad-a")
    assert statuses(run(JobSet("set", jobs), on="serial")) == {"a": "FAILED", "b": "FAILED"}
    jobs = [job("a", "x"), job("b", "y")]
    third = run(JobSet("set", jobs), on="serial")
    assert third.status == "SUCCEEDED"
    assert [each.kept for each in third.jobs] == [True, False], "the result of the first run still holds"


def test_an_older_result_of_a_job_that_failed_is_not_read() -> None:
    def named(name: str, *words: str) -> Job:
        return job(name, *words)

    reader = Job("summary", JsonLines("out/p*"), again, Sum(), "out/summary")
    run(JobSet("set", [named("p1", "x"), named("p2", "x"), reader], on_failure=0.5), on="serial")
    second = [named("p1", "x", "y"), named("p2", "bad-2"), reader]
    result = run(JobSet("set", second, on_failure=0.5), on="serial", overwrite=True)
    assert statuses(result) == {"p1": "SUCCEEDED", "p2": "FAILED", "summary": "CANCELLED"}
    assert "It would read an older result" in result.jobs[2].errors[0].message


def test_what_lies_where_the_set_s_manifest_is_to_be_is_left_alone() -> None:
    run(job("a", "elsewhere"), on="serial")
    with pytest.raises(OutputExists, match="holds a manifest that is none of JobSet set"):
        run(JobSet("set", [job("b", "x")], output="out/a"), on="serial")
    assert list(JobResult.load("out/a")) == [("elsewhere", 1)]
    done = JobSet("one", [job("b", "x")], output="sets")
    run(done, on="serial")
    Path("sets/_manifest.json").write_text("{")
    with pytest.raises(OutputExists, match="or is damaged"):
        run(done, on="serial")


def test_two_processes_don_t_run_one_set_at_once() -> None:
    def also(word: str) -> Iterator[tuple[str, int]]:
        with pytest.raises(JobError, match="is being run by another process"):
            run(JobSet("set", [job("b", "x")], output="sets"), on="serial")
        yield word, 1

    outer = JobSet("set", [Job("a", Records(["x"]), also, Sum(), "out/a")], output="sets")
    assert run(outer, on="serial").status == "SUCCEEDED"
    assert list(Path().glob(".sets*")) == [], "nothing lies about"


def test_a_job_s_sink_that_fails_is_told_of() -> None:
    def down(result: Any) -> None:
        raise ConnectionError("it is down")

    result = run(JobSet("set", [job("a", "x", sinks=[down]), job("b", "x")]), on="serial")
    assert [each.untold for each in result.jobs] == [("down",), ()]


def test_a_result_that_the_set_has_not_made_is_left_alone() -> None:
    run(job("a", "elsewhere"), on="serial")
    result = run(JobSet("set", [job("a", "x"), job("b", "x")]), on="serial")
    assert statuses(result) == {"a": "FAILED", "b": "SUCCEEDED"}
    assert result.jobs[0].errors[0].kind == "OutputExists"
    assert list(JobResult.load("out/a")) == [("elsewhere", 1)]


def test_a_run_that_is_begun_afresh_keeps_what_the_one_before_has_done(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_folder(tmp_path, "afresh")
    assert was_killed(runs.run(folder, "op=create path=log/ nth=6 do=kill_after", of_set=True))
    done = {path.parent.name: path.read_bytes() for path in folder.glob("results/*/_manifest.json")}
    assert done
    assert runs.run(folder, of_set=True, resume=False).code == 0
    result = JobSetResult.load(folder / "report")
    assert {each.name for each in result.jobs if each.kept} == done.keys()
    assert result.manifest.resumed == 0


@pytest.mark.parametrize(
    ("left", "what"),
    [("plan/000001", "the plan"), ("result/_COMMIT", "the manifest")],
    ids=["plan", "manifest"],
)
def test_what_is_damaged_of_a_run_is_told_and_begun_afresh_it_keeps_what_holds(
    runs: Runs, tmp_path: Path, left: str, what: str
) -> None:
    folder = new_folder(tmp_path, "damaged")
    assert was_killed(runs.run(folder, "op=create path=result/_COMMIT nth=4 do=kill_after", of_set=True))
    (path,) = folder.glob(f".report.mapreduce/*/{left}")
    path.write_bytes(path.read_bytes()[:-5] + b"\0" * 5)
    refused = runs.run(folder, of_set=True)
    assert (refused.code, refused.kind) == (1, "WorkDamaged")
    assert f"{left}, {what} of a run that did not end, is damaged" in refused.error["message"]
    assert "start afresh with --new" in refused.error["hint"]
    assert runs.run(folder, of_set=True, resume=False).code == 0
    result = JobSetResult.load(folder / "report")
    assert {each.name for each in result.jobs if each.kept} == {"both", "one", "two"}


# ---------------------------------------------------------------- killed


KILLS = ("kill_before", "kill_after", "torn")


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


def operations(runs: Runs, folder: Path) -> list[str]:
    log = folder / "operations"
    ended = runs.run(folder, f"op=* times=always do=note:{log}", of_set=True)
    assert ended.code == 0, ended
    return log.read_text().splitlines()


def told_of_set(folder: Path) -> list[str]:
    return [call for call in calls(folder).elements() if call.startswith("told")]


def check_gone_on(runs: Runs, folder: Path, deaths: int) -> None:
    """Go on with a run that died so often: one manifest, one key, no finished job done again.

    A run that was over is not gone on with: the same set again is a new one, for the job that failed.
    """
    manifests = {
        path.parent.name: json.loads(path.read_text()) for path in folder.glob("results/*/_manifest.json")
    }
    over = (folder / "report/_manifest.json").exists() and not any(folder.glob(".report.mapreduce/*/plan/*"))
    ended = runs.run(folder, of_set=True)
    if over:
        assert ended.code in (0, 1)
    else:
        assert ended.code == 0, ended
    result = JobSetResult.load(folder / "report")
    assert {each.name: each.status.value for each in result.jobs} == {
        "both": "SUCCEEDED",
        "one": "SUCCEEDED",
        "two": "SUCCEEDED",
        "broken": "FAILED",
    }
    for name, before in manifests.items():
        after = json.loads((folder / "results" / name / "_manifest.json").read_text())
        assert after["digest"] == before["digest"], f"{name} was finished, and ran again"
    assert len(list(folder.glob("**/report/_manifest.json"))) == 1
    for name in ("both", "one", "two"):
        assert verify(folder / "results" / name)[1] == []
    keys = {call.split()[2] for call in told_of_set(folder) if "COMPLETED" in call}
    assert len(keys) == 1 + over, "every delivery of a set's manifest has one key"
    assert 1 <= sum("COMPLETED" in call for call in told_of_set(folder)) <= 1 + over + deaths
    assert 1 <= len(told(folder)) <= 1 + deaths, "and so has the job's"


def was_killed(ended: Ended) -> bool:
    return ended.code == -signal.SIGKILL


def at_the_end(names: list[str]) -> range:
    """Numbers of the operations from the last part on."""
    return range(max(number for number, name in enumerate(names, 1) if " part-" in name), len(names) + 1)


@pytest.mark.covers(
    "X1", "SIGKILL at some operations around a set's commit and its sinks; then the same again"
)
def test_a_set_is_killed_at_its_end_and_gone_on_with(runs: Runs, tmp_path: Path) -> None:
    names = operations(runs, new_folder(tmp_path, "undisturbed"))
    for number in [*at_the_end(names)][::3]:
        folder = new_folder(tmp_path, f"kill-{number}")
        assert was_killed(runs.run(folder, f"op=* nth={number} do=kill_after", of_set=True)), names[
            number - 1
        ]
        check_gone_on(runs, folder, 1)


@pytest.mark.sweep
@pytest.mark.timeout(600)
@pytest.mark.covers(
    "X1", "SIGKILL before, after and within every store operation of a set; then the same again"
)
@pytest.mark.parametrize("how", KILLS)
def test_a_set_is_killed_at_every_store_operation(runs: Runs, tmp_path: Path, how: str) -> None:
    names = operations(runs, new_folder(tmp_path, "undisturbed"))
    assert len(names) >= 50
    alive = []
    for number, name in enumerate(names, 1):
        folder = new_folder(tmp_path, f"{how}-{number}")
        if was_killed(runs.run(folder, f"op=* nth={number} do={how}", of_set=True)):
            check_gone_on(runs, folder, 1)
        else:
            alive.append(name)
        shutil.rmtree(folder)
    assert len(alive) <= (how != "kill_before"), "but for the part that fails before it is written"
    assert all("new_file part-" in name for name in alive)


def test_a_committed_run_that_is_stopped_while_it_tells_is_no_cancelled_one() -> None:
    def stops(result: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job("a", "x", sinks=[stops, Heard()]), on="serial")
    assert heard() == [], "nobody hears that it was cancelled"
    assert not Path("out/.a.mapreduce/failed").exists()


def test_other_jobs_are_refused_when_a_run_goes_on(runs: Runs, tmp_path: Path, monkeypatch: Any) -> None:
    from fault.small_run import small_set

    folder = new_folder(tmp_path, "changed")
    assert was_killed(runs.run(folder, "op=create path=log/ nth=4 do=kill_after", of_set=True))
    monkeypatch.chdir(folder)
    jobset = small_set()
    fewer = JobSet("set", jobset.jobs[:3], output="report")
    with pytest.raises(JobChanged, match="broken is gone"):
        run(fewer, on="serial")


def test_what_a_set_can_t_have() -> None:
    with pytest.raises(JobError, match="not for a JobSet"):
        run(JobSet("set", [job("a", "x")]), replay="out/a")


ON_A_STORE = """
from mapreduce import Identity, Job, JobSet, JsonLines, Records, Sum

def pair(word):
    if word == "bad":
        raise ValueError("a bad word")
    yield word, 1

def again(record):
    yield record["key"], record["value"]

jobs = [Job(name, Records([name, "x"]), pair, Sum(), f"out/{name}") for name in ("a", "bad", "c")]
total = Job("total", JsonLines(["out/a", "out/c"]), again, Sum(), "out/total")
night = JobSet("night", [total, *jobs], output="night")
"""


@pytest.mark.timeout(300)
def test_a_set_on_a_store_is_done_by_its_hosts(processes: Processes) -> None:
    Path("store").mkdir(mode=0o700)
    Path("set.py").write_text(ON_A_STORE)
    processes.host()
    code, told = ended(processes.start("run", "set.py", "--on", "./store"))
    assert code == 3, told
    result = JobSetResult.load("night")
    assert statuses(result) == {"total": "SUCCEEDED", "a": "SUCCEEDED", "bad": "FAILED", "c": "SUCCEEDED"}
    assert dict(result["total"]) == {"a": 1, "c": 1, "x": 2}
    code, told = ended(processes.start("run", "set.py", "--on", "./store"))
    assert code == 3, told
    again = JobSetResult.load("night")
    assert [each.kept for each in again.jobs] == [True, True, False, True]


# ---------------------------------------------------------------- while it goes on


class Warned(Heard):
    """A sink that hears of failures while the set goes on."""

    alert = True

    def warn(self, alert: Any, key: str) -> None:
        note(f"warned {alert.jobset} {alert.job} {alert.error.kind} {key}")


@ON
def test_a_set_s_sink_is_warned_once_of_each_cause(on: str) -> None:
    jobs = [job("a", "bad-1"), job("b", "x"), Job("c", Records([1]), missing, Sum(), "out/c")]
    run(JobSet("set", [*jobs, job("d", "bad-2")], sinks=[Warned()]), on=on)
    warned = sorted(call.split()[1:4] for call in calls(Path()).elements() if call.startswith("warned"))
    assert [(name, kind) for name, _, kind in warned] == [("set", "UserFunctionError")] * 2
    assert len({key for call in calls(Path()) if call.startswith("warned") for key in call.split()[4:]}) == 2


def missing(word: int) -> Iterator[tuple[str, int]]:
    raise LookupError("another cause")

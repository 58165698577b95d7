"""Sets on the command line: what each command says, and what it exits with."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "mapreduce"]

SET = """
from pathlib import Path
from mapreduce import Job, JobSet, JsonLines, Log, Records, Sum

def pair(word):
    if word == "bad" and not Path("mended").exists():
        raise ValueError("a bad word")
    yield word, 1

def again(record):
    yield record["key"], record["value"]

def notes(result):
    if Path("down").exists():
        raise ConnectionError("the notes are closed")
    with open("notes", "a") as file:
        print(result.name, result.status, file=file)

jobs = [Job(name, Records([name, "x"]), pair, Sum(), f"out/{name}") for name in ("a", "bad", "c")]
summary = Job("summary", JsonLines([f"out/{job.name}" for job in jobs]), again, Sum(), "out/summary")
nightly = JobSet("nightly", [*jobs, summary], sinks=[notes, Log()], output="nightly")
"""


@pytest.fixture(autouse=True)
def job_file(own_folder: Path) -> None:
    Path("set.py").write_text(SET)


def call(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, **options
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return call("run", "set.py", "--on", "serial", *arguments)


def test_a_set_with_a_failure_is_mended_and_run_again() -> None:
    first = run()
    assert first.returncode == 3
    lines = [re.sub(r"\d+\.\d s", "N s", line) for line in first.stdout.splitlines()]
    assert lines[0] == "nightly completed with errors in N s"
    assert lines[1].split() == ["jobs", "2", "succeeded,", "1", "failed,", "1", "cancelled"]
    assert re.search(r"1 × map `pair` \(set.py:\d+\) failed on .*: a bad word\. \(bad\)", first.stdout)
    assert "told           notes, log" in first.stdout
    assert "bad failed: map `pair`" in first.stderr
    assert (
        "summary cancelled: It was not run. It reads the output of bad, which has no result." in first.stderr
    )
    Path("mended").touch()
    second = run()
    assert second.returncode == 0, second.stderr
    assert "2 results of an earlier run" in second.stdout
    third = run()
    assert third.returncode == 1
    assert "JobSet nightly has succeeded already" in third.stderr
    assert run("--overwrite").returncode == 0
    assert Path("notes").read_text().splitlines() == [
        "nightly COMPLETED_WITH_ERRORS",
        "nightly SUCCEEDED",
        "nightly SUCCEEDED",
    ]


def test_as_a_document() -> None:
    done = run("--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert [(job["name"], job["status"]) for job in document["jobs"]] == [
        ("a", "SUCCEEDED"),
        ("bad", "FAILED"),
        ("c", "SUCCEEDED"),
        ("summary", "CANCELLED"),
    ]
    assert [delivery["delivered"] for delivery in document["deliveries"]] == [True, True]


@pytest.mark.covers("X2", "a sink is down: exit code 4, `sinks` lists it, `sinks retry` delivers it")
def test_a_sink_that_is_down_is_told_later() -> None:
    Path("mended").touch()
    Path("down").touch()
    done = run()
    assert done.returncode == 4
    assert "mapreduce sinks retry nightly" in done.stderr
    listed = call("sinks", "nightly")
    assert listed.returncode == 0
    assert re.search(r"^notes +failed +1 .*ConnectionError: the notes", listed.stdout, re.MULTILINE)
    assert re.search(r"^log +told +1 ", listed.stdout, re.MULTILINE)
    again = call("sinks", "retry", "nightly")
    assert again.returncode == 4
    Path("down").unlink()
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    again = call("sinks", "retry", "../nightly", "--json", cwd=elsewhere)
    assert again.returncode == 0, again.stderr
    sinks = json.loads(again.stdout)["sinks"]
    states = {sink["sink"]: (sink["delivered"], sink["attempts"]) for sink in sinks}
    assert states == {"notes": (True, 3), "log": (True, 1)}
    assert Path("notes").read_text() == "nightly SUCCEEDED\n"


def test_review_by_a_person() -> None:
    Path("mended").touch()
    done = run("--review")
    assert done.returncode == 0
    assert "mapreduce approve nightly --by NAME" in done.stderr
    assert not Path("notes").exists()
    assert "waits" in call("sinks", "nightly").stdout
    assert call("sinks", "retry", "nightly").returncode == 4, "nobody gets round it"
    assert call("approve", "nightly").returncode == 2, "somebody must have a name"
    approved = call("approve", "nightly", "--by", "ann", "--note", "looks right")
    assert approved.returncode == 0, approved.stderr
    assert "It was approved by ann" in approved.stdout
    assert Path("notes").read_text() == "nightly SUCCEEDED\n"
    late = call("reject", "nightly", "--by", "bob")
    assert late.returncode == 2
    assert "was approved by ann" in late.stderr


def test_a_rejected_result_is_told_to_nobody_and_stays() -> None:
    Path("mended").touch()
    run("--review")
    rejected = call("reject", "nightly", "--by", "bob", "--note", "too few")
    assert rejected.returncode == 0
    assert "It was rejected by bob" in rejected.stdout
    assert not Path("notes").exists()
    assert call("show", "out/summary").returncode == 0
    assert call("approve", "nightly", "--by", "ann").returncode == 2


def test_runs_and_reports() -> None:
    run()
    listed = call("runs", "--json")
    found = {each["name"]: each for each in json.loads(listed.stdout)["runs"]}
    assert {name: (each["kind"], each["status"]) for name, each in found.items()} == {
        "nightly": ("jobset", "COMPLETED_WITH_ERRORS"),
        "a": ("job", "SUCCEEDED"),
        "bad": ("job", "FAILED"),
        "c": ("job", "SUCCEEDED"),
    }
    assert len(call("runs").stdout.splitlines()) == 5
    assert call("report", "nightly", "--to", "nightly.html").returncode == 0
    assert "a bad word" in Path("nightly.html").read_text()
    by_id = call("report", found["bad"]["run_id"], "--to", "bad.md")
    assert by_id.returncode == 0, by_id.stderr
    assert "a bad word" in Path("bad.md").read_text()
    nothing = call("report", "nowhere")
    assert nothing.returncode == 2
    assert "No run has ended at nowhere" in nothing.stderr


def test_the_plan_of_a_set() -> None:
    text = SET.replace("jobs = [", 'jobs = [Job("missing", "no/*.log", pair, Sum(), "out/missing")] + [')
    Path("set.py").write_text(text.replace("output=", "on_failure=0.5, output="))
    Path("in.log").write_text("x\n" * 1000)
    planned = call("plan", "set.py")
    assert planned.returncode == 1, "one of them would fail"
    assert planned.stdout.splitlines()[:5] == [
        "nightly: this is the plan, nothing has run",
        "  jobs          5, 1 of them after others",
        "  input         0 B, 6 tasks, as far as it is known",
        planned.stdout.splitlines()[3],
        "  if one fails  0.5 of all may",
    ]
    rows = [re.split("  +", line) for line in planned.stdout.splitlines()[7:]]
    assert rows[:-1] == [
        ["job", "reads", "tasks", "output"],
        ["missing", "can't be planned", "-", "out/missing"],
        *([name, "2 records in memory", "1 map, 1 reduce", f"out/{name}"] for name in ("a", "bad", "c")),
        ["summary", "what missing, a, bad and 1 more will write", "-", "out/summary"],
    ]
    assert rows[-1][0].startswith("missing: No file matches Text(no/*.log). Check the pattern;")
    assert sorted(os.listdir()) == ["in.log", "set.py"], "nothing has run"

    Path("set.py").write_text(SET)
    run()
    again = call("plan", "set.py", "--json")
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    jobs = {job["job"]: job for job in document["jobs"]}
    assert {name: bool(job.get("output_taken")) for name, job in jobs.items()} == {
        "a": True,
        "bad": False,
        "c": True,
        "summary": False,
    }
    assert jobs["summary"]["after"] == ["a", "bad", "c"]
    assert "out/a (taken)" in call("plan", "set.py").stdout


def test_the_plan_of_many_jobs_shows_some_and_all_that_would_fail() -> None:
    jobs = 'JobSet("nightly", [Job(str(n), f"in-{n}", pair, Sum(), f"out/{n}") for n in range(30)])'
    Path("set.py").write_text(f"{SET.partition('jobs =')[0]}nightly = {jobs}")
    for number in range(30):
        if number not in (7, 28):
            Path(f"in-{number}").write_text("x\n")
    planned = call("plan", "set.py")
    assert planned.returncode == 1
    shown = [line.split()[0] for line in planned.stdout.splitlines()[8:]]
    assert shown == [*map(str, range(20)), "28", "…", "7:", "28:"]
    assert "… and 9 jobs more; --json has all" in planned.stdout


def test_what_takes_no_set_says_so() -> None:
    for command in (["submit", "set.py", "--on", "./store"], ["run", "set.py", "--shards", "2"]):
        refused = call(*command)
        assert refused.returncode == 2
        assert "nightly is a JobSet" in refused.stderr


def test_progress_on_a_terminal_leaves_the_summary_alone() -> None:
    reading, writing = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "run", "set.py", "--on", "serial"],
            stdout=subprocess.PIPE,
            stderr=writing,
            stdin=subprocess.DEVNULL,
            timeout=100,
            text=True,
        )
    finally:
        os.close(writing)
    shown = os.read(reading, 100_000).decode()
    os.close(reading)
    assert done.returncode == 3
    assert "bad failed: map `pair`" in shown
    assert done.stdout.startswith("nightly completed with errors")

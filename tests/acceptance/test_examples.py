"""The examples and the demo, as a user runs them: with Python, and with `mapreduce`."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mapreduce import JobResult, run
from mapreduce.cli.jobfile import load_job
from mapreduce.testing import check_cuts
from mapreduce.testing.logs import access_lines, write_access_log

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
OF_A_LOG = [
    "hits_by_hour",
    "inverted_index",
    "page_hits",
    "sessions",
    "sort_by_time",
    "status_by_hour",
    "status_by_hour_frames",
    "top_pages:counts",
    "top_pages_frames:counts",
    "word_count",
]
"""Jobs that read an access log given as --source."""
ALSO = ["checksums", "csv_to_parquet", "exceptions", "latency", "titles"]
"""Examples that read something else, or more."""


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job file puts its folder before others, from which its modules are imported."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the test's folder; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done


def mapreduce(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m mapreduce`."""
    return call(sys.executable, "-m", "mapreduce", *arguments)


def target(name: str) -> str:
    """FILE.py or FILE.py:JOB of an example's name."""
    file, colon, job = name.partition(":")
    return f"{FOLDER / file}.py{colon}{job}"


def result_of(name: str, source: Path | str, output: str, **settings: Path | str) -> JobResult:
    """What an example's job gives, run in this process with --source, or with --set NAME=VALUE."""
    given = [f"{name}={value}" for name, value in settings.items()]
    job = load_job(target(name), source=[] if settings else [str(source)], output=output, settings=given)
    return run(job, on="serial")


def content(result: JobResult) -> list[bytes]:
    """The bytes of each part."""
    return [result.part_bytes(part) for part in result.parts]


def test_there_are_examples():
    named = {name.partition(":")[0] for name in [*OF_A_LOG, *ALSO]}
    assert {path.stem for path in EXAMPLES} == named


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_runs_as_it_stands(example):
    text = example.read_text()
    assert len(text.splitlines()) <= 60
    commands = [
        line for line in (ast.get_docstring(ast.parse(text)) or "").splitlines() if example.name in line
    ]
    assert commands[0] == f"python examples/{example.name}"
    assert all(line.startswith("mapreduce run examples/") for line in commands[1:])
    lines = call(sys.executable, example).stdout.splitlines()
    assert len(lines) >= 10
    assert set(os.listdir()) <= {".mapreduce"}


@pytest.mark.parametrize("name", OF_A_LOG)
def test_an_example_runs_from_the_command_line(name, access_log):
    job = (target(name), "--source", access_log, "--output", "out")
    result = json.loads(mapreduce("run", *job, "--set", "SOURCE=nowhere", "--json").stdout)
    assert result["status"] == "SUCCEEDED"
    assert result["totals"]["records_in"] > 800
    assert result["totals"]["bytes_in"] == access_log.stat().st_size
    assert mapreduce("verify", "out").stdout.endswith("all as the manifest says\n")


def test_plan_and_show_tell_what_run_does(access_log):
    job = (target("page_hits"), "--source", access_log, "--output", "out")
    plan = json.loads(mapreduce("plan", *job, "--json").stdout)
    assert plan["input_bytes"] == access_log.stat().st_size
    result = json.loads(mapreduce("run", *job, "--json").stdout)
    shown = json.loads(mapreduce("show", "out", "--json").stdout)
    assert shown["records"] == result["totals"]["records_out"] > 0


# ---------------------------------------------------------------- records and frames


@pytest.fixture
def mixed_log() -> Path:
    """A log in which a line in twenty is broken."""
    write_access_log("mixed.log", 200_000, malformed=0.05)
    return Path("mixed.log")


def test_status_by_hour_is_the_same_of_frames(mixed_log):
    records = result_of("status_by_hour", mixed_log, "records")
    assert content(result_of("status_by_hour_frames", mixed_log, "frames")) == content(records)
    rows = list(records)
    assert list(rows[0]) == ["hour", "status", "hits", "bytes", "largest"]
    assert sum(row["hits"] for row in rows) == mixed_log.read_text().count('] "')


def test_top_pages_are_the_same_of_frames(mixed_log):
    tops = []
    for name in ("top_pages", "top_pages_frames"):
        result_of(f"{name}:counts", mixed_log, f"{name}-counts")
        tops.append(result_of(f"{name}:top", f"{name}-counts", f"{name}-top"))
    assert content(tops[0]) == content(tops[1])
    paths = [line.split('"')[1].split()[1] for line in mixed_log.read_text().splitlines() if '" 200 ' in line]
    wanted = Counter(path.partition("?")[0] for path in paths)
    best = dict(tops[0])[200]
    assert [n for _, n in best] == [n for _, n in wanted.most_common(5)]
    assert all(wanted[path] == n for path, n in best)


@pytest.mark.parametrize("name", ["status_by_hour_frames", "top_pages_frames:counts"])
def test_frames_may_be_cut_anywhere(name, mixed_log):
    check_cuts(load_job(target(name), source=[str(mixed_log)]), limit=100)


def test_latency_is_the_same_of_frames():
    seconds = [n * 37 % 1000 / 1000 for n in range(1000)]
    lines = [
        {"path": "/" if n % 2 else "/a", "seconds": value, "bytes": n, "more": [n]}
        for n, value in enumerate(seconds)
    ]
    Path("requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    records = result_of("latency:job", "requests.jsonl", "records")
    assert content(result_of("latency:frames_job", "requests.jsonl", "frames")) == content(records)
    for row in records:
        mine = [line for line in lines if line["path"] == row["key"]]
        exact = sorted(line["seconds"] for line in mine)
        assert row["seconds"] == pytest.approx([exact[249], exact[449], exact[494]], rel=0.004)
        assert row["bytes"] == sum(line["bytes"] for line in mine)


def test_csv_to_parquet_is_the_same_of_frames():
    rows = [f'2024-02-{1 + n % 29:02},"shop, {n % 7}",{n},{n / 8}' for n in range(500)]
    Path("sales.csv").write_text("\n".join(["day,shop,items,price", *rows, ""]))
    records = result_of("csv_to_parquet:job", "sales.csv", "records")
    assert content(result_of("csv_to_parquet:frames_job", "sales.csv", "frames")) == content(records)
    found = [f'{row["day"]},"{row["shop"]}",{row["items"]},{row["price"]}' for row in records]
    assert found == rows


# ---------------------------------------------------------------- one by one


def test_sessions_end_with_silence():
    def line(address, time):
        return f'{address} - - [07/Oct/2024:{time} +0000] "GET /{time} HTTP/1.1" 200 1 "-" "-"\n'

    times = ["10:30:00", "10:00:00", "11:00:01", "23:59:00"]  # a log is not always in order
    Path("access.log").write_text(
        "".join(line("1.1.1.1", time) for time in times) + line("2.2.2.2", "08:00:00")
    )
    found = {
        (row["address"], row["entry"].split()[1], row["seconds"], row["hits"])
        for row in result_of("sessions", "access.log", "out")
    }
    assert found == {
        ("1.1.1.1", "/10:00:00", 1800, 2),
        ("1.1.1.1", "/11:00:01", 0, 1),
        ("1.1.1.1", "/23:59:00", 0, 1),
        ("2.2.2.2", "/08:00:00", 0, 1),
    }


def test_exceptions_are_found_behind_the_first_line():
    message = "[2024-10-07 08:00:0{},000] ERROR no\njava.io.IOException: no\n\tat a.b(C.java:1)\n"
    cause = "Caused by: a.b.LostError: gone\n\t... 7 more\n"
    Path("server.log").write_text(message.format(2) + message.format(1) + cause)
    assert list(result_of("exceptions", "server.log", "out")) == [
        {"key": "a.b.LostError", "times": 1, "first": "2024-10-07 08:00:01"},
        {"key": "java.io.IOException", "times": 2, "first": "2024-10-07 08:00:01"},
    ]


def test_titles_are_joined(access_log):
    Path("titles.csv").write_text('path,title\n/,"Welcome, all"\n/unseen,Unseen\n')
    found = dict(result_of("titles", access_log, "out", SOURCE=access_log, TITLES="titles.csv"))
    paths = [line.split('"')[1].split()[1].partition("?")[0] for line in access_log.read_text().splitlines()]
    wanted = Counter(paths)
    wanted["Welcome, all"] = wanted.pop("/")
    assert found == {**wanted, "Unseen": 0}


def test_logs_are_sorted_by_time():
    logs = [list(access_lines(300, seed=seed)) for seed in (1, 2)]
    for name, lines in zip(("a.log", "b.log"), logs, strict=True):
        Path(name).write_text("\n".join([*lines, ""]))
    result = result_of("sort_by_time", "*.log", "out")
    found = b"".join(content(result)).decode().splitlines()
    assert found == sorted(logs[0] + logs[1], key=lambda line: line.split("[")[1][:20])  # all of one month
    assert len(result.parts) == 4


def test_checksums_are_those_of_the_stored_bytes(access_log):
    os.mkdir("files")
    shutil.copy(access_log, "files/one.log")
    Path("files/two").write_bytes(b"\0\xff")
    found = {row["path"]: row for row in result_of("checksums", "files", "sums")}
    assert [Path(path).name for path in found] == ["one.log", "two"]
    for path, row in found.items():
        data = Path(path).read_bytes()
        assert (row["sha256"], row["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))


# ---------------------------------------------------------------- the demo


def test_the_demo_runs_again_and_again():
    first = mapreduce("demo", "--size", "2MB", "--workers", "2")
    assert "Writing mapreduce-demo/access.log" in first.stderr
    log = Path("mapreduce-demo/access.log").stat()
    again = mapreduce("demo", "--size", "2MB", "--workers", "2")
    assert "Writing" not in again.stderr
    assert Path("mapreduce-demo/access.log").stat().st_mtime_ns == log.st_mtime_ns
    lines = again.stdout.splitlines()
    assert lines[0] == "The 10 busiest pages of mapreduce-demo/access.log"
    assert lines[3].split() == ["/", lines[3].split()[1], "█" * 40]
    assert "  manifest       mapreduce-demo/page-hits/_manifest.json" in lines
    commands = [line.split() for line in lines if line.startswith("  mapreduce ")]
    assert [command[1] for command in commands] == ["show", "verify"]
    for command in commands:
        mapreduce(*command[1:])
    assert sorted(os.listdir("mapreduce-demo")) == ["access.log", "page-hits"]

"""The examples and the demo, as a user runs them: with Python, and with `mapreduce`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the test's folder; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done


def mapreduce(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m mapreduce`."""
    return call(sys.executable, "-m", "mapreduce", *arguments)


def test_there_are_examples():
    assert [path.stem for path in EXAMPLES] == ["hits_by_hour", "inverted_index", "page_hits", "word_count"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_runs_as_it_stands(example):
    assert len(example.read_text().splitlines()) <= 60
    lines = call(sys.executable, example).stdout.splitlines()
    assert len(lines) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_from_the_command_line(example, access_log):
    job = (example, "--source", access_log, "--output", "out")
    plan = json.loads(mapreduce("plan", *job, "--json").stdout)
    assert plan["input_bytes"] == access_log.stat().st_size
    result = json.loads(mapreduce("run", *job, "--set", "SOURCE=nowhere", "--json").stdout)
    assert result["status"] == "SUCCEEDED"
    assert result["totals"]["records_in"] > 800
    assert mapreduce("verify", "out").stdout.endswith("all as the manifest says\n")
    shown = json.loads(mapreduce("show", "out", "--json").stdout)
    assert shown["records"] == result["totals"]["records_out"] > 0


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

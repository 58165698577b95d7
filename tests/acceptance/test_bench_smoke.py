"""A smoke of the benchmark: 20 MB, one round. Answers must be equal; times are told and judged by nobody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ["engine", "engine-frames", "handwritten", "duckdb", "polars"]
MORE = {
    "hits": ["engine-record", "mawk"],
    "words": ["engine-record", "mawk"],
    "status": ["engine-record", "mawk"],
    "top": ["mawk"],
    "sections": ["mawk"],
    "sessions": ["mawk"],
    "index": ["mawk"],
    "sort": ["sort"],
}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all test processes: a dataset that can be seen there is whole."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "bench-data"


def bench(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.bench", "--rounds", "1", "--data", str(data), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540, check=False)


def rows(output: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line[:1] == "|"
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("job", MORE)
def test_all_programs_give_the_same_answer(data: Path, job: str) -> None:
    programs = [*PROGRAMS, *MORE[job]]
    run = bench(data, "--size", "20MB", "--jobs", job, "--programs", ",".join(programs))
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    able = {program for program in programs if program != "mawk" or shutil.which("mawk")}
    assert {row[1] for row in rows(run.stdout) if row[0] == job} >= able
    assert ("NOT RUN: mawk" in run.stdout) == (len(able) < len(programs))
    assert "| engine ≤" in run.stdout


@pytest.mark.timeout(600)
def test_the_cases_of_the_engine_alone_run(data: Path) -> None:
    run = bench(data, "--size", "2MB", "--jobs", "share,fixed,gz,one-gz")
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {row[0] for row in rows(run.stdout)} >= {"share", "fixed", "gz", "one-gz"}
    assert "FAILED" not in run.stdout

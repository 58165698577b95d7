"""A coordinator of hosts killed at its store operations, and its run gone on with by the same command."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapreduce.cli.jobfile import load_job
from mapreduce.codec import unseal
from mapreduce.coordinator.log import read_log
from mapreduce.manifest import verify
from mapreduce.store import layout, open_store
from mapreduce.testing import run_sequential

from .clusters import Processes

KILLS = ("kill_before", "kill_after", "torn")
SLOTS = 2
"""Attempts that run at once."""

# Each call of a function is noted with the task that it belongs to: a map has a file of its own, and the two
# keys are in two shards.
JOB = """
import os, time
from mapreduce import Job, Text

def note(text):
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\\n".encode())
    os.close(descriptor)

def letters(line):
    number, text = line.split()
    note(f"map {number}")
    time.sleep(0.02)  # so that attempts are under way when the coordinator ends
    for letter in text:
        yield letter, int(number)

def shard(key):
    return "ab".index(key)

def total(key, values):
    note(f"reduce {shard(key)}")
    yield key, sum(values)

class Told:
    name = "told"

    def deliver(self, result, key):
        with open("delivered", "a") as stream:
            stream.write(key + "\\n")

source = Text("in-*.log")
job = Job("kills", source, letters, total, "out", shards=2, partition=shard, sinks=[Told()])
"""
MAPS = 6

# A process that has imported everything, and runs the command in a fork of itself for each line it reads.
FORKING = """
import json, os, sys
import mapreduce.engine, mapreduce.hosts.lead, mapreduce.store.faulty, mapreduce.observers.log
from mapreduce.cli.app import main
for line in sys.stdin:
    request = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.chdir(request["folder"])
        os.environ["MAPREDUCE_FAULTS"] = request["faults"]
        told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(told, 1), os.dup2(told, 2)
        main(["run", "job.py", "--on", "../store"])
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Runs:
    """A store, two hosts that work on whatever is laid there, and coordinators."""

    folder: Path
    forking: subprocess.Popen[str]

    def run(self, name: str, faults: str = "") -> tuple[int, str]:
        """Run the job of a folder, or go on with it; the exit code, and all that it told."""
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            (folder / "job.py").write_text(JOB)
            for number in range(MAPS):
                (folder / f"in-{number}.log").write_text(f"{number} abba\n")
        assert self.forking.stdin
        assert self.forking.stdout
        self.forking.stdin.write(json.dumps({"folder": str(folder), "faults": faults}) + "\n")
        self.forking.stdin.flush()
        code = int(self.forking.stdout.readline())
        return code, (folder / "told").read_text()

    def open(self, name: str) -> list[Path]:
        """Directories of the runs of a folder that hosts can find."""
        store = self.folder / "store"
        found = [store / layout.JOBS / path.name for path in store.glob("open/*")]
        output = str(self.folder / name / "out")
        return [run for run in found if unseal((run / layout.SPEC).read_bytes())["output"] == output]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("kills")
    (folder / "store").mkdir(mode=0o700)
    processes = Processes()
    forking = subprocess.Popen(
        [sys.executable, "-c", FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )
    try:
        for _ in range(SLOTS):
            processes.start("worker", str(folder / "store"), "--processes", "1")
        yield Runs(folder, forking)
    finally:
        processes.end()
        forking.communicate()


@pytest.fixture(scope="module")
def count(runs: Runs) -> int:
    """How many store operations the coordinator of an undisturbed run has."""
    log = runs.folder / "operations"
    code, told = runs.run("undisturbed", f"op=* times=always do=note:{log}")
    assert code == 0, told
    return len(log.read_text().splitlines())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The parts of the reference."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "job.py").write_text(JOB)
    for number in range(MAPS):
        (folder / f"in-{number}.log").write_text(f"{number} abba\n")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run_sequential(load_job("job.py")).parts
    finally:
        os.chdir(before)


def tasks_called(folder: Path) -> Counter[str]:
    """How often each task was begun, as far as its function was called."""
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(lines)


def accepted_of(run: Path) -> set[str]:
    """Tasks that a run's log holds."""
    return {str(task) for task in read_log(open_store(run)).by_task}


def go_on(runs: Runs, name: str, expected: list[bytes], deaths: int) -> None:
    """Go on with a run whose coordinator died so often, and check what was promised."""
    folder = runs.folder / name
    begun = runs.open(name)
    accepted = {task for run in begun for task in accepted_of(run)}
    before = tasks_called(folder)
    committed = [path.read_bytes() for run in begun for path in run.glob(layout.COMMIT)]
    published = (folder / "out" / layout.MANIFEST).exists()
    code, told = runs.run(name)
    if published and not begun:
        assert "already holds a result" in told, "it was over, but for the answer"
    else:
        assert code == 0, told
    manifest, wrong = verify(folder / "out")
    assert not wrong
    assert [(folder / "out" / part.name).read_bytes() for part in manifest.parts] == expected
    bytes_of_manifest = (folder / "out" / layout.MANIFEST).read_bytes()
    assert committed in ([], [bytes_of_manifest]), "what was committed is final"
    called = tasks_called(folder)
    assert not accepted & set(called - before), "what was accepted did not run again"
    twice = called - Counter(dict.fromkeys(called, 1))
    ended_otherwise = sum(attempt.outcome != "succeeded" for attempt in manifest.attempts)
    assert twice.total() <= deaths * SLOTS + ended_otherwise, f"no more than what ran: {twice}"
    assert runs.open(name) == []
    keys = (folder / "delivered").read_text().splitlines()
    assert len(keys) <= 1 + deaths
    assert len(set(keys)) == 1, "every delivery has one key"
    for run in begun:
        assert [path.read_bytes() for path in run.glob(layout.COMMIT)] == [bytes_of_manifest]
        left = {path.parent.name for path in run.rglob("*") if path.is_file()}
        # A host that nobody told of the end may have reported once more before it saw that by itself.
        assert left <= {run.name, "result", "coord", layout.REPORTS}, "what nobody needs is gone"
    shutil.rmtree(folder)


def was_killed(code: int) -> bool:
    return code == -signal.SIGKILL


CHOSEN = [
    ("create", layout.LOG, "torn"),
    ("create", layout.COMMIT, "kill_before"),
    ("create", layout.COMMIT, "kill_after"),
    ("create", layout.MANIFEST, "kill_before"),
    ("create", layout.MANIFEST, "kill_after"),
    ("create", layout.ENDED, "kill_after"),
    ("create", layout.SINKS, "kill_before"),
    ("create", layout.SINKS, "kill_after"),
    ("delete", layout.DATA, "kill_after"),
    ("delete", layout.PLANS, "kill_after"),
    ("delete", layout.CODE, "kill_after"),
    ("delete", layout.OPEN, "kill_before"),
    ("delete", layout.OPEN, "kill_after"),
]
"""A write that leaves half a file, and moments between the last result and the end."""


@pytest.mark.covers("C1", "SIGKILL of a coordinator of hosts in a write, and after the last result")
@pytest.mark.parametrize(("op", "path", "how"), CHOSEN)
def test_killed_at_chosen_moments(runs: Runs, expected: list[bytes], op: str, path: str, how: str) -> None:
    name = f"{op}-{path.replace('/', '-')}-{how}"
    code, told = runs.run(name, f"op={op} path={path} do={how}")
    assert was_killed(code), told
    go_on(runs, name, expected, 1)


@pytest.mark.sweep
@pytest.mark.timeout(600)
@pytest.mark.covers(
    "C1", "SIGKILL of a coordinator of hosts at every tenth store operation, then the same command"
)
def test_killed_at_every_tenth_store_operation(runs: Runs, expected: list[bytes], count: int) -> None:
    assert count >= 50
    killed = 0
    for number, how in zip(range(1, count + 1, 10), itertools.cycle(KILLS)):
        name = f"tenth-{number}"
        code, told = runs.run(name, f"op=* nth={number} do={how}")
        # How often the store is looked at depends on time: one run has fewer operations than the next.
        assert was_killed(code) or code == 0, f"operation {number} of {count}: {told}"
        if was_killed(code):
            killed += 1
            go_on(runs, name, expected, 1)
    assert killed >= count // 10 // 2


@pytest.mark.sweep
@pytest.mark.timeout(600)
@pytest.mark.covers("C2", "two SIGKILLs of coordinators of hosts in a row; moments by chance")
def test_killed_twice_in_a_row(runs: Runs, expected: list[bytes], count: int, rng: random.Random) -> None:
    for number in rng.sample(range(1, count * 2 // 3), 5):
        name = f"twice-{number}"
        first, second = rng.choice(KILLS), rng.choice(KILLS)
        again = rng.randrange(1, count // 2)
        code, told = runs.run(name, f"op=* nth={number} do={first}")
        assert was_killed(code), f"{number} {first}: {told}"
        accepted = {task for run in runs.open(name) for task in accepted_of(run)}
        before = tasks_called(runs.folder / name)
        code, told = runs.run(name, f"op=* nth={again} do={second}")
        moments = f"{number} {first}, {again} {second}"
        assert not accepted & set(tasks_called(runs.folder / name) - before), moments
        if was_killed(code):
            go_on(runs, name, expected, 2)
        else:
            assert code == 0, f"{moments}: {told}"

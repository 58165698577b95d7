"""Clocks that are an hour wrong, or jump by hours in the middle of a run: nothing is lost or different."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from commands import LONG, assert_right, kill, started, wait_for

from mapreduce import manifest as manifests

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JOB = """
import os, time
from mapreduce import Job, Sum, Text

def words(line):
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{os.environ.get('NAME')} {time.time()}\\n".encode())
    os.close(descriptor)
    while os.path.exists(f"hold-{os.environ.get('NAME')}"):
        time.sleep(0.01)
    for word in line.split():
        yield word, 1

job = Job("clocks", Text("in-*.log"), words, Sum(), "out", shards=2, timeout=60)
"""
FILES = 12
HOUR = 3600


class Clocks:
    """Commands on one folder, each with a clock of its own that can be set."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, wrong: int, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command whose clock is wrong by so many seconds."""
        self.set(name, wrong)
        clock = str(Path(f"clock-{name}").resolve())
        variables = {"NAME": name, "LD_PRELOAD": str(self._library), "WRONG_CLOCK": clock}
        self.all.append(started({**os.environ, **variables}, f"told-{name}", *arguments))
        return self.all[-1]

    def run(self, wrong: int) -> subprocess.Popen[bytes]:
        return self.start("run", wrong, "run", "job.py", "--on", "./store", "--no-backups")

    def host(self, name: str, wrong: int) -> subprocess.Popen[bytes]:
        """It is held in the function until its file is removed."""
        Path(f"hold-{name}").touch()
        return self.start(name, wrong, "worker", "./store", "--processes", "1")

    @staticmethod
    def set(name: str, wrong: int) -> None:
        """Let a clock be wrong by so many seconds from now on."""
        new = Path(f"new-{secrets.token_hex(4)}")
        new.write_text(str(wrong))
        new.replace(f"clock-{name}")


@pytest.fixture
def clocks(own_folder: Path) -> Iterator[Clocks]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed" + (", and only root could" if os.geteuid() else ""))
    library = own_folder / "wrongclock.so"
    source = Path(__file__).with_name("wrongclock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O", "-o", library, source], check=True)
    Path("job.py").write_text(JOB)
    for number in range(FILES):
        Path(f"in-{number:02}.log").write_text(f"n{number} a b a\n")
    Path("store").mkdir(mode=0o700)
    found = Clocks(library)
    try:
        yield found
    finally:
        for process in found.all:
            kill(process)


def calls() -> list[tuple[str, float]]:
    """Which host called the function, and by how many seconds its clock was wrong, roughly."""
    path = Path("calls")
    lines = path.read_text().splitlines() if path.exists() else []
    return [(name, float(when) - path.stat().st_mtime) for name, when in map(str.split, lines)]


def assert_nothing_lost(run: subprocess.Popen[bytes]) -> None:
    """The result is right, and nobody was taken for dead."""
    run.wait(LONG)
    assert_right(run.returncode)
    outcomes = {attempt.outcome for attempt in manifests.load(Path("out")).attempts}
    assert outcomes == {"succeeded"}


def is_wrong_by(found: float, wrong: int) -> bool:
    return abs(found - wrong) < HOUR / 6


@pytest.mark.covers("W7", "the coordinator's clock an hour ahead, one host's an hour behind")
def test_clocks_that_are_wrong(clocks: Clocks) -> None:
    expected = {"behind": -HOUR, "right": 0}
    run = clocks.run(HOUR)
    for name, wrong in expected.items():
        clocks.host(name, wrong)
    found = wait_for(lambda: len(calls()) == 2 and dict(calls()), "both are at it")
    assert all(is_wrong_by(found[name], wrong) for name, wrong in expected.items()), found
    for name in expected:
        Path(f"hold-{name}").unlink()
    assert_nothing_lost(run)
    begin = datetime.fromisoformat(manifests.load(Path("out")).started)
    assert is_wrong_by(begin.timestamp() - time.time(), HOUR), "the coordinator's clock was wrong too"


@pytest.mark.covers(
    "W7", "clocks jump in the middle of a run: the coordinator's ahead, hosts' ahead and back"
)
def test_clocks_that_jump(clocks: Clocks) -> None:
    jumps = {"ahead": HOUR, "back": -HOUR}
    run = clocks.run(0)
    for name in jumps:
        clocks.host(name, 0)
    found = wait_for(lambda: len(calls()) == 2 and dict(calls()), "both are at it")
    assert all(is_wrong_by(seconds, 0) for seconds in found.values()), found
    for name, wrong in {**jumps, "run": HOUR}.items():
        clocks.set(name, wrong)
    for name in jumps:
        Path(f"hold-{name}").unlink()
    assert_nothing_lost(run)
    found = dict(calls()[2:])
    assert found.keys() & jumps.keys()
    assert all(is_wrong_by(found[name], wrong) for name, wrong in jumps.items() if name in found), found


@pytest.mark.covers(
    "W7", "a host is killed, and the coordinator's clock jumps back by an hour before it is missed"
)
def test_a_host_that_goes_is_missed_though_the_clock_went_back(clocks: Clocks) -> None:
    run = clocks.run(0)
    gone = clocks.host("gone", 0)
    wait_for(calls, "it is at it")
    kill(gone)
    clocks.set("run", -HOUR)
    clocks.host("stays", 0)
    Path("hold-stays").unlink()
    run.wait(LONG)
    assert_right(run.returncode)
    attempts = manifests.load(Path("out")).attempts
    assert [attempt.outcome for attempt in attempts].count("lost") == 1

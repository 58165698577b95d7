"""Somebody ends a run from outside: what is finished is kept, nothing is left running, and it can go on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mapreduce import JobResult
from mapreduce.coordinator.log import read_log
from mapreduce.manifest import verify
from mapreduce.store import open_store

from .attempts import wait_for
from .test_process_faults import processes_of_session
from .watching import calls

DRAINED = 5.0
"""Seconds within which a run that was interrupted once must have ended."""

# Six maps of 8. Two workers wait in the first two for the files `go-0` and `go-1`, the others just run.
JOB = """
import glob, os, time
from mapreduce import Job, Sum, Text
from mapreduce.coordinator import loop

class UntilSomethingIsAccepted(float):  # however slow the machine is
    def __radd__(self, now):
        return self

    def __gt__(self, now):
        return not glob.glob(".out.mapreduce/*/log/??????.??????")

if os.path.exists("drain"):
    seconds = open("drain").read()
    loop.DRAIN_SECONDS = float(seconds) if seconds else UntilSomethingIsAccepted()

def mapper(line):
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"map {line}\\n".encode())
    os.close(descriptor)
    open(f"begun-{line}", "w").close()
    while line in "01" and not os.path.exists(f"go-{line}"):
        time.sleep(0.005)
    yield line, 1

job = Job("ended", Text("in.log", split_size=2), mapper, Sum(), "out", shards=2)
"""
LINES = "01234567"


@pytest.fixture(autouse=True)
def job_file(own_folder: Path) -> None:
    Path("in.log").write_text("".join(f"{line}\n" for line in LINES))
    Path("job.py").write_text(textwrap.dedent(JOB))


def reset_signals() -> None:
    """Their default meaning, also where the tests run under nohup, or in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command line, as the leader of a session; its two first maps have begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mapreduce", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=reset_signals,
    )
    try:
        wait_for(lambda: Path("begun-0").exists() and Path("begun-1").exists(), "two maps have begun")
        yield process
    finally:
        for pid in processes_of_session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str], code: int, seconds: float) -> str:
    """What it told, when it has ended in time, with that code, and nothing of it is left running."""
    begin = time.monotonic()
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert time.monotonic() - begin < seconds
    wait_for(lambda: not processes_of_session(process.pid), "no orphan is left", DRAINED)
    assert not Path("out/_manifest.json").exists()
    return told


def accepted() -> list[str]:
    """The tasks that the log of the run holds."""
    (run,) = Path(".out.mapreduce").glob("2*")
    found = read_log(open_store(run))
    assert found.damaged == []
    return sorted(str(task) for task in found.by_task)


def resume_command(told: str) -> list[str]:
    """The command that the message gives, as arguments."""
    return told.partition("`mapreduce ")[2].partition("`")[0].split()


def assert_goes_on(told: str) -> None:
    """The command of the message ends the run, without doing again what was accepted."""
    done = [task.removeprefix("map ") for task in accepted()]
    before = calls()
    for line in "01":
        Path(f"go-{line}").touch()
    arguments = resume_command(told)
    assert arguments == ["resume", "out"]
    again = subprocess.run(
        [sys.executable, "-m", "mapreduce", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert calls() - before == {f"map {line}": 1 for line in LINES if line not in done}
    assert dict(JobResult.load("out")) == dict.fromkeys(LINES, 1)
    assert verify(Path("out"))[1] == []
    assert list(Path().glob(".*")) == []


@pytest.mark.covers("C5", "Ctrl-C once, while one map is about to end and another is not")
def test_ctrl_c_lets_attempts_end_and_says_how_to_go_on() -> None:
    Path("drain").write_text("")
    with command("run", "job.py", "--workers", "2") as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
        wait_for(lambda: told_of(process, "stopping"), "it has taken notice")
        Path("go-0").touch()
        told = ended(process, 130, DRAINED)
    assert "error: Interrupted." in told
    assert "What was done is kept." in told
    assert "Traceback" not in told
    assert "map 0" in accepted()
    assert "map 1" not in accepted()
    assert_goes_on(told)


def told_of(process: subprocess.Popen[str], word: str) -> bool:
    """Whether the next line that it tells has this word."""
    assert process.stderr is not None
    return word in process.stderr.readline()


@pytest.mark.covers("C5", "Ctrl-C twice")
def test_ctrl_c_twice_ends_at_once() -> None:
    Path("drain").write_text("60")
    with command("run", "job.py", "--workers", "2") as process:
        os.killpg(process.pid, signal.SIGINT)
        wait_for(lambda: told_of(process, "stopping"), "it has taken notice")
        Path("go-0").touch()
        wait_for(lambda: list(Path(".out.mapreduce").glob("*/log/0*")), "what has ended is in the log")
        os.killpg(process.pid, signal.SIGINT)
        told = ended(process, 130, DRAINED)
    assert "error: Interrupted." in told
    assert "map 0" in accepted()
    assert_goes_on(told)


@pytest.mark.covers("C5", "SIGTERM, SIGHUP")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_are_as_ctrl_c(number: signal.Signals, code: int) -> None:
    Path("drain").write_text("0.5")
    with command("run", "job.py", "--workers", "2") as process:
        process.send_signal(number)
        wait_for(lambda: told_of(process, "stopping"), "it has taken notice")
        Path("go-1").touch()
        told = ended(process, code, DRAINED)
    assert "error: Ended by a signal." in told
    assert "map 1" in accepted()
    assert_goes_on(told)


@pytest.mark.covers("C5", "SIGTERM before anything is accepted: nothing is left to go on with")
def test_a_run_without_work_leaves_nothing() -> None:
    Path("drain").write_text("0.5")
    with command("run", "job.py", "--workers", "2") as process:
        process.send_signal(signal.SIGTERM)
        told = ended(process, 143, DRAINED)
    assert "resume" not in told
    assert not Path("out").exists()
    assert list(Path().glob(".*")) == []


@pytest.mark.covers("C5", "the terminal is closed")
def test_a_closed_terminal_is_a_signal_too() -> None:
    Path("drain").write_text("0.5")
    pid, terminal = pty.fork()
    if pid == 0:
        reset_signals()
        os.execv(sys.executable, [sys.executable, "-m", "mapreduce", "run", "job.py", "--workers", "2"])
    try:
        wait_for(lambda: Path("begun-0").exists() and Path("begun-1").exists(), "two maps have begun")
        Path("go-1").touch()
        wait_for(lambda: list(Path(".out.mapreduce").glob("*/log/0*")), "one is accepted")
        wait_for(lambda: Path("begun-7").exists(), "all but one have begun")
        begin = time.monotonic()
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert time.monotonic() - begin < DRAINED
        assert os.waitstatus_to_exitcode(status) == 129
        wait_for(lambda: not processes_of_session(pid), "no orphan is left", DRAINED)
    finally:
        for process in processes_of_session(pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert set(accepted()) >= {"map 1"}
    assert_goes_on("`mapreduce resume out`")

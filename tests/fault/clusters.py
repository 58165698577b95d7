"""A job on a folder that hosts share, as commands of real processes: started, killed, looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.cli.jobfile import load_job
from mapreduce.codec import unseal
from mapreduce.testing import run_sequential

from .watching import calls

JOB = """
import os, time
from mapreduce import Job, Sum, Text

def words(line):
    number = line.split()[0]
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{number} {os.getpid()}\\n".encode())
    os.close(descriptor)
    while os.path.exists(f"hold-{number}") or os.path.exists("hold"):
        time.sleep(0.005)
    for word in line.split():
        yield word, 1

job = Job("words", Text("in-*.log"), words, Sum(), "out", shards=2)
"""
FILES = 12
LONG = 60.0


class Processes:
    """Commands of ours that run beside the test, with all that they have started."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def start(
        self, *arguments: str, program: str = "", folder: str = ".", **environment: str
    ) -> subprocess.Popen[str]:
        """program: what Python runs with the arguments instead of the command. folder: where."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAPREDUCE_KEY")}
        process = subprocess.Popen(
            [sys.executable, *(["-c", program] if program else ["-m", "mapreduce"]), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=folder,
            env={**clean, **environment},
        )
        self.all.append(process)
        return process

    def host(self, processes: int = 2, **environment: str) -> subprocess.Popen[str]:
        return self.start("worker", "./store", "--processes", str(processes), **environment)

    def run(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        return self.start("run", "job.py", "--on", "./store", *options, **environment)

    def coordinator(self, **environment: str) -> subprocess.Popen[str]:
        return self.start("coordinator", "./store", **environment)

    def end(self) -> None:
        """Kill all of them, frozen ones too."""
        for process in self.all:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and all that it told."""
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out + err


def told_until(process: subprocess.Popen[str], word: str) -> str:
    """What a process tells, up to the line with this word."""
    assert process.stderr is not None
    told = ""
    while word not in told:
        line = process.stderr.readline()
        assert line, f"it ended without {word!r}: {told}"
        told += line
    return told


def assert_right() -> None:
    """The result is that of the plain loop, byte by byte."""
    noted = Path("calls").read_text()
    expected = run_sequential(load_job("job.py")).parts
    Path("calls").write_text(noted)
    manifest, wrong = manifests.verify(Path("out"))
    assert not wrong
    assert [(Path("out") / part.name).read_bytes() for part in manifest.parts] == expected


def called() -> Counter[str]:
    """How often each line was given to the function."""
    return Counter(line.split()[0] for line in calls().elements())


def callers() -> set[int]:
    """Processes that have called it."""
    return {int(line.split()[1]) for line in calls()}


def accepted(store: Path) -> set[str]:
    """Names of the tasks in the log."""
    found = set()
    for path in store.glob("jobs/*/log/*"):
        with suppress(ValueError, FileNotFoundError):  # an unfinished one
            plain = unseal(path.read_bytes())
            found |= {f"{each['task']['kind']} {each['task']['index']}" for each in plain["accepted"]}
    return found


def kill_group(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    os.killpg(process.pid, number)

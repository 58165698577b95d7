"""Hosts that lack what others have, each in a mount namespace of its own: others do their work."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from fault.attempts import wait_for

from mapreduce import manifest as manifests
from mapreduce.cli.jobfile import load_job
from mapreduce.hosts import messages
from mapreduce.hosts.messages import Orders
from mapreduce.testing import run_sequential

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

JOB = """
import os, time
from mapreduce import Job, Sum, Text

def words(line, ctx):
    with open(ctx.scratch / "page", "wb") as file:
        file.write(bytes(2_000_000))
    while os.path.exists("hold"):
        time.sleep(0.005)
    for word in line.split():
        yield word, 1

job = Job("words", Text("in/*.log"), words, Sum(), "out", shards=2)
"""
FILES = 12
LONG = 60.0

NOTHING = "mount -t tmpfs none in"
SMALL = "mount -t tmpfs -o size=1m none tmp"


@pytest.fixture
def folder(own_folder: Path) -> Path:
    """A job, its input, a store, and a folder for a host's temporary files."""
    for name in ("in", "store", "tmp"):
        Path(name).mkdir(mode=0o700)
    Path("job.py").write_text(JOB)
    for number in range(FILES):
        Path(f"in/{number:02}.log").write_text(f"n{number} a b a\n")
    return own_folder


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a command of ours, in a mount namespace where `mounts` were done; its output goes to a file."""
    with ExitStack() as stack:

        def started(
            log: str, *arguments: str, mounts: str = "", **environment: str
        ) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "mapreduce", *arguments]
            if mounts:
                inner = f"{mounts} && exec {shlex.join(command)}"
                command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner]
            told = stack.enter_context(open(log, "wb"))
            process = subprocess.Popen(
                command,
                stdout=told,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment},
            )
            stack.callback(end, process)
            return process

        yield started


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
    """End a process with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(LONG)


def id_of(log: str) -> str:
    """Of a host, from what it tells; "" before it has joined."""
    told = Path(log).read_text()
    return told.partition(" as ")[2].split()[0] if " as " in told else ""


def failed(host: str) -> int:
    """How many attempts that have ended on a host the coordinator has taken in."""
    newest = max(Path("store").glob(f"jobs/*/in/{host}/*"), default=None)
    return messages.parse(Orders, newest.read_bytes()).ack if newest else 0


@pytest.mark.covers("W6", "a host without the mount of the input, and one whose disk of 1 MB is full")
@pytest.mark.parametrize(("mounts", "why"), [(NOTHING, "went away"), (SMALL, "No space left")])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small tmpfs")
def test_a_host_that_lacks_something_is_set_aside(
    folder: Path, start: Callable[..., subprocess.Popen[bytes]], mounts: str, why: str
) -> None:
    Path("hold").touch()
    healthy = start("healthy", "worker", "./store", "--processes", "1")
    run = start("run", "run", "job.py", "--on", "./store")
    wait_for(lambda: id_of("healthy"), "one is at it", LONG)
    sick = start("sick", "worker", "./store", "--processes", "1", mounts=mounts, TMPDIR=str(folder / "tmp"))
    host = wait_for(lambda: id_of("sick"), "the other one too", LONG)
    wait_for(lambda: failed(host) >= 3, "it fails", LONG)
    Path("hold").unlink()
    assert run.wait(LONG) == 0, Path("run").read_text()
    manifest, wrong = manifests.verify(Path("out"))
    assert not wrong
    expected = run_sequential(load_job("job.py")).parts
    assert [(Path("out") / part.name).read_bytes() for part in manifest.parts] == expected
    told = Path("run").read_text()
    assert "it failed 3 attempts that other hosts finished" in told
    assert why in told
    for process in (healthy, sick):
        end(process, signal.SIGTERM)
    assert "this host gets no work: it failed 3 attempts" in Path("sick").read_text()

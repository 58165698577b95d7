"""Hosts and coordinators as commands that run beside a test, and a key and a job for them."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from servers import BUCKET, KEY, SECRET

from mapreduce import manifest as manifests
from mapreduce.cli.jobfile import load_job
from mapreduce.testing import run_sequential

LONG = 240.0
"""Seconds; the deadline is for a broken engine only."""
T = TypeVar("T")


def environment() -> dict[str, str]:
    """Of all commands, but for where the server is; the key that it names is made."""
    Path("key").write_text(secrets.token_hex(32))
    Path("key").chmod(0o600)
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MAPREDUCE_KEY_FILE": str(Path("key").resolve()),
    }


def new_place() -> str:
    """The URL of a store that nobody has used."""
    return f"s3://{BUCKET}/hosts/{secrets.token_hex(6)}"


def started(
    environment: dict[str, str], log: str, *arguments: str, before: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """A command that appends what it tells to a file. before: the command that runs it."""
    with open(log, "ab") as told:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "mapreduce", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(condition: Callable[[], T], what: str, seconds: float = LONG) -> T:
    """Poll until something is true, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}\n{told()}")
        time.sleep(0.05)
    return found


def told() -> str:
    """What all commands have told."""
    return "".join(f"--- {path}\n{path.read_text()}" for path in sorted(Path().glob("told-*")))


def assert_right(code: int | None) -> None:
    """The run has ended well, and its result is that of the plain loop, byte by byte, and nothing else."""
    assert code == 0, told()
    manifest, wrong = manifests.verify(Path("out"))
    assert not wrong
    found = [(Path("out") / part.name).read_bytes() for part in manifest.parts]
    assert found == run_sequential(load_job("job.py")).parts
    assert SECRET not in told() + Path("out/_manifest.json").read_text()

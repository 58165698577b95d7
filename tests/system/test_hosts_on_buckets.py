"""Two hosts and a coordinator that share a bucket of a real server; one host is killed."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from servers import BUCKET, KEY, SECRET, Server

from mapreduce import manifest as manifests
from mapreduce.cli.jobfile import load_job
from mapreduce.testing import run_sequential
from mapreduce.testing.logs import write_access_log

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JOB = """
from mapreduce import Job, Sum, Text

def hits(line):
    yield line.split('"', 2)[1].split(" ", 2)[1], 1

job = Job("hits", Text("access.log", split_size=250_000, errors="replace"), hits, Sum(), "out", shards=2)
"""
LONG = 240.0


@pytest.fixture
def environment(own_folder: Path) -> dict[str, str]:
    """Of all commands, but for where the server is."""
    Path("job.py").write_text(JOB)
    write_access_log(Path("access.log"), 2_000_000)
    Path("key").write_text(secrets.token_hex(32))
    Path("key").chmod(0o600)
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MAPREDUCE_KEY_FILE": str(Path("key").resolve()),
    }


def started(environment: dict[str, str], log: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A command that writes what it tells to a file."""
    with open(log, "wb") as told:
        command = [sys.executable, "-m", "mapreduce", *arguments]
        return subprocess.Popen(
            command, stdout=told, stderr=subprocess.STDOUT, start_new_session=True, env=environment
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("server", ["moto", "seaweedfs"])
def test_hosts_that_share_a_bucket(
    server: str, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    running: Server = request.getfixturevalue(server)
    environment["AWS_ENDPOINT_URL"] = running.endpoint
    place = f"s3://{BUCKET}/hosts/{secrets.token_hex(6)}"
    logs = [f"told-{number}" for number in range(3)]
    processes = [started(environment, log, "worker", place, "--processes", "1") for log in logs[:2]]
    processes.append(started(environment, logs[2], "run", "job.py", "--on", place))
    try:
        deadline = time.monotonic() + LONG
        while "joined run" not in Path(logs[0]).read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kill(processes[0])
        processes[2].wait(LONG)
    finally:
        for process in processes:
            kill(process)
    told = "".join(Path(log).read_text() for log in logs)
    assert processes[2].returncode == 0, told
    manifest, wrong = manifests.verify(Path("out"))
    assert not wrong
    expected = run_sequential(load_job("job.py")).parts
    assert [(Path("out") / part.name).read_bytes() for part in manifest.parts] == expected
    assert SECRET not in told
    assert SECRET not in Path("out/_manifest.json").read_text()

"""Hosts and a coordinator that share a bucket of a real server; hosts and coordinators are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import LONG, assert_right, environment, kill, new_place, started, told, wait_for
from servers import Server

from mapreduce import JobResult, run
from mapreduce import manifest as manifests
from mapreduce.cli.jobfile import load_job
from mapreduce.testing import run_sequential
from mapreduce.testing.logs import write_access_log

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

HITS = """
from mapreduce import Job, Sum, Text

def hits(line):
    yield line.split('"', 2)[1].split(" ", 2)[1], 1

job = Job("hits", Text("access.log", split_size=250_000, errors="replace"), hits, Sum(), "out", shards=2)
"""
WORDS = """
from mapreduce import Job, Sum, Text

def words(line):
    for word in line.split():
        yield word, 1

job = Job("words", Text("access.log", split_size=500_000, errors="replace"), words, Sum(), "out", shards=2)
"""


@pytest.mark.parametrize("job", [HITS, WORDS], ids=["hits", "words"])
@pytest.mark.parametrize("server", ["moto", "seaweedfs"])
def test_hosts_that_share_a_bucket(
    server: str, job: str, own_folder: Path, request: pytest.FixtureRequest
) -> None:
    running: Server = request.getfixturevalue(server)
    Path("job.py").write_text(job)
    write_access_log(Path("access.log"), 2_000_000)
    variables = {**environment(), "AWS_ENDPOINT_URL": running.endpoint}
    place = new_place()
    hosts = [started(variables, f"told-{n}", "worker", place, "--processes", "1") for n in range(2)]
    run = started(variables, "told-run", "run", "job.py", "--on", place)
    try:
        wait_for(lambda: "joined run" in Path("told-0").read_text(), "a host has joined")
        kill(hosts[0])
        run.wait(LONG)
    finally:
        for process in (*hosts, run):
            kill(process)
    assert_right(run.returncode)


# ---------------------------------------------------------------- results in the bucket

STAGES = """
import os
from mapreduce import Job, JsonLines, Sum, Text

def hits(line):
    yield line.split('"', 2)[1].split(" ", 2)[1], 1

def sizes(record):
    yield len(record["key"]), record["value"]

there = os.environ["THERE"]
job = Job("hits", Text("access.log", split_size=250_000, errors="replace"), hits, Sum(), there, shards=2)
sums = Job("sums", JsonLines(there), sizes, Sum(), None if there.startswith("s3:") else "sums")
"""


@pytest.mark.parametrize("server", ["moto", "seaweedfs"])
def test_results_in_the_bucket(
    server: str, own_folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs, one of which reads the other's result; the result of the second is kept with its run."""
    running: Server = request.getfixturevalue(server)
    place = new_place()
    there = f"{place}-hits"
    Path("job.py").write_text(STAGES)
    write_access_log(Path("access.log"), 1_000_000)
    variables = {**environment(), "AWS_ENDPOINT_URL": running.endpoint, "THERE": there}
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "THERE",
    ):
        monkeypatch.setenv(name, variables[name])
    hosts = [started(variables, f"told-{n}", "worker", place, "--processes", "1") for n in range(2)]
    try:
        runs = [started(variables, "told-hits", "run", "job.py:job", "--on", place)]
        wait_for(lambda: "joined run" in Path("told-0").read_text(), "a host has joined")
        kill(hosts[0])
        assert runs[0].wait(LONG) == 0, told()
        runs.append(started(variables, "told-sums", "run", "job.py:sums", "--on", place, "--json"))
        assert runs[1].wait(LONG) == 0, told()
    finally:
        for process in (*hosts, *runs):
            kill(process)
    hits = JobResult.load(there)
    assert [hits.part_bytes(part) for part in hits.parts] == run_sequential(load_job("job.py:job")).parts
    assert manifests.verify(there)[1] == []
    said = Path("told-sums").read_text()
    kept = JobResult.load(json.loads(said[said.index("{") :])["path"])
    assert str(kept.place).startswith(f"{place}/results/sums/")
    monkeypatch.setenv("THERE", "plain")
    run(load_job("job.py:job"), on="serial")
    assert list(kept) == list(run(load_job("job.py:sums"), on="serial"))
    assert not Path(".mapreduce").exists()


# ---------------------------------------------------------------- a storm

STORM = """
import os, time
from mapreduce import Job, Sum, Text

def words(line):
    time.sleep(float(os.environ.get("PAUSE", "0")))  # on hosts, so that the job outlives some kills
    for word in line.split():
        yield word, 1

job = Job("storm", Text("in-*.log"), words, Sum(), "out", shards=3, max_attempts=20)
"""
HOSTS, KILLS, PAUSE = 3, 6, 2.0


@pytest.mark.covers("W2", "kill -9 of a host, or of the coordinator, every two seconds, on SeaweedFS")
def test_a_storm_of_kills(seaweedfs: Server, own_folder: Path, rng: random.Random) -> None:
    Path("job.py").write_text(STORM)
    for number in range(40):
        Path(f"in-{number:02}.log").write_text("".join(f"n{number} a b w{line}\n" for line in range(30)))
    variables = {**environment(), "AWS_ENDPOINT_URL": seaweedfs.endpoint, "PAUSE": "0.02"}
    place = new_place()
    everything: list[subprocess.Popen[bytes]] = []

    def new(log: str, *arguments: str) -> subprocess.Popen[bytes]:
        everything.append(started(variables, log, *arguments))
        return everything[-1]

    def coordinator() -> subprocess.Popen[bytes]:
        return new("told-run", "run", "job.py", "--on", place)

    def host() -> subprocess.Popen[bytes]:
        return new(f"told-{len(everything)}", "worker", place, "--processes", "1")

    try:
        run = coordinator()
        hosts = [host() for _ in range(HOSTS)]
        wait_for(lambda: "joined run" in told(), "a host has joined")
        killed = 0
        while run.poll() is None and killed < KILLS:
            time.sleep(PAUSE)  # the storm's own pace
            killed += 1
            if killed % 3 == 0:
                kill(run)
                run = coordinator()
            else:
                chosen = rng.randrange(HOSTS)
                kill(hosts[chosen])
                hosts[chosen] = host()
        assert killed >= 3, "the job was over before the storm was one"
        run.wait(LONG)
    finally:
        for process in everything:
            kill(process)
    if run.returncode == 0:
        assert_right(run.returncode)
    else:  # it was killed when the result was there
        assert "already holds a result" in Path("told-run").read_text(), told()
        assert_right(0)


# ---------------------------------------------------------------- laid down, and left


def test_a_run_that_was_left_in_a_bucket_is_led(
    moto: Server, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submitter, coordinator and host share the bucket alone; the coordinator is killed once."""
    place = new_place()
    there = f"{place}-out"
    Path("job.py").write_text(HITS.replace('"out"', repr(there)))
    write_access_log(Path("access.log"), 1_000_000)
    variables = {**environment(), "AWS_ENDPOINT_URL": moto.endpoint}
    for name in [name for name in variables if name.startswith("AWS_")]:
        monkeypatch.setenv(name, variables[name])
    submit = started(variables, "told-submit", "submit", "job.py", "--on", place)
    assert submit.wait(LONG) == 0, told()
    both = [started(variables, "told-coordinator", "coordinator", place)]
    both.append(started(variables, "told-host", "worker", place, "--processes", "1"))
    try:
        wait_for(lambda: "leading run" in Path("told-coordinator").read_text(), "it is led")
        os.kill(_leader(both[0].pid), signal.SIGKILL)
        wait_for(lambda: "exit code 0" in Path("told-coordinator").read_text(), "it has ended")
    finally:
        for process in both:
            kill(process)
    result = JobResult.load(there)
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(load_job("job.py")).parts
    assert manifests.verify(there)[1] == []


def _leader(coordinator: int) -> int:
    """The process that a coordinator has started to lead a run."""
    (child,) = Path(f"/proc/{coordinator}/task/{coordinator}/children").read_text().split()
    return int(child)

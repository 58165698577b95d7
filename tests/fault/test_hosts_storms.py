"""Workers and hosts that are killed again and again, and a third of them at once."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mapreduce import manifest as manifests

from .attempts import is_alive, wait_for
from .clusters import FILES, LONG, Processes, assert_right, called, callers, ended, kill_group

pytestmark = pytest.mark.sweep

PAUSE = 2.0
"""Seconds between two kills: the storm's own pace."""


def lost() -> int:
    """How many attempts went with their process, or their host."""
    return sum(attempt.outcome == "lost" for attempt in manifests.load(Path("out")).attempts)


@pytest.mark.covers("W2", "two of six worker processes of three hosts at once")
def test_a_third_of_the_workers_is_killed_at_once(
    cluster: Path, processes: Processes, rng: random.Random
) -> None:
    Path("hold").touch()
    for _ in range(3):
        processes.host(2)
    run = processes.run("--no-backups")
    workers = wait_for(lambda: len(callers()) == 6 and callers(), "all are at it", LONG)
    for worker in rng.sample(sorted(workers), 2):
        os.kill(worker, signal.SIGKILL)
    Path("hold").unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert called().total() == FILES + 2
    assert lost() == 2


@pytest.fixture
def slow(cluster: Path) -> None:
    """On hosts each map takes a second, so that the job outlives some kills."""
    job = Path("job.py").read_text()
    Path("job.py").write_text(
        job.replace("shards=2", "shards=2, max_attempts=20").replace(
            "    for word in line.split():",
            '    time.sleep(float(os.environ.get("PAUSE", "0")))\n    for word in line.split():',
        )
    )


@pytest.mark.sweep
@pytest.mark.covers("W2", "one worker process of two hosts every two seconds")
@pytest.mark.usefixtures("slow")
def test_a_worker_is_killed_every_two_seconds(processes: Processes, rng: random.Random) -> None:
    for _ in range(2):
        processes.host(1, PAUSE="1")
    run = processes.run()
    wait_for(callers, "somebody is at it", LONG)
    killed = 0
    while run.poll() is None:
        alive = sorted(filter(is_alive, callers()))
        if alive:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(alive), signal.SIGKILL)
                killed += 1
        time.sleep(PAUSE)
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert killed >= 3
    assert lost() <= killed


@pytest.mark.sweep
@pytest.mark.covers("W2", "one of three hosts every two seconds, each replaced")
@pytest.mark.usefixtures("slow")
def test_a_host_is_killed_every_two_seconds(processes: Processes, rng: random.Random) -> None:
    hosts = [processes.host(1, PAUSE="1") for _ in range(3)]
    run = processes.run()
    wait_for(callers, "somebody is at it", LONG)
    for _ in range(4):
        if run.poll() is not None:
            break
        chosen = rng.randrange(len(hosts))
        kill_group(hosts[chosen])
        hosts[chosen] = processes.host(1, PAUSE="1")
        time.sleep(PAUSE)
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert lost() >= 1

"""Hosts that are cut off from the store, or see it badly: the result is right, and they may come back."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import networks
import pytest
import servers
from commands import LONG, assert_right, environment, kill, new_place, started, wait_for
from networks import LOSING, Network, Side

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# Each host says by a variable who it is, and waits in the function while there is a file of its name.
JOB = """
import os, time
from mapreduce import Job, Sum, Text

def words(line):
    side = os.environ.get("SIDE", "")
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{side} {line.split()[0]}\\n".encode())
    os.close(descriptor)
    while os.path.exists(f"hold-{side}"):
        time.sleep(0.01)
    for word in line.split():
        yield word, 1

job = Job("cut-off", Text("in-*.log"), words, Sum(), "out", shards=2, max_attempts=20)
"""
FILES = 24
Command = subprocess.Popen[bytes]
BETWEEN = 1.0
"""Seconds for which a network that comes and goes is there, or is not."""


@pytest.fixture
def network() -> Iterator[Network]:
    with networks.network() as found:
        yield found


class Cluster:
    """A server, a coordinator and hosts on a network."""

    def __init__(self, network: Network, port: int) -> None:
        self._network, self._port = network, port
        self._place, self._environment = new_place(), environment()
        self.all: list[Command] = []

    def host(self, name: str, side: Side | None = None) -> Command:
        """A host on a side, or on the hub; it is held in the function until `go`."""
        Path(f"hold-{name}").touch()
        return self._started(f"told-{name}", side, "worker", self._place, "--processes", "1", SIDE=name)

    def run(self) -> Command:
        """The coordinator, on the hub."""
        return self._started("told-run", None, "run", "job.py", "--on", self._place)

    def _started(self, log: str, side: Side | None, *arguments: str, **variables: str) -> Command:
        inside = side.inside if side else networks.within(self._network.hub)
        endpoint = f"http://{side.hub if side else '127.0.0.1'}:{self._port}"
        variables |= {**self._environment, "AWS_ENDPOINT_URL": endpoint}
        self.all.append(started(variables, log, *arguments, before=inside))
        return self.all[-1]


@pytest.fixture
def cluster(network: Network, own_folder: Path) -> Iterator[Cluster]:
    Path("job.py").write_text(JOB)
    for number in range(FILES):
        Path(f"in-{number:02}.log").write_text(f"n{number} a b a\n")
    Path("server").mkdir()
    with servers.moto_within(Path("server").resolve(), networks.within(network.hub)) as port:
        found = Cluster(network, port)
        try:
            yield found
        finally:
            for process in found.all:
                kill(process)


def go(*names: str) -> None:
    """Let hosts go on that are held."""
    for name in names:
        Path(f"hold-{name}").unlink()


def calls() -> Counter[str]:
    """How often each host has called the function."""
    path = Path("calls")
    return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


def taken_for_dead() -> set[str]:
    """Hosts of which the coordinator has told that they were silent for too long."""
    return set(re.findall(r"(\S+) has not been heard of", Path("told-run").read_text()))


@pytest.mark.covers(
    "W5", "a host is cut off in both directions, another one from all answers, until they are given up"
)
def test_hosts_that_are_cut_off_do_no_harm_and_come_back(network: Network, cluster: Cluster) -> None:
    both, answers = network.add("both"), network.add("answers")
    run = cluster.run()
    cluster.host("both", both)
    second = cluster.host("answers", answers)
    wait_for(lambda: set(calls()) == {"both", "answers"}, "both are at it")
    both.drop("INPUT")
    both.drop("OUTPUT")
    answers.drop("INPUT")
    go("both", "answers")  # they end what they had while they are cut off
    cluster.host("near")
    wait_for(lambda: len(taken_for_dead()) == 2, "both are taken for dead")
    assert both.lost() > 0
    assert answers.lost() > 0
    before = calls()
    both.heal()
    answers.heal()
    kill(second)
    cluster.host("answers", answers)  # with the same address, and another identity
    go("answers")
    wait_for(lambda: calls()["both"] > before["both"], "the same host has come back, and works")
    wait_for(lambda: calls()["answers"] > before["answers"], "another one at the same address works")
    assert run.poll() is None
    go("near")
    run.wait(LONG)
    assert_right(run.returncode)


@contextmanager
def flapping(side: Side) -> Iterator[list[int]]:
    """Cut a side off, and heal it, again and again; how many packets were lost each time."""
    over, lost = threading.Event(), []

    def flap() -> None:
        while not over.wait(BETWEEN):
            side.drop("INPUT")
            side.drop("OUTPUT")
            over.wait(BETWEEN)
            lost.append(side.lost())
            side.heal()

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield lost
    finally:
        over.set()
        thread.join()


@pytest.mark.covers(
    "W5", "three hosts: one whose network comes and goes, one that loses 5 %, one with 64 kbit/s"
)
def test_hosts_on_bad_networks_give_the_same(network: Network, cluster: Cluster) -> None:
    names = ("flapping", "lossy", "slow")
    sides = {name: network.add(name) for name in names}
    for chain in ("INPUT", "OUTPUT"):
        sides["lossy"].drop(chain, *LOSING, "0.05")
    network.slow(sides["slow"], "64kbit")
    with flapping(sides["flapping"]) as lost:
        run = cluster.run()
        for name in names:
            cluster.host(name, sides[name])
        wait_for(lambda: set(calls()) == set(names), "all are at it")
        go(*names)
        run.wait(LONG)
    assert_right(run.returncode)
    assert sum(lost) > 0
    assert sides["lossy"].lost() > 0
    assert network.delayed(sides["slow"]) > 0

"""Hosts in network namespaces of their own, each with one cable to a hub, on which a server may run.

No address of them can be reached from outside: the hub is a namespace too.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

LOSING = ("-m", "statistic", "--mode", "random", "--probability")
"""What `Side.drop` takes, with a number behind it, to lose that share of all packets."""
_LIMIT = ("root", "tbf", "burst", "4kb", "latency", "2s")


@dataclass(frozen=True)
class Side:
    """A namespace with a cable to the hub."""

    namespace: str
    device: str
    hub: str
    """The hub's address, as seen from here."""

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command in it."""
        return within(self.namespace)

    def do(self, *command: str) -> None:
        """Run a command in it. Raises CalledProcessError."""
        _do(*self.inside, *command)

    def drop(self, *what: str) -> None:
        """Lose packets: of a chain, INPUT or OUTPUT, and those that the rest of the rule says."""
        self.do("iptables", "-A", *what, "-j", "DROP")

    def heal(self) -> None:
        """Lose none any more."""
        self.do("iptables", "-F")

    def lost(self) -> int:
        """How many packets were lost here since `heal`."""
        rules = [line.split() for line in _do(*self.inside, "iptables", "-nvxL").splitlines()]
        return sum(int(rule[0]) for rule in rules if rule[2:3] == ["DROP"])


class Network:
    """The hub, and the sides that were made so far."""

    def __init__(self) -> None:
        self._name = f"mr-{secrets.token_hex(3)}"
        self.made: list[str] = []
        self.hub = ""

    def make_hub(self) -> None:
        """Make it. Raises CalledProcessError where no network can be made, or be broken."""
        self.hub = self._add("hub")
        inside = within(self.hub)
        _do(*inside, "iptables", "-A", "INPUT", *LOSING, "0.05", "-j", "DROP")
        _do(*inside, "iptables", "-F")
        _do(*inside, "tc", "qdisc", "add", "dev", "lo", *_LIMIT, "rate", "64kbit")
        _do(*inside, "tc", "qdisc", "del", "dev", "lo", "root")

    def _add(self, name: str) -> str:
        namespace = f"{self._name}-{name}"
        self.made.append(namespace)
        _do("ip", "netns", "add", namespace)
        _do("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace

    def add(self, name: str) -> Side:
        """Make a side."""
        number = 4 * len(self.made)
        side = Side(self._add(name), "cable", f"10.213.7.{number + 1}")
        plug = self._plug(side)
        cable = ("ip", "link", "add", plug, "netns", self.hub, "type", "veth")
        _do(*cable, "peer", "name", side.device, "netns", side.namespace)
        for namespace, device, address in (
            (self.hub, plug, f"{side.hub}/30"),
            (side.namespace, side.device, f"10.213.7.{number + 2}/30"),
        ):
            _do("ip", "-n", namespace, "address", "add", address, "dev", device)
            _do("ip", "-n", namespace, "link", "set", device, "up")
        return side

    def slow(self, side: Side, rate: str) -> None:
        """Let its cable carry so much, in both directions."""
        for inside, device in ((within(self.hub), self._plug(side)), (side.inside, side.device)):
            _do(*inside, "tc", "qdisc", "add", "dev", device, *_LIMIT, "rate", rate)

    def delayed(self, side: Side) -> int:
        """How often a packet had to wait on a slow cable."""
        told = _do(*side.inside, "tc", "-s", "qdisc", "show", "dev", side.device)
        return int(told.partition("overlimits ")[2].split()[0])

    @staticmethod
    def _plug(side: Side) -> str:
        return f"to-{side.namespace.rpartition('-')[2]}"


def within(namespace: str) -> tuple[str, ...]:
    """What runs a command in a namespace."""
    return ("ip", "netns", "exec", namespace)


@contextmanager
def network() -> Iterator[Network]:
    """A hub, and what is added to it; all of it is gone afterwards. Skips where that can't be."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if missing := [name for name in ("ip", "iptables", "tc") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    found = Network()
    try:
        try:
            found.make_hub()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespace can be made and broken: {error.stderr}")
        yield found
    finally:
        for namespace in found.made:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _do(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

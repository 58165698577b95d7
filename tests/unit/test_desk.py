"""The coordinator's side of a store, by a clock of the test's: what it tells of hosts that don't come."""

from __future__ import annotations

import math

import pytest

from mapreduce.errors import NoWorkers
from mapreduce.events import WorkerReady
from mapreduce.hosts import messages
from mapreduce.hosts.desk import LONELY, Desk, Pace
from mapreduce.hosts.messages import HostReport
from mapreduce.store import layout
from mapreduce.testing import MemoryStore

PACE = Pace(look=0.1, report=1.0, dead=5.0)


class Waiting:
    """A desk to which nobody comes but who reports."""

    def __init__(self, lonely: float = math.inf) -> None:
        self.store, self.now = MemoryStore(), 0.0
        self.desk = Desk(self.store, 1, PACE, clock=lambda: self.now, lonely=lonely)

    def let_pass(self, seconds: float) -> list[object]:
        """Look once a second; what it heard."""
        heard: list[object] = []
        for _ in range(int(seconds)):
            self.now += 1.0
            heard += self.desk.poll(0)
        return heard


def test_it_is_told_once_each_time_that_nobody_works(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    waiting.let_pass(LONELY)
    assert caplog.messages == []
    waiting.let_pass(3 * LONELY)
    told = ["no host works on the run: start one with `mapreduce worker STORE`"]
    assert caplog.messages == told
    waiting.store.put(layout.report_name("host-1", 1), messages.write(HostReport(1, 0, 0)))
    waiting.let_pass(PACE.dead + LONELY)
    assert caplog.messages == told, "it came, and has not been gone for so long"
    waiting.let_pass(3 * LONELY)
    assert caplog.messages == 2 * told


def test_a_run_that_no_host_works_on_is_given_up_where_that_is_wanted() -> None:
    waiting = Waiting(lonely=30.0)
    waiting.let_pass(29)
    waiting.store.put(layout.report_name("host-1", 1), messages.write(HostReport(1, 0, 0)))
    waiting.let_pass(PACE.dead + 29)
    with pytest.raises(NoWorkers, match="No host has worked on the run for 30 s"):
        waiting.let_pass(5)


def test_a_coordinator_that_was_frozen_gives_hosts_their_time() -> None:
    waiting = Waiting(lonely=30.0)
    waiting.let_pass(20)
    waiting.now += 3600
    waiting.let_pass(29)
    with pytest.raises(NoWorkers):
        waiting.let_pass(5)


def test_a_report_that_holds_nothing_hides_no_other() -> None:
    waiting = Waiting()
    waiting.store.put(layout.report_name("host-1", 1), messages.write(HostReport(2, 0, 0)))
    waiting.store.put(layout.report_name("host-1", 900), b"")
    assert waiting.let_pass(1) == [WorkerReady(1, "host-1"), WorkerReady(2, "host-1")]


def test_a_host_is_there_when_it_reports_to_this_coordinator() -> None:
    waiting = Waiting()
    waiting.store.put(layout.report_name("host-1", 7), messages.write(HostReport(1, 0, 0)))
    waiting.desk.start()
    assert waiting.let_pass(3) == []
    waiting.store.put(layout.report_name("host-1", 8), messages.write(HostReport(1, 0, 0)))
    assert waiting.let_pass(1) == [WorkerReady(1, "host-1")]

"""The coordinator's desk, by a clock of the test's: how much work each host has at hand."""

from __future__ import annotations

from itertools import count

import pytest

from mapreduce.events import WorkerGone, WorkerReady
from mapreduce.hosts import messages
from mapreduce.hosts.desk import LEAST, MOST, QUICK, REACH, Desk, Pace, at_hand
from mapreduce.hosts.messages import Ended, HostReport, Orders
from mapreduce.model import Attempt, Kind, Result, TaskId, Work
from mapreduce.store import layout
from mapreduce.testing import MemoryStore

PACE = Pace(look=0.02, report=0.5, dead=5.0)
SLOTS = 2


@pytest.mark.parametrize(
    ("seconds", "look", "expected"),
    [
        (0.0, 0.02, 1 + round(REACH * 0.02 / LEAST)),
        (0.001, 0.02, 101),
        (0.01, 0.02, 11),
        (0.03, 0.02, 5),
        (0.1, 0.02, 2),
        (QUICK - 0.01, 0.02, 2),
        (QUICK, 0.02, 1),
        (60.0, 0.02, 1),
        (0.001, 0.5, MOST),
        (0.5, 0.5, 6),
        (2.0, 0.5, 3),
        (2.5, 0.5, 1),
    ],
)
def test_a_host_has_work_for_some_looks_at_hand(seconds: float, look: float, expected: int) -> None:
    assert at_hand(seconds, look) == expected


class Run:
    """A desk, one host as the store shows it, and tasks without an end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = MemoryStore()
        self.desk = Desk(self.store, 1, PACE, clock=lambda: self.now, sleep=self.sleep)
        self.idle: set[int] = set()
        self._tasks, self._ended, self._reports = count(), count(1), count(1)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def poll(self) -> None:
        """What the brain does with events."""
        self.now += PACE.look
        for event in self.desk.poll(0):
            if isinstance(event, WorkerReady):
                self.idle.add(event.worker)
            elif isinstance(event, WorkerGone):
                self.idle.discard(event.worker)

    def submit(self, kind: Kind = Kind.MAP) -> None:
        """Give every idle worker something to do."""
        for worker in sorted(self.idle):
            request = {"kind": kind.value, "nonce": f"{worker:08x}"}
            self.desk.submit(Attempt(TaskId(kind, next(self._tasks)), 1, worker), request)
        self.idle.clear()

    def orders(self) -> Orders:
        """The newest."""
        newest = max(self.store.list(layout.ORDERS))
        orders: Orders = messages.parse(Orders, self.store.read(newest))
        return orders

    def report(self, *seconds: float) -> None:
        """The host tells that so many of its orders have ended, and how long each took; it reads again."""
        ended = [
            Ended(next(self._ended), order.key, order.attempt, Result(Work(seconds=took), {}))
            for took, order in zip(seconds, self.orders().orders if seconds else (), strict=False)
        ]
        assert len(ended) == len(seconds)
        report = HostReport(SLOTS, 1, 1, tuple(ended))
        messages.post(self.store, layout.report_name("host", next(self._reports)), report)
        self.poll()

    def work(self, seconds: float, turns: int, kind: Kind = Kind.MAP) -> int:
        """Do all that is ordered, again and again; how much is ordered then."""
        for _ in range(turns):
            self.submit(kind)
            self.poll()
            self.report(*[seconds] * len(self.orders().orders))
        self.submit(kind)
        self.poll()
        return len(self.orders().orders)


@pytest.fixture
def run() -> Run:
    """Its host has come."""
    run = Run()
    run.report()
    assert len(run.idle) == SLOTS
    return run


def test_the_first_attempts_are_one_for_each_slot(run: Run) -> None:
    run.submit()
    run.poll()
    assert len(run.orders().orders) == SLOTS


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1, 1.0])
def test_what_is_at_hand_follows_from_how_long_attempts_take(run: Run, seconds: float) -> None:
    assert run.work(seconds, turns=30) == SLOTS * at_hand(seconds, PACE.look)


def test_one_slow_attempt_is_enough_to_order_less(run: Run) -> None:
    held = run.work(0.0, turns=30)
    run.report(*[0.0] * (held - 1), QUICK)
    run.submit()
    run.poll()
    assert len(run.orders().orders) == SLOTS


def test_places_that_nobody_needs_are_taken_back(run: Run) -> None:
    held = run.work(0.0, turns=30)
    run.report(*[0.0] * (held // 2))
    assert len(run.idle) == held // 2
    run.poll()
    assert not run.idle, "nothing waits, and enough is at hand"
    run.report(*[0.0] * len(run.orders().orders))
    assert len(run.idle) == SLOTS, "what comes next finds slots that are free"
    run.report()
    run.poll()
    assert len(run.idle) == SLOTS


def test_a_host_gets_one_reduce_a_slot_however_quick_its_maps_were(run: Run) -> None:
    held = run.work(0.0, turns=30)
    run.report(*[0.0] * (held // 2))
    run.poll()
    run.report(*[0.0] * len(run.orders().orders))
    assert run.work(2.0, turns=5, kind=Kind.REDUCE) == SLOTS


def test_of_what_a_lost_host_had_at_hand_only_the_first_may_have_begun(run: Run) -> None:
    held = run.work(0.0, turns=30)
    first = [order.attempt.worker for order in run.orders().orders][:SLOTS]
    gone: list[WorkerGone] = []
    while not gone:
        run.now += PACE.dead / 4
        gone = [event for event in run.desk.poll(0) if isinstance(event, WorkerGone)]
    assert len(gone) == held
    assert [event.worker for event in gone if event.begun] == first

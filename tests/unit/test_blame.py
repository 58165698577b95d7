"""Hosts that fail what others finish: whose fault it is, and whom the desk sets aside."""

from __future__ import annotations

import pytest

from mapreduce.errors import (
    HostLost,
    InputMissing,
    MapReduceError,
    SegmentError,
    StorageError,
    UserFunctionError,
    WorkerKilled,
)
from mapreduce.events import Failed, WorkerGone, WorkerReady
from mapreduce.hosts import messages
from mapreduce.hosts.blame import Blame
from mapreduce.hosts.desk import Desk, Pace
from mapreduce.hosts.messages import Ended, HostReport, Orders
from mapreduce.model import Attempt, Kind, Result, TaskId, Work
from mapreduce.store import layout
from mapreduce.testing import MemoryStore

FULL = StorageError("full")


def task(index: int) -> TaskId:
    return TaskId(Kind.MAP, index)


@pytest.mark.parametrize(
    ("error", "between", "is_blamed"),
    [
        (FULL, False, True),
        (FULL, True, True),
        (InputMissing("no mount"), True, True),
        (UserFunctionError("boom"), False, True),
        (UserFunctionError("boom"), True, False),
        (WorkerKilled("killed"), False, True),
        (WorkerKilled("killed"), True, False),
        (SegmentError("gone", map_index=1), False, False),
        (HostLost("gone"), False, False),
    ],
)
def test_three_that_others_finish_are_its_fault(
    error: MapReduceError, between: bool, is_blamed: bool
) -> None:
    """between: it finishes something itself after the second of them."""
    blame = Blame()
    for index in range(3):
        blame.failed("bad", task(index), error)
        if index == 1 and between:
            blame.succeeded("bad", task(100))
    assert blame.succeeded("good", task(0)) == []
    assert blame.succeeded("good", task(1)) == []
    assert blame.succeeded("good", task(7)) == []
    assert blame.succeeded("good", task(2)) == (["bad"] if is_blamed else [])


def test_what_nobody_finishes_is_nobodys_fault() -> None:
    blame = Blame()
    for index in range(9):
        blame.failed("one", task(index), FULL)
        blame.failed("other", task(index), FULL)
    assert blame.succeeded("one", task(0)) == []


def test_what_it_finishes_itself_later_is_not_its_fault() -> None:
    blame = Blame()
    for index in range(3):
        blame.failed("bad", task(index), FULL)
    blame.succeeded("bad", task(2))
    assert [blame.succeeded("good", task(index)) for index in range(3)] == [[], [], []]


class Hosts:
    """A desk, and hosts that tell it what the test wants."""

    def __init__(self, slots: dict[str, int]) -> None:
        self.store = MemoryStore()
        self.desk = Desk(self.store, 1, Pace(look=0.0))
        self.slots = slots
        self.ended: dict[str, list[Ended]] = {host: [] for host in slots}
        self._reports = 0
        for host in slots:
            self.report(host)
        self.ready = {
            (event.worker, event.host) for event in self.desk.poll(0) if isinstance(event, WorkerReady)
        }

    def report(self, host: str) -> None:
        self._reports += 1
        report = HostReport(self.slots[host], 1, 0, tuple(self.ended[host]), name=f"{host}.net")
        self.store.put(layout.report_name(host, self._reports), messages.write(report))

    def orders(self, host: str) -> Orders:
        """The newest."""
        names = self.store.list(f"{layout.ORDERS}/{host}")
        return messages.parse(Orders, self.store.read(max(names)))

    def run(self, host: str, index: int, error: MapReduceError | None = None) -> list[object]:
        """A task is ordered from a host, which ends it; what the desk tells then."""
        worker = min(worker for worker, of in self.ready if of == host)
        self.desk.submit(
            Attempt(task(index), 1, worker), {"kind": "map", "index": index, "nonce": f"{host}{index}"}
        )
        self.desk.poll(0)
        (order,) = self.orders(host).orders
        number = len(self.ended[host]) + 1
        outcome = {"error": error.to_plain()} if error else {"result": Result(Work(), {}, digest="d")}
        self.ended[host].append(Ended(number, order.key, order.attempt, **outcome))  # type: ignore[arg-type]
        self.report(host)
        return list(self.desk.poll(0))


def test_a_host_that_fails_what_others_finish_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    hosts = Hosts({"bad": 1, "good": 1})
    for index in range(3):
        told = hosts.run("bad", index, FULL)
        assert any(isinstance(event, WorkerReady) for event in told)
        told = hosts.run("good", index)
    (bad,) = [worker for worker, host in hosts.ready if host == "bad"]
    assert [event.worker for event in told if isinstance(event, WorkerGone)] == [bad]
    assert not [event for event in told if isinstance(event, WorkerReady) and event.host == "bad"]
    assert caplog.messages == [
        "host bad.net takes no part: it failed 3 attempts that other hosts finished, the last of them so: "
        "full It was on host bad.net."
    ]
    hosts.report("bad")
    hosts.desk.poll(0)
    assert hosts.orders("bad").refusal.startswith("it failed 3 attempts")
    assert not [event for event in hosts.desk.poll(0) if isinstance(event, WorkerReady)]


def test_the_last_host_is_not_set_aside() -> None:
    hosts = Hosts({"bad": 1, "good": 1})
    for index in range(3):
        hosts.run("bad", index, FULL)
    for index in range(2):
        hosts.run("good", index)
    hosts.slots["good"] = 0
    told = hosts.run("good", 2)
    assert not [event for event in told if isinstance(event, WorkerGone) and event.worker == 1]
    assert not hosts.orders("bad").refusal


def test_a_failure_says_on_which_host_it_was() -> None:
    hosts = Hosts({"bad": 1})
    (failed,) = [event for event in hosts.run("bad", 0, FULL) if isinstance(event, Failed)]
    assert failed.error.message == "full It was on host bad.net."

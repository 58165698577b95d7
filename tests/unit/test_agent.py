"""A host in a run, by a clock of the test's: when it leaves, and whether it may come back."""

from __future__ import annotations

from typing import Any

import pytest

from mapreduce.errors import MapReduceError, MemoryExceeded
from mapreduce.events import Succeeded, WorkerReady
from mapreduce.hosts import messages
from mapreduce.hosts.agent import IDLE, Agent, Identity
from mapreduce.hosts.desk import Pace
from mapreduce.hosts.leadership import ENDED
from mapreduce.hosts.messages import HostReport, Order, Orders
from mapreduce.model import Attempt, Kind, Result, TaskId, Work
from mapreduce.store import layout
from mapreduce.testing import MemoryStore

PACE = Pace(look=0.1, report=1.0, dead=5.0)


class Idle:
    """An executor that has nothing to tell; each look takes a second."""

    queues = False
    workers = 1

    def __init__(self) -> None:
        self.now = 0.0

    def start(self) -> None: ...

    def close(self) -> None: ...

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None: ...

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None: ...

    def memory(self) -> dict[int, int]:
        return {}

    def poll(self, timeout: float) -> list[Any]:
        self.now += 1.0
        return []


def served(store: MemoryStore) -> tuple[Agent, float]:
    executor = Idle()
    agent = Agent(store, Identity("host-1"), executor, PACE, clock=lambda: executor.now)
    agent.serve()
    return agent, executor.now


def test_a_host_with_nothing_to_do_leaves_and_may_come_back() -> None:
    agent, now = served(MemoryStore())
    assert now > IDLE * PACE.dead
    assert not agent.is_done


@pytest.mark.parametrize("how", ["ended", "coordinator"])
def test_a_host_has_done_its_part_when_the_run_or_its_coordinator_has_ended(how: str) -> None:
    store = MemoryStore()
    if how == "ended":
        store.create(layout.ENDED, ENDED)
    else:
        store.put(layout.orders_name("host-1", 1, 1), messages.write(Orders(ended=True)))
    agent, now = served(store)
    assert now < IDLE * PACE.dead
    assert agent.is_done


def test_a_host_says_why_it_gets_no_work(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.put(layout.orders_name("host-1", 1, 1), messages.write(Orders(refusal="it has polars 0.1")))
    agent, now = served(store)
    assert now < IDLE * PACE.dead
    assert agent.is_done, "it does not come back to this coordinator"
    assert [record.message for record in caplog.records] == ["this host gets no work: it has polars 0.1"]


class Heavy(Idle):
    """Workers that hold memory; what is submitted runs until it is stopped."""

    def __init__(self, held: list[int]) -> None:
        super().__init__()
        self.held, self.workers = held, len(held)
        self.stopped: list[MapReduceError | None] = []
        self._events: list[Any] = []

    def start(self) -> None:
        self._events = [WorkerReady(worker) for worker in range(self.workers)]

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None:
        self.stopped.append(error)

    def memory(self) -> dict[int, int]:
        return dict(enumerate(self.held))

    def poll(self, timeout: float) -> list[Any]:
        events, self._events = self._events, super().poll(timeout)
        return events


@pytest.mark.parametrize(
    ("held", "of_the_job", "stopped"),
    [
        ([500, 500], None, 0),
        ([501, 499], None, 1),
        ([501, 501], None, 1),
        ([501, 501], 400, 0),
        ([1000], None, 0),
        ([1001], None, 1),
    ],
)
def test_an_attempt_that_takes_more_than_its_share_of_the_host_is_stopped(
    held: list[int], of_the_job: int | None, stopped: int
) -> None:
    """The host has 1000 bytes; once one of two is stopped, the other one may take all."""
    store = MemoryStore()
    executor = Heavy(held)
    agent = Agent(store, Identity("host-1"), executor, PACE, memory=1000, clock=lambda: executor.now)
    orders = tuple(
        Order(Attempt(TaskId(Kind.MAP, index), 1, 7 + index), {"nonce": str(index), "memory": of_the_job})
        for index in range(len(held))
    )
    store.put(layout.orders_name("host-1", 1, 1), messages.write(Orders(orders)))
    executor.start()
    for _ in range(9):
        assert agent.step()
    errors = executor.stopped
    assert [type(error) for error in errors] == [MemoryExceeded] * stopped
    if errors and len(held) == 2:
        assert str(errors[0]).startswith("map 0, attempt 1 took 501 B of memory, where 500 B are allowed.")


def test_orders_that_hold_nothing_hide_no_others() -> None:
    store = MemoryStore()
    store.put(layout.orders_name("host-1", 1, 1), messages.write(Orders(ended=True)))
    store.put(layout.orders_name("host-1", 900, 1), b"")
    agent, _ = served(store)
    assert agent.is_done


class Busy(Idle):
    """An executor with one worker, each of whose attempts takes a tenth of a look."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Any] = [WorkerReady(0)]

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        self._events += [Succeeded(attempt, Result(Work(), {})), WorkerReady(0)]

    def poll(self, timeout: float) -> list[Any]:
        self.now += PACE.look / 10 if self._events else timeout
        events, self._events = self._events, []
        return events


def test_a_host_with_work_at_hand_reports_once_a_look_and_at_once_when_it_has_none() -> None:
    store, executor = MemoryStore(), Busy()
    agent = Agent(store, Identity("host-1"), executor, PACE, clock=lambda: executor.now)
    orders = tuple(
        Order(Attempt(TaskId(Kind.MAP, index), 1, index), {"nonce": f"{index:08x}"}) for index in range(35)
    )
    store.put(layout.orders_name("host-1", 1, 1), messages.write(Orders(orders)))
    told: list[int] = []
    while not told or told[-1] < len(orders):
        before = len(store.list(layout.REPORTS))
        agent.step()
        if len(names := store.list(layout.REPORTS)) > before:
            told.append(len(messages.parse(HostReport, store.read(max(names))).ended))
    assert told[0] <= 1
    assert len(told) <= 2 + 35 / 10
    assert executor.now < 35 * PACE.look / 10 + 2 * PACE.look, "the last report did not wait"

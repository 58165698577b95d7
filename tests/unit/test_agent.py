"""A host in a run, by a clock of the test's: when it leaves, and whether it may come back."""

from __future__ import annotations

from typing import Any

import pytest

from mapreduce.errors import MapReduceError
from mapreduce.hosts import messages
from mapreduce.hosts.agent import IDLE, Agent, Identity
from mapreduce.hosts.desk import Pace
from mapreduce.hosts.leadership import ENDED
from mapreduce.hosts.messages import Orders
from mapreduce.model import Attempt
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

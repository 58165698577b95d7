"""Requests side by side: how many, in which order they count, and what an error leaves running."""

from __future__ import annotations

from threading import Barrier, Event, Lock

import pytest

from mapreduce.errors import StorageError
from mapreduce.hosts import messages
from mapreduce.hosts.desk import Desk, Pace
from mapreduce.hosts.messages import HostReport
from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.together import do_all, together
from mapreduce.testing import MemoryStore

LONG = 60.0
"""Seconds; the deadline is for what is broken only."""


def store(most: int) -> MemoryStore:
    return MemoryStore(capabilities=Capabilities("memory", together=most))


def test_as_many_as_the_store_says_are_begun_at_once_and_count_in_order() -> None:
    all_there, lock, now, most = Barrier(3), Lock(), 0, 0

    def act(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        all_there.wait(LONG)  # broken if fewer than three come at once
        with lock:
            now -= 1
        return -number

    assert list(together(store(3), act, range(9))) == [-number for number in range(9)]
    assert most == 3


def test_one_is_begun_when_the_one_before_was_taken() -> None:
    begun: list[int] = []
    found = together(store(1), begun.append, range(3))
    assert begun == []
    next(found)
    assert begun == [0]
    list(found)
    assert begun == [0, 1, 2]


@pytest.mark.parametrize("most", [1, 2, 8])
def test_the_first_error_in_order_is_raised_when_what_was_begun_has_ended(most: int) -> None:
    failed, ended = Event(), []

    def act(number: int) -> None:
        if number == 2:
            failed.set()
            raise StorageError("the third")
        if number == 1 and most > 2:
            failed.wait(LONG)
            raise StorageError("the second, later")
        if number == 3:
            failed.wait(LONG)
        ended.append(number)

    with pytest.raises(StorageError, match="the second, later" if most > 2 else "the third"):
        do_all(store(most), act, range(20))
    assert len(ended) < 20, "the others are not begun"
    assert (3 in ended) == (most > 1)


def test_an_act_that_does_several_things_does_them_by_itself() -> None:
    both = Barrier(2)

    def act(number: int) -> list[int]:
        both.wait(LONG)
        seen: list[int] = []
        inner = together(store(2), seen.append, range(3))
        assert seen == [], "nothing is begun"
        list(inner)
        return seen

    assert list(together(store(2), act, range(2))) == [[0, 1, 2]] * 2


# ---------------------------------------------------------------- the coordinator's


class Meeting(MemoryStore):
    """A store on which one kind of request is answered when so many are there at once."""

    def __init__(self, op: str, prefix: str, together: int) -> None:
        super().__init__(capabilities=Capabilities("memory", together=together))
        self._op, self._prefix, self._meet = op, prefix, Barrier(together)
        self.is_on = False

    def _met(self, op: str, name: str) -> None:
        if self.is_on and op == self._op and name.startswith(self._prefix):
            self._meet.wait(LONG)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        self._met("create", name)
        return super().create(name, data, durable=durable)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._met("read", name)
        return super().read(name, start, length)

    def delete(self, name: str) -> None:
        self._met("delete", name)
        super().delete(name)


HOSTS = 4


def reported(found: MemoryStore, number: int, seen: int) -> None:
    for host in range(HOSTS):
        report = HostReport(1, 1, seen, name=f"host-{host}")
        found.put(layout.report_name(f"host-{host}", number), messages.write(report))


@pytest.mark.parametrize(
    ("op", "prefix"), [("read", layout.REPORTS), ("create", layout.ORDERS), ("delete", layout.ORDERS)]
)
def test_a_coordinator_asks_for_what_all_hosts_say_and_are_told_at_once(op: str, prefix: str) -> None:
    found, now = Meeting(op, prefix, HOSTS), 0.0
    desk = Desk(found, 1, Pace(look=1.0, report=100.0, dead=1_000.0), clock=lambda: now)
    found.is_on = True

    def look() -> list[object]:
        nonlocal now
        now += 1.0
        return list(desk.poll(0))

    reported(found, 1, 0)
    assert len(look()) == HOSTS, "they are ready, and their orders have been written when it looks next"
    reported(found, 17, 1)  # so many that they are told that they were read
    look()
    look()
    reported(found, 18, 2)
    look()
    assert [layout.orders_numbers(name) for name in found.list(layout.ORDERS)] == [(1, 2)] * HOSTS

"""What is tried again, and how long a store that is gone may keep everybody waiting."""

from __future__ import annotations

import errno

import pytest
from buckets import failure

from mapreduce.errors import StorageError
from mapreduce.store.patience import Budget, Patience


class Clock:
    """Time that passes in pauses, and in what is done."""

    def __init__(self, each: float = 0.0) -> None:
        self.now = 1_000.0
        self.calls = 0
        self._each = each

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def fail(self) -> None:
        self.calls += 1
        self.now += self._each
        raise failure(errno.EBUSY)


def patience(clock: Clock, budget: Budget, attempts: int = 100) -> Patience:
    return Patience(attempts, pause=0.1, budget=budget, sleep=clock.sleep, chance=lambda: 0.5, clock=clock)


@pytest.mark.covers("S3", "503 of every operation, always: given up in bounded time")
@pytest.mark.parametrize("each", [0.0, 0.5, 20.0], ids=lambda each: f"an answer takes {each:.1f} s")
def test_a_store_that_is_gone_is_given_up_in_bounded_time(each: float) -> None:
    clock = Clock(each)
    trying = patience(clock, Budget(seconds=60.0, window=600.0))
    for _ in range(20):
        with pytest.raises(StorageError):
            trying.repeat(clock.fail)
    waited = clock.now - 1_000.0 - 20 * each
    assert waited <= 60.0 + 20.0, "all twenty together, but for one answer that is late"


def test_when_the_budget_is_spent_every_operation_is_tried_once() -> None:
    clock = Clock()
    trying = patience(clock, Budget(seconds=10.0, window=600.0))
    with pytest.raises(StorageError):
        trying.repeat(clock.fail)
    before = clock.calls
    with pytest.raises(StorageError):
        trying.repeat(clock.fail)
    assert clock.calls == before + 1


def test_later_there_is_a_budget_again() -> None:
    clock = Clock()
    trying = patience(clock, Budget(seconds=10.0, window=600.0))
    with pytest.raises(StorageError):
        trying.repeat(clock.fail)
    clock.now += 601.0
    before = clock.calls
    with pytest.raises(StorageError):
        trying.repeat(clock.fail)
    assert clock.calls > before + 1


def test_success_costs_nothing() -> None:
    clock = Clock()
    budget = Budget(seconds=10.0, window=600.0)
    for _ in range(1_000):
        clock.now += 1.0
        assert patience(clock, budget).repeat(lambda: 7) == 7
    assert budget.left(clock.now) == 10.0


def test_pauses_grow_to_the_longest() -> None:
    clock, pauses = Clock(), []
    trying = Patience(
        8, pause=1.0, longest=5.0, sleep=pauses.append, chance=lambda: 0.5, clock=clock, budget=Budget(999.0)
    )
    with pytest.raises(StorageError):
        trying.repeat(clock.fail)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]

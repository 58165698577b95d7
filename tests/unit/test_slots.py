"""One pool of workers for several jobs: who gets a slot, and what becomes of one that is given back."""

from __future__ import annotations

import threading

from mapreduce.executors.slots import Slots


def test_the_job_that_joined_first_is_served_first() -> None:
    slots = Slots(3)
    first, second, third = slots.join(), slots.join(), slots.join()
    assert first.take(2) == 2
    assert second.take(2) == 1
    assert third.take(1) == 0
    first.give()
    assert third.take(1) == 0, "the second still wants one, and joined before"
    assert second.take(1) == 1
    assert third.is_wanted() is False, "nobody else wants any"
    second.give()
    assert third.take(1) == 1


def test_who_leaves_holds_up_nobody() -> None:
    slots = Slots(1)
    first, second = slots.join(), slots.join()
    assert first.take(1) == 1
    assert first.take(1) == 0, "it wants another"
    assert second.take(1) == 0
    assert first.is_wanted()
    first.give()
    assert second.take(1) == 0, "the first wants it"
    first.leave()
    first.leave()
    assert second.take(1) == 1


def test_a_job_that_wants_none_any_more_is_passed_over() -> None:
    slots = Slots(1)
    first, second = slots.join(), slots.join()
    assert first.take(2) == 1
    assert first.take(0) == 0
    first.give()
    assert second.take(1) == 1


def test_waiting_ends_when_a_slot_is_given_back() -> None:
    slots = Slots(1)
    first, second = slots.join(), slots.join()
    first.take(1)
    got: list[int] = []

    def wants() -> None:
        while not (taken := second.take(1)):
            second.wait(60)
        got.append(taken)

    thread = threading.Thread(target=wants)
    thread.start()
    first.give()
    thread.join(30)
    assert got == [1]


def test_many_threads_never_hold_more_than_there_are() -> None:
    slots = Slots(3)
    held, most, lock = 0, 0, threading.Lock()

    def work(share: object) -> None:
        nonlocal held, most
        for _ in range(50):
            while not share.take(1):  # type: ignore[attr-defined]
                share.wait(1)  # type: ignore[attr-defined]
            with lock:
                held += 1
                most = max(most, held)
            with lock:
                held -= 1
            share.give()  # type: ignore[attr-defined]
        share.leave()  # type: ignore[attr-defined]

    threads = [threading.Thread(target=work, args=(slots.join(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert 1 <= most <= 3

"""One pool of workers for several jobs: who may have a process now."""

from __future__ import annotations

import threading


class Slots:
    """So many worker processes at once, whichever jobs they work for. Any thread may call it.

    Jobs are served in the order in which they joined: the first that wants a slot gets the next free one.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._free = number
        self._wanted: dict[int, int] = {}
        self._joined = 0
        self._changed = threading.Condition()

    def join(self) -> Share:
        """A job's share, which is empty."""
        with self._changed:
            self._joined += 1
            return Share(self, self._joined)

    def _take(self, rank: int, wanted: int) -> int:
        with self._changed:
            self._wanted[rank] = wanted
            before = sum(other for each, other in self._wanted.items() if each < rank)
            taken = max(0, min(self._free - before, wanted))
            self._free -= taken
            self._wanted[rank] = wanted - taken
            return taken

    def _give(self, number: int) -> None:
        with self._changed:
            self._free += number
            self._changed.notify_all()

    def _leave(self, rank: int) -> None:
        with self._changed:
            self._wanted.pop(rank, None)
            self._changed.notify_all()

    def _others_want(self, rank: int) -> bool:
        with self._changed:
            return self._free < sum(other for each, other in self._wanted.items() if each != rank)

    def _wait(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait(timeout)


class Share:
    """What one job has of the slots."""

    def __init__(self, slots: Slots, rank: int) -> None:
        self._slots, self._rank = slots, rank

    @property
    def of(self) -> int:
        """How many slots all jobs have together."""
        return self._slots.number

    def take(self, wanted: int) -> int:
        """Take up to so many slots; how many it got. What it did not get it still wants, before jobs that
        joined later.
        """
        return self._slots._take(self._rank, wanted)

    def give(self, number: int = 1) -> None:
        """Give slots back."""
        self._slots._give(number)

    def leave(self) -> None:
        """Want none any more. May be called twice."""
        self._slots._leave(self._rank)

    def is_wanted(self) -> bool:
        """Whether other jobs want more slots than are free."""
        return self._slots._others_want(self._rank)

    def wait(self, timeout: float) -> None:
        """Wait until slots may have become free."""
        self._slots._wait(timeout)

"""Leading runs that nobody leads, each by a process of its own.

Whoever laid a run down may lead it (`mapreduce run --on`), or leave that to others (`mapreduce submit`). A
coordinator that was killed is followed by another; one that has said how it ended is not, until a person who
has looked why asks for it (`mapreduce retry`). Several supervisors may look after one store: of two
coordinators of a run the newer one leads, and the older one ends.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mapreduce.errors import SignatureError, WorkDamaged
from mapreduce.hosts.jobs import Cluster
from mapreduce.hosts.leadership import Asking, has_ended, is_retried, leader, newest, said_end, was_late
from mapreduce.hosts.watching import enough

logger = logging.getLogger("mapreduce.run")


COMPLETE = (0, 3, 4)
"""Exit codes of who has led a run to its end."""
TELLING = 120.0
"""Seconds that a coordinator has to tell sinks of a result and to remove the run; it answers nobody then."""
LONGEST_PAUSE = 600.0
"""Seconds after a coordinator that ended badly until another one is started here, at most."""


class Leading(Protocol):
    """A process that leads a run."""

    def poll(self) -> int | None:
        """Its exit code; None: it has not ended."""

    def send_signal(self, number: int) -> None:
        """Ask it to end."""


@dataclass
class _Asked:
    """A coordinator that was asked whether it is there."""

    asking: Asking
    epoch: int
    since: float


class _Pauses:
    """Until when nobody leads a run again from here: twice as long each time."""

    def __init__(self, first: float) -> None:
        self._first = first
        self._times: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def until(self, run_id: str) -> float:
        """The clock's time."""
        return self._until.get(run_id, 0.0)

    def add(self, run_id: str, now: float) -> float:
        """Begin the next pause; its seconds."""
        pause: float = min(LONGEST_PAUSE, self._first * 2 ** self._times[run_id])
        self._times[run_id] += 1
        self._until[run_id] = now + pause
        return pause


class Supervisor:
    """Starts a coordinator for each open run of a store that has none.

    start: begins to lead a run, in a process of its own. Not to be shared by threads.
    """

    def __init__(
        self,
        cluster: Cluster,
        start: Callable[[str], Leading],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._start, self._clock = cluster, start, clock
        pace = cluster.pace()
        self._patience = max(pace.dead, enough(pace, cluster.store.capabilities))
        self._again = pace.dead
        self.leading: dict[str, Leading] = {}
        """The processes that were started and have not ended, by run."""
        self._asked: dict[str, _Asked] = {}
        self._answered: dict[str, float] = {}
        """When each run's coordinator answered last."""
        self._alone: dict[str, float] = {}
        """Since when each run is known that nobody has led yet."""
        self._refused: set[str] = set()
        self._pauses = _Pauses(pace.dead)

    def look(self, *, starts: bool = True) -> None:
        """See who has ended, ask who is there, and start coordinators if they are wanted. Returns soon.

        Raises StorageError.
        """
        for run_id, process in list(self.leading.items()):
            if (code := process.poll()) is not None:
                self._note_end(run_id, code)
                del self.leading[run_id]
        if not starts:
            return
        runs = self._cluster.open_runs()
        for run_id in runs:
            if (
                run_id in self.leading
                or run_id in self._refused
                or self._clock() < self._pauses.until(run_id)
            ):
                continue
            if self._has_nobody(run_id):
                logger.info("run %s has no coordinator: this host leads it", run_id)
                self._forget(run_id)
                self.leading[run_id] = self._start(run_id)
        for run_id in {*self._asked, *self._answered, *self._alone} - {*runs}:
            self._forget(run_id)

    def _note_end(self, run_id: str, code: int) -> None:
        """Who ends badly may do so again: others are started later and later."""
        waits = code not in COMPLETE and not self._rests(run_id)
        pause = self._pauses.add(run_id, self._clock()) if waits else 0.0
        again = f"; not again here within {pause:g} s" if pause else ""
        logger.info("run %s is led no more: exit code %s%s", run_id, code, again)

    def _rests(self, run_id: str) -> bool:
        """Whether nobody leads a run until a person asks for it."""
        store = self._cluster.of_run(run_id)
        epoch = newest(store)
        return bool(epoch) and said_end(store, epoch) is not None and not is_retried(store, epoch)

    def close(self) -> None:
        """Take back what was asked."""
        for run_id in list(self._asked):
            self._forget(run_id)

    def _has_nobody(self, run_id: str) -> bool:
        """Whether a run needs somebody to lead it, as far as that can be known yet."""
        store, now = self._cluster.of_run(run_id), self._clock()
        try:
            is_left = self._cluster.spec(run_id).is_left
        except (SignatureError, WorkDamaged) as error:
            logger.warning("run %s is left alone: %s", run_id, error)
            self._refused.add(run_id)
            return False
        if has_ended(store):
            if self._cluster.is_removed(run_id) or was_late(store):
                return False
            return self._is_silent(run_id, newest(store), TELLING)  # its sinks may not have been told
        if not (epoch := newest(store)):
            return is_left or now - self._alone.setdefault(run_id, now) >= self._again
        if said_end(store, epoch) is not None:
            self._forget(run_id)
            return is_retried(store, epoch)
        return self._is_silent(run_id, epoch, self._patience)

    def _is_silent(self, run_id: str, epoch: int, patience: float) -> bool:
        """Ask a run's coordinator now and then; True when it should have answered and has not."""
        store, now = self._cluster.of_run(run_id), self._clock()
        asked = self._asked.get(run_id)
        if asked is not None and asked.epoch != epoch:
            self._forget(run_id)
            asked = None
        if asked is None:
            if now - self._answered.get(run_id, now - self._again) >= self._again:
                asking = Asking(store, epoch)
                asking.__enter__()
                self._asked[run_id] = _Asked(asking, epoch, now)
            return False
        if asked.asking.answer() is not None:
            self._forget(run_id)
            self._answered[run_id] = now
            return False
        if now - asked.since < patience:
            return False
        logger.info("coordinator %s (%s) of run %s does not answer", epoch, leader(store, epoch), run_id)
        return True

    def _forget(self, run_id: str) -> None:
        if asked := self._asked.pop(run_id, None):
            asked.asking.__exit__()
        self._answered.pop(run_id, None)
        self._alone.pop(run_id, None)

"""One thread, a virtual clock, and actors that stop at every step: the same seed gives the same story."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The actor has been ended: nothing that it does from here on has any effect."""


class Violated(AssertionError):
    """A promise was broken."""


class Actor:
    """A process: it has a clock of its own, and can be killed or frozen wherever it waits."""

    def __init__(self, world: World, name: str, work: Callable[[Actor], Any]) -> None:
        self.world, self.name, self._work = world, name, work
        self.steps = 0
        self.alive, self.killed = True, False
        self.frozen_until = 0.0
        self.result: Any = None
        self.error: Exception | None = None
        self._offset = world.rng.uniform(0, 10_000)
        self.wrong_by = 0.0
        """Seconds by which its wall clock is fast: it may be set at any time."""
        self._greenlet = greenlet(self._run, world.hub)

    def _run(self) -> None:
        try:
            self.result = self._work(self)
        except Killed:
            self.world.count("actor killed")
        except Violated:
            raise
        except Exception as error:  # noqa: BLE001 - a process ends by it, and somebody looks at it
            self.error = error
            self.world.count(f"actor ended by {type(error).__name__}")
        self.alive = False

    def clock(self) -> float:
        """Its own: it never goes back, and agrees with nobody's."""
        return self.world.now + self._offset

    def today(self) -> datetime:
        """By its wall clock."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.world.now + self.wrong_by)

    def pause(self, seconds: float) -> None:
        """Let time pass. Raises Killed if the actor was killed meanwhile, or before."""
        self.check()
        self.world.wake(max(0.0, seconds), self)
        self.world.hub.switch()
        self.check()

    def check(self) -> None:
        """Raise Killed if the actor must not do anything any more."""
        if self.killed:
            raise Killed(self.name)

    def resume(self) -> None:
        """Go on, unless it is frozen."""
        if not self.alive:
            return
        if self.frozen_until > self.world.now and not self.killed:
            self.world.wake(self.frozen_until - self.world.now, self)
            return
        self.steps += 1
        self._greenlet.switch()

    def kill(self) -> None:
        """It ends at once, wherever it is."""
        self.killed = True


class World:
    """Time, chance and actors."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.hub = getcurrent()
        self.counts: Counter[str] = Counter()
        self.actors: list[Actor] = []
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0

    def count(self, what: str) -> None:
        """Something has happened that a report tells of."""
        self.counts[what] += 1

    def spawn(self, name: str, work: Callable[[Actor], Any], after: float = 0.0) -> Actor:
        """Start an actor."""
        actor = Actor(self, name, work)
        self.actors.append(actor)
        self.wake(after, actor)
        return actor

    def wake(self, seconds: float, actor: Actor) -> None:
        """Let an actor go on later."""
        self.later(seconds, actor.resume)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something later, whoever lives then."""
        self._numbers += 1
        heapq.heappush(self._waiting, (self.now + seconds, self._numbers, what))

    def run(self, until: Callable[[], bool], limit: float) -> None:
        """Let things happen until something is true, nothing is left to happen, or time is up."""
        with self._alone():
            while self._waiting and self._waiting[0][0] <= limit and not until():
                self.now, _, what = heapq.heappop(self._waiting)
                what()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.hub = getcurrent()
        yield

    def end(self) -> None:
        """End all actors, so that none is left when the world goes."""
        for actor in self.actors:
            if actor.alive:
                actor.kill()
                actor.resume()

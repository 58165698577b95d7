"""A run that is removed while hosts and coordinators are at it, or frozen: it publishes nothing later."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from mapreduce.errors import StorageError
from mapreduce.hosts.cleaning import erase, fence
from mapreduce.hosts.leadership import CLEANED
from mapreduce.store import layout

from .story import CALM, ENDINGS, LIMIT, OUTPUT, RUNS, Story
from .world import Actor, Violated

SEEDS = 150


class CleanedStory(Story):
    """Somebody removes the run at some moment, and does not look who is alive: the worst that can be."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        deeds = {**self.setting.nemeses, "freeze coordinator": 5.0, "freeze host": 15.0, "rival": 15.0}
        rates = {**self.setting.rates, "slow decision": 0.1}
        self.setting = replace(self.setting, nemeses=deeds, rates=rates)
        self.faults.rates = rates
        self._cleaner: Actor | None = None

    def tell(self) -> str:
        """Run to the end, and check all; who won. Raises Violated."""
        world = self.world
        for number in range(self.setting.coordinators):
            self._add_coordinator(5.0 * number)
        for _ in range(self.setting.hosts):
            self._add_host(world.rng.uniform(0, 2))
        for deed, mean in self.setting.nemeses.items():
            world.later(world.rng.expovariate(1 / mean), partial(self._strike, deed, mean))
        self._cleaner = world.spawn("cleaner", self._clean, world.rng.uniform(0, 2 + 2 * self.setting.work))
        world.later(CALM, self._calm_down)
        world.later(5.0, self._supervise)
        try:
            world.run(self._is_over, LIMIT + 3 * self.setting.work)
            if self._was_cleaned:
                self._check_cleaned()
            else:
                self._check()
        finally:
            world.end()
        return "cleaned" if self._was_cleaned else "committed"

    @property
    def _was_cleaned(self) -> bool:
        return self.bucket.objects.get(f"{RUNS}/{layout.COMMIT}") == CLEANED

    def _clean(self, actor: Actor) -> None:
        store = self._store(RUNS, actor)
        while True:
            try:
                if fence(store):
                    erase(store)
            except (StorageError, FileNotFoundError):  # it is called again
                actor.pause(1.0)
            else:
                return

    def _supervise(self) -> None:
        if not self._was_cleaned:
            super()._supervise()

    def _is_over(self) -> bool:
        if not self._was_cleaned:
            return super()._is_over()
        actors = [self._cleaner, *self._hosts, *self._coordinators]
        return not any(actor.alive for actor in actors if actor)

    def _check_cleaned(self) -> None:
        if not self._is_over():
            raise Violated("somebody is still at a run that is gone")
        if f"{OUTPUT}/{layout.MANIFEST}" in self.bucket.history:
            raise Violated("a run that is gone has published")
        for actor in self._coordinators:
            if actor.error and type(actor.error).__name__ not in ENDINGS:
                raise Violated(f"{actor.name} ended by {actor.error!r}") from actor.error
        kinds = {name.split("/")[2] for name in self.bucket.objects if name.startswith(f"{RUNS}/")}
        self.world.counts.update(f"left {kind}" for kind in kinds)


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_nothing_is_published_of_a_run_that_was_removed(first: int) -> None:
    ended = [CleanedStory(seed).tell() for seed in range(first, first + 50)]
    assert set(ended) == {"cleaned", "committed"}, "both are seen"

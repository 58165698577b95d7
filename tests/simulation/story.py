"""One run as a seed tells it: its size, who takes part, what goes wrong, and what must be true then."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.codec import from_plain, unseal
from mapreduce.coordinator.log import Acceptance
from mapreduce.coordinator.state import Limits
from mapreduce.errors import Interrupted
from mapreduce.hosts import messages
from mapreduce.hosts.agent import Agent, Identity
from mapreduce.hosts.desk import Pace
from mapreduce.hosts.lead import Surroundings, lead
from mapreduce.hosts.leadership import newest, request_stop
from mapreduce.hosts.messages import HostReport, Orders
from mapreduce.model import Manifest, TaskId
from mapreduce.result import JobResult
from mapreduce.sinks.delivery import deliver_all, idempotency_key
from mapreduce.store import layout
from mapreduce.store.patience import Patience
from mapreduce.store.retrying import RetryingStore

from .storage import Bucket, Faults, SimStore
from .tasks import JOB, SimExecutor, Tasks, line, plan_of
from .world import Actor, Violated, World

RUNS, OUTPUT = "jobs/run", "out"
FAULTS = (
    "busy",
    "lost reply",
    "late write",
    "repeated write",
    "negative read",
    "torn read",
    "flipped read",
    "stale list",
    "slow decision",
)
NEMESES = (
    "kill host",
    "kill coordinator",
    "freeze host",
    "freeze coordinator",
    "ask host to leave",
    "stop coordinator",
    "rival",
    "lose data",
    "step clock",
)
ENDINGS = ("Superseded", "StorageError", "Interrupted")
"""Errors by which a coordinator may end."""
SINKS = ("mail", "hook")
PACE = Pace(look=0.2, report=1.0, dead=15.0)
CALM, LIMIT = 100.0, 600.0
"""Seconds until nothing goes wrong any more, and until all must be over, beside the work itself."""


@dataclass(frozen=True)
class Setting:
    """What a seed stands for."""

    maps: int
    shards: int
    hosts: int
    slots: int
    coordinators: int
    rates: dict[str, float]
    """Of faults of the store."""
    nemeses: dict[str, float]
    """Mean seconds between two deeds."""
    tasks: Tasks
    full: int = 0
    """So many hosts, of the first ones, have a full disk."""

    @property
    def work(self) -> float:
        """Seconds that it takes if all goes well, about."""
        return (self.maps + self.shards) * self.tasks.seconds / (self.hosts * self.slots)

    @property
    def is_quiet(self) -> bool:
        """Nothing goes wrong: each task runs once."""
        tasks = self.tasks
        trouble = self.rates or self.nemeses or tasks.crashes or tasks.raises or tasks.hangs or self.full
        return not trouble and self.coordinators == 1

    @classmethod
    def of(cls, seed: int) -> Setting:
        """Most are wild. In one of ten nothing goes wrong, and in three the store keeps its promises and one
        coordinator follows another, so that nothing may be done again.
        """
        rng = random.Random(f"setting {seed}")
        kind = rng.random()
        if kind < 0.4:
            deed = rng.choice(["kill coordinator", "kill coordinator", "stop coordinator"])
            deeds = {deed: rng.choice([1.0, 3.0])} if kind >= 0.1 else {}
            maps, shards = rng.randint(2, 12), rng.randint(1, 3)
            seconds, salted = rng.choice([0.05, 0.5]), rng.random() < 0.5
            tasks = Tasks(shards, salted=salted, seconds=seconds, even=True)
            hosts, slots = rng.randint(1, 3), rng.randint(1, 3)
            full = hosts - 1 if deeds and rng.random() < 0.3 else 0
            return cls(maps, shards, hosts, slots, 1, {}, deeds, tasks, full)
        maps, shards = rng.choice([(2, 1), (3, 0), (4, 2), (8, 3), (8, 3), (20, 4), (40, 8)])
        if rng.random() < 0.01:
            maps, shards = 200, 16
        faults = [fault for fault in FAULTS if rng.random() < 0.4]
        deeds = [deed for deed in NEMESES if rng.random() < 0.4]
        hosts = rng.randint(1, 4)
        return cls(
            maps,
            shards,
            hosts=hosts,
            slots=rng.randint(1, 3),
            coordinators=rng.choice([1, 1, 2, 3]),
            rates={fault: rng.choice([0.005, 0.02, 0.1]) for fault in faults},
            nemeses={deed: rng.choice([5.0, 15.0, 40.0]) for deed in deeds},
            tasks=Tasks(
                shards,
                salted=rng.random() < 0.3,
                seconds=rng.choice([0.05, 0.5, 3.0]),
                crashes=rng.choice([0.0, 0.0, 0.05]),
                raises=rng.choice([0.0, 0.0, 0.05]),
                hangs=rng.choice([0.0, 0.0, 0.02]),
            ),
            full=rng.choice([0, 0, 0, hosts - 1]),
        )


@dataclass(frozen=True)
class SimSink:
    """A sink that notes what it is told."""

    name: str
    note: Callable[[JobResult, str], None]

    def deliver(self, result: JobResult, key: str) -> None:
        self.note(result, key)


class Story:
    """A run, told to its end."""

    def __init__(self, seed: int) -> None:
        self.seed, self.setting = seed, Setting.of(seed)
        self.world = World(seed)
        self.faults = Faults(self.setting.rates)
        self.bucket = Bucket(self.world, self.faults)
        self.bucket.watchers.append(self._watch)
        self._plan = plan_of(self.setting.maps, self.setting.shards)
        self._hosts: list[Actor] = []
        self._leaving: set[Actor] = set()
        self._coordinators: list[Actor] = []
        self._accepted: dict[TaskId, float] = {}
        """When each task had an acceptance in the log."""
        self._reported: dict[TaskId, float] = {}
        """When a host first told whoever led that a task was done."""
        self._epochs: dict[int, float] = {}
        self._told: dict[str, list[tuple[str, Actor]]] = {name: [] for name in SINKS}
        """With which key, and by whom, each time that a sink was told."""
        self._wrongs: list[str] = []
        self._trace = hashlib.sha256()

    def tell(self) -> str:
        """Run to the end, and check all; a digest of all that was written. Raises Violated."""
        for number in range(self.setting.coordinators):
            self._add_coordinator(self.world.rng.choice([0.0, 0.0, 20.0]) * number)
        for _ in range(self.setting.hosts):
            self._add_host(self.world.rng.uniform(0, 2))
        for deed, mean in self.setting.nemeses.items():
            self.world.later(self.world.rng.expovariate(1 / mean), partial(self._strike, deed, mean))
        self.world.later(CALM, self._calm_down)
        self.world.later(5.0, self._supervise)
        try:
            self.world.run(self._is_over, LIMIT + 3 * self.setting.work)
            self._check()
        finally:
            self.world.end()
        return self._trace.hexdigest()

    # ------------------------------------------------------------ who takes part

    def _store(self, folder: str, actor: Actor) -> RetryingStore:
        patience = Patience(sleep=actor.pause, chance=self.world.rng.random, clock=actor.clock)
        return RetryingStore(SimStore(self.bucket, folder, actor), patience)

    def _add_host(self, after: float = 0.0) -> None:
        name = f"host-{len(self._hosts)}"
        is_full = len(self._hosts) < self.setting.full

        def serve(actor: Actor) -> None:
            store, parts = self._store(RUNS, actor), self._store(OUTPUT, actor)
            tasks, slots = self.setting.tasks, self.setting.slots
            executor = SimExecutor(tasks, slots, store, parts, actor, is_full=is_full)
            agent = Agent(
                store,
                Identity(name, name),
                executor,
                PACE,
                leaving=lambda: actor in self._leaving,
                clock=actor.clock,
            )
            agent.serve()
            self.world.count(f"host left: {agent.why}")

        self._hosts.append(self.world.spawn(name, serve, after))

    def _add_coordinator(self, after: float = 0.0) -> None:
        name = f"coordinator-{len(self._coordinators)}"

        def work(actor: Actor) -> Manifest:
            around = Surroundings(
                actor.clock,
                actor.pause,
                lambda: f"{self.world.rng.getrandbits(32):08x}",
                actor.today,
                lambda: name,
            )
            parts = self._store(OUTPUT, actor)

            def tell(manifest: Manifest) -> None:
                sinks = [self._sink(name, actor) for name in SINKS]
                deliver_all(sinks, JobResult(Path(OUTPUT), manifest), parts, actor.today)

            return lead(
                JOB,
                self._plan,
                self._store(RUNS, actor),
                parts,
                Limits(max_attempts=1_000),
                pace=PACE,
                tell=tell,
                around=around,
            )

        self._coordinators.append(self.world.spawn(name, work, after))

    def _sink(self, name: str, actor: Actor) -> SimSink:
        def note(result: JobResult, key: str) -> None:
            committed = self.bucket.objects.get(f"{RUNS}/{layout.COMMIT}")
            if committed != self.bucket.objects.get(f"{OUTPUT}/{layout.MANIFEST}") or committed is None:
                self._wrongs.append(f"sink {name} was told of what was not published")
            self._told[name].append((key, actor))
            self.world.count("sink told")
            actor.pause(self.world.rng.expovariate(2))

        return SimSink(name, note)

    def _supervise(self) -> None:
        """Who has ended without a result is started again, as a person or a supervisor does."""
        staying = [host for host in self._hosts if host.alive and host not in self._leaving]
        if len(staying) < self.setting.hosts and not self._is_published():
            self._add_host()
        if not any(actor.alive for actor in self._coordinators) and not self._has_ended_well():
            self._add_coordinator()
        self.world.later(5.0, self._supervise)

    # ------------------------------------------------------------ what goes wrong

    def _strike(self, deed: str, mean: float) -> None:
        if self.faults.calm:
            return
        rng = self.world.rng
        hosts = [actor for actor in self._hosts if actor.alive]
        coordinators = [actor for actor in self._coordinators if actor.alive]
        victims = hosts if "host" in deed else coordinators
        if deed == "rival":
            self._add_coordinator()
        elif deed == "lose data":
            self._lose_data()
        elif deed == "stop coordinator":
            self.world.spawn("stopper", self._ask_to_stop)
        elif deed == "step clock":
            for actor in (*hosts, *coordinators):
                actor.wrong_by += rng.choice([-3600.0, 0.0, 3600.0])
        elif victims:
            victim = rng.choice(victims)
            if deed.startswith("kill"):
                victim.kill()
                victim.resume()
            elif deed.startswith("ask"):
                self._leaving.add(victim)
            else:
                victim.frozen_until = self.world.now + rng.uniform(0, 3 * PACE.dead)
        self.world.count(f"deed {deed}")
        self.world.later(rng.expovariate(1 / mean), partial(self._strike, deed, mean))

    def _ask_to_stop(self, actor: Actor) -> None:
        store = self._store(RUNS, actor)
        if epoch := newest(store):
            request_stop(store, epoch)

    def _lose_data(self) -> None:
        names = [name for name in self.bucket.objects if name.startswith(f"{RUNS}/{layout.DATA}/")]
        if names:
            del self.bucket.objects[self.world.rng.choice(names)]

    def _calm_down(self) -> None:
        self.faults.calm = True

    # ------------------------------------------------------------ what must be true

    def _watch(self, name: str, data: bytes, actor: Actor | None) -> None:
        """Look at what is written."""
        self._trace.update(name.encode() + data)
        short = name.removeprefix(f"{RUNS}/")
        self.world.count(f"wrote {short.split('/')[0]}")
        if epoch := layout.epoch_of(short):
            self._epochs.setdefault(epoch, self.world.now)
        elif short.startswith(f"{layout.LOG}/"):
            for plain in unseal(data)["accepted"]:
                task = from_plain(Acceptance, plain).task
                self._accepted.setdefault(task, self.world.now)
        elif layout.report_of(short):
            report = messages.parse(HostReport, data)
            for ended in report.ended:
                if ended.result is not None and report.epoch == max(self._epochs, default=0):
                    self._reported.setdefault(ended.attempt.task, self.world.now)
        elif numbers := layout.orders_numbers(short):
            self._look_at_orders(numbers[0], messages.parse(Orders, data))

    def _look_at_orders(self, epoch: int, orders: Orders) -> None:
        """Nothing is ordered again that was done before its coordinator began, unless it was lost."""
        if self._may_run_again():
            return
        for order in orders.orders:
            for what, when in (("accepted", self._accepted), ("reported", self._reported)):
                if when.get(order.attempt.task, LIMIT) < self._epochs[epoch]:
                    raise Violated(f"{order.attempt} of epoch {epoch} was {what} before it began")

    def _may_run_again(self) -> bool:
        """Whether the store may have hidden what was accepted, or lost it; or two may have led at once, and
        accepted attempts of their own.
        """
        hiding = {"stale list", "negative read", "torn read", "flipped read", "late write", "repeated write"}
        spoiling = {"rival", "freeze coordinator", "lose data", "slow decision"}
        return bool(
            self.setting.coordinators > 1
            or hiding & self.setting.rates.keys()
            or spoiling & (self.setting.nemeses.keys() | self.setting.rates.keys())
        )

    def _manifests(self) -> list[Manifest]:
        return [actor.result for actor in self._coordinators if actor.result is not None]

    def _has_ended_well(self) -> bool:
        return bool(self._manifests())

    def _is_published(self) -> bool:
        return f"{RUNS}/{layout.ENDED}" in self.bucket.objects

    def _is_over(self) -> bool:
        actors = [*self._hosts, *self._coordinators]
        return self._has_ended_well() and not any(actor.alive for actor in actors)

    def _check(self) -> None:
        if not self._is_over():
            alive = [actor.name for actor in (*self._hosts, *self._coordinators) if actor.alive]
            raise Violated(f"it is not over after {self.world.now:.0f} s: {', '.join(alive)} still at it")
        for actor in self._coordinators:
            if actor.error and type(actor.error).__name__ not in ENDINGS:
                raise Violated(f"{actor.name} ended by {actor.error!r}") from actor.error
        stopped = sum(isinstance(actor.error, Interrupted) for actor in self._coordinators)
        asked = sum(name.endswith(".stop") for name in self.bucket.objects)
        if stopped > asked:
            raise Violated(f"{stopped} coordinators have stopped, and {asked} were asked to")
        given = {manifest.digest for manifest in self._manifests()}
        data = self.bucket.objects.get(f"{OUTPUT}/{layout.MANIFEST}")
        if data is None or data != self.bucket.objects.get(f"{RUNS}/{layout.COMMIT}"):
            raise Violated("what is published is not what was committed")
        manifest = manifests.parse(data, "the output")
        if given != {manifest.digest}:
            raise Violated("a coordinator gave another result than the one that is published")
        self._check_parts(manifest)
        self._check_sinks(manifest)

    def _check_sinks(self, manifest: Manifest) -> None:
        """Each was told after the commit, at least once, and by each coordinator at most once."""
        if self._wrongs:
            raise Violated("; ".join(self._wrongs))
        for name, told in self._told.items():
            if {key for key, _ in told} != {idempotency_key(manifest, name)}:
                raise Violated(f"sink {name} was told with the keys {told}")
            tellers = [teller for _, teller in told]
            if len(set(tellers)) < len(tellers):
                raise Violated(f"sink {name} was told twice by one coordinator")
            if not self._may_run_again() and not all(t.killed or t.error for t in tellers[:-1]):
                raise Violated(f"sink {name} was told by {len(tellers)}, and not all but the last have died")
        first, second = ([teller for _, teller in self._told[name]] for name in SINKS)
        if not self._may_run_again() and set(first[:-1]) & set(second):
            raise Violated("a sink was told again by a coordinator that could see its mark")

    def _check_parts(self, manifest: Manifest) -> None:
        setting = self.setting
        wanted = setting.shards or setting.maps
        if [part.index for part in manifest.parts] != list(range(wanted)):
            raise Violated(f"the parts are {[part.index for part in manifest.parts]}")
        salts: dict[int, set[str]] = {}
        for part in manifest.parts:
            content = self.bucket.objects.get(f"{OUTPUT}/{part.name}")
            if content is None or hashlib.sha256(content).hexdigest() != part.digest:
                raise Violated(f"{part.name} is not what the manifest says")
            maps = range(setting.maps) if setting.shards else [part.index]
            given = content.decode().splitlines()
            found = [text.split(":") for text in given]
            for index, _, salt in found:
                salts.setdefault(int(index), set()).add(salt)
            expected = [
                line(index, part.index if setting.shards else 0, salt).decode().rstrip("\n")
                for index, (_, _, salt) in zip(maps, found, strict=False)
            ]
            if given != expected or len(given) != len(maps):
                raise Violated(f"{part.name} holds {given}")
        if any(len(of_map) != 1 for of_map in salts.values()):
            raise Violated("the parts were made of different attempts of a map")
        counts = self.world.counts
        failed = sum(number for what, number in counts.items() if what.startswith("attempt "))
        done = counts["map done"], counts["reduce done"], failed
        if setting.is_quiet and done != (setting.maps, setting.shards, 0):
            raise Violated(f"maps and reduces done, attempts failed or stopped: {done}, though all was quiet")
        if manifest.counters.get("maps", 0) != (setting.maps if setting.shards else 0):
            raise Violated(f"the counters are {manifest.counters}")


def tell(seed: int, **changes: object) -> tuple[str, Counter[str]]:
    """A story's digest, and how often things happened in it; `changes` of its setting. Raises Violated."""
    story = Story(seed)
    if changes:
        story.setting = replace(story.setting, **changes)  # type: ignore[arg-type]
    return story.tell(), story.world.counts

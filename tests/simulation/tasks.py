"""What a simulated host runs: tasks whose data is a line for each pair of map and shard.

With a salt a map gives other data at each attempt: the result must still be made of one attempt of each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import xxhash

from mapreduce import Job, Records, Sum, chunks
from mapreduce.chunks import Chunk
from mapreduce.codec import from_plain, pack, unpack
from mapreduce.errors import MapReduceError, StorageError, UserFunctionError, WorkerKilled
from mapreduce.events import Event, Failed, Printed, Reported, Succeeded, WorkerGone, WorkerReady
from mapreduce.model import Attempt, InputFile, Kind, Part, Plan, Result, Segments, SortedRun, Split, Work
from mapreduce.protocols import Store
from mapreduce.shuffle.objects import read_intact
from mapreduce.store import layout

from .world import Actor

JOB = Job("simulated", Records([1]), lambda record: [], Sum(), "out")
RUN = "20260101T000000-00000001"


def plan_of(maps: int, shards: int) -> Plan:
    file = InputFile("records:", maps, "")
    splits = tuple(Split(index, file, index, index + 1) for index in range(maps))
    return Plan(RUN, JOB.name, splits, (file,), shards, "code", "options")


def line(index: int, shard: int, salt: str) -> bytes:
    """What a map gives to a shard."""
    return f"{index}:{shard}:{salt}\n".encode()


@dataclass(frozen=True)
class Tasks:
    """How the tasks of one story behave."""

    shards: int
    salted: bool = False
    seconds: float = 0.3
    """Of a task, on the average,"""
    even: bool = False
    """or of the first of each three, the second takes twice and the third three times as long."""
    crashes: float = 0.0
    """Share of attempts whose process ends."""
    raises: float = 0.0
    """Share of attempts that raise."""
    hangs: float = 0.0
    """Share of attempts that take thirty times as long."""

    def run(self, request: dict[str, Any], store: Store, parts: Store) -> Result:
        """As a worker does."""
        if request["kind"] == Kind.REDUCE.value:
            return self._reduce(request, store, parts)
        return self._map(request, store) if self.shards else self._map_only(request, parts)

    def _salt(self, request: dict[str, Any]) -> str:
        return request["nonce"] if self.salted else ""

    def _map(self, request: dict[str, Any], store: Store) -> Result:
        index, salt = request["index"], self._salt(request)
        name = layout.map_name(index, request["nonce"])
        data, found = b"", []
        for shard in range(self.shards):
            piece = line(index, shard, salt)
            found.append(Chunk(shard, 0, len(data), len(piece), 1, xxhash.xxh3_128_digest(piece)))
            data += piece
        with store.new_file(name, durable=False) as stream:
            stream.write(data)
        digest = xxhash.xxh3_128_hexdigest(data)
        runs = (SortedRun("s|n", chunks.pack(found)),)
        work = Work(records=1, pairs=self.shards, seconds=self.seconds)
        return Result(work, {"maps": 1}, name, len(data), runs, digest)

    def _map_only(self, request: dict[str, Any], parts: Store) -> Result:
        return self._written(request, line(request["index"], 0, self._salt(request)), parts, "")

    def _reduce(self, request: dict[str, Any], store: Store, parts: Store) -> Result:
        data = b""
        for segments in (from_plain(Segments, plain) for plain in request["segments"]):
            for chunk in chunks.unpack(segments.index):
                where = store, segments.map_index, segments.name, chunk.offset, chunk.length
                data += read_intact(*where, chunk.digest)
        return self._written(request, data, parts, request["inputs"])

    def _written(self, request: dict[str, Any], data: bytes, parts: Store, inputs: str) -> Result:
        name = layout.part_name(request["index"], RUN, request["nonce"], ".txt")
        with parts.new_file(name) as stream:
            stream.write(data)
        digest = hashlib.sha256(data).hexdigest()
        part = Part(request["index"], name, data.count(b"\n"), len(data), digest, len(data), digest, False)
        return Result(
            Work(records=part.records, pairs=1, seconds=self.seconds),
            {},
            digest=digest,
            part=part,
            inputs=inputs,
        )


class SimExecutor:
    """An executor of a host: attempts take their time, and may end in all the ways in which they do."""

    queues = False

    def __init__(
        self, tasks: Tasks, slots: int, store: Store, parts: Store, actor: Actor, *, is_full: bool = False
    ) -> None:
        """is_full: the host's disk is, so that every attempt fails."""
        self.workers = slots
        self._is_full = is_full
        self._tasks, self._store, self._parts, self._actor = tasks, store, parts, actor
        self._running: dict[Attempt, tuple[float, dict[str, Any]]] = {}
        self._events: list[Event | Printed | Reported] = []
        self._numbers = slots

    def start(self) -> None:
        self._events += [WorkerReady(number) for number in range(self.workers)]

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        rng = self._actor.world.rng
        factor = 1 + attempt.task.index % 3 if self._tasks.even else rng.expovariate(1)
        seconds = factor * self._tasks.seconds
        if rng.random() < self._tasks.hangs:
            seconds *= 30
        self._running[attempt] = (self._actor.clock() + seconds, unpack(pack(request)))

    def poll(self, timeout: float) -> list[Event | Printed | Reported]:
        if not self._events:
            soonest = min((until for until, _ in self._running.values()), default=float("inf"))
            self._actor.pause(max(0.001, min(timeout, soonest - self._actor.clock())))
            for attempt, (until, request) in list(self._running.items()):
                if until <= self._actor.clock():
                    del self._running[attempt]
                    self._events += self._end(attempt, request)
        events, self._events = self._events, []
        return events

    def _end(self, attempt: Attempt, request: dict[str, Any]) -> list[Event | Printed | Reported]:
        world = self._actor.world
        chance = world.rng.random()
        if chance < self._tasks.crashes:
            world.count("attempt crashed")
            return self._gone(attempt)
        if chance < self._tasks.crashes + self._tasks.raises:
            world.count("attempt raised")
            return self._failed(attempt, UserFunctionError("It raised.", place=str(world.rng.random())))
        if self._is_full:
            world.count("attempt failed by a full disk")
            return self._failed(attempt, StorageError("There is no space left."))
        try:
            result = self._tasks.run(request, self._store, self._parts)
        except MapReduceError as error:
            world.count(f"attempt failed by {type(error).__name__}")
            return self._failed(attempt, error)
        world.count(f"{attempt.task.kind.value} done")
        return [
            Reported(attempt, 1, 1, 1),
            Printed(attempt, "."),
            Succeeded(attempt, result),
            *self._ready(attempt),
        ]

    def _gone(self, attempt: Attempt) -> list[Event | Printed | Reported]:
        self._numbers += 1
        return [WorkerGone(attempt.worker, WorkerKilled("It was killed.")), WorkerReady(self._numbers)]

    def _failed(self, attempt: Attempt, error: MapReduceError) -> list[Event | Printed | Reported]:
        return [Failed(attempt, error), *self._ready(attempt)]

    @staticmethod
    def _ready(attempt: Attempt) -> list[Event | Printed | Reported]:
        return [WorkerReady(attempt.worker)]

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None:
        if self._running.pop(attempt, None) is None:
            return
        self._actor.world.count("attempt stopped")
        if error:
            self._events.append(Failed(attempt, error))
        self._numbers += 1
        self._events.append(WorkerReady(self._numbers))

    def memory(self) -> dict[int, int]:
        return {attempt.worker: 1_000_000 for attempt in self._running}

    def close(self) -> None:
        self._running.clear()

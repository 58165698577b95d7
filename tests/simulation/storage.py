"""A store in memory that does to its users what stores do: each call waits, and may go wrong.

Names are written once: whoever writes other bytes under a name that was taken has broken the protocol.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from mapreduce.errors import StorageError
from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.local import short_read, storage_error

from .world import Actor, Violated, World

T = TypeVar("T")

YOUNG = 10.0
"""Seconds for which a new name may be left out of a list, or seem to be missing."""


_DECISIVE = (layout.EPOCHS, layout.COMMIT, layout.ENDED, layout.MANIFEST)
"""Names before whose writing a coordinator may be frozen: what it knows is old then."""


@dataclass
class Faults:
    """How often each thing goes wrong, as a share of the calls in which it can; none does when it is calm."""

    rates: dict[str, float] = field(default_factory=dict)
    calm: bool = False


class Bucket:
    """The objects, and when each came."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults
        self.objects: dict[str, bytes] = {}
        self.since: dict[str, float] = {}
        self.history: dict[str, bytes] = {}
        """All that was ever written."""
        self.replaceable: set[str] = set()
        self.watchers: list[Callable[[str, bytes, Actor | None], None]] = []

    def write(self, name: str, data: bytes, actor: Actor | None) -> None:
        """Put an object there, whatever is there."""
        before = self.history.get(name)
        if before is not None and before != data and name not in self.replaceable:
            raise Violated(f"{name} was written twice, with different bytes")
        self.history[name] = self.objects[name] = data
        self.since.setdefault(name, self.world.now)
        for watch in self.watchers:
            watch(name, data, actor)

    def create(self, name: str, data: bytes, actor: Actor | None) -> bool:
        """Put an object there unless there is one."""
        if name in self.objects:
            return False
        self.write(name, data, actor)
        return True

    def is_young(self, name: str) -> bool:
        return self.world.now - self.since.get(name, 0.0) < YOUNG


class SimStore:
    """What one actor sees of a folder of the bucket: a `Store`."""

    def __init__(self, bucket: Bucket, folder: str, actor: Actor) -> None:
        self._bucket, self._folder, self._actor = bucket, folder, actor
        self._rng = bucket.world.rng
        self.url = f"memory://{folder}"
        self.capabilities = Capabilities("simulated", missing_for=YOUNG, listed_after=YOUNG)

    def put(self, name: str, data: bytes) -> None:
        self._write("put", name, lambda: self._bucket.write(self._path(name), data, self._actor))

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        def creating() -> bool:
            made = self._bucket.create(self._path(name), data, self._actor)
            return made or self._bucket.objects.get(self._path(name)) == data

        return self._write("create", name, creating)

    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        stream = io.BytesIO()
        yield stream
        data = stream.getvalue()
        if not self._write(
            "new file", name, lambda: self._bucket.create(self._path(name), data, self._actor)
        ):
            taken = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            raise storage_error("write", name, taken) from taken

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._begin("read", name)
        path = self._path(name)
        data = self._bucket.objects.get(path)
        if data is None or (self._bucket.is_young(path) and self._strikes("negative read")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        part = data[start:] if length is None else data[start : start + length]
        often = 2.0 if "_" in name else 1.0  # commits and manifests, which are read once
        if part and self._strikes("torn read", often):
            part = part[: self._rng.randrange(len(part))]
        if part and self._strikes("flipped read", often):
            at = self._rng.randrange(len(part))
            part = part[:at] + bytes([part[at] ^ 1 << self._rng.randrange(8)]) + part[at + 1 :]
        if length is not None and len(part) != length:
            raise short_read(name, start, length, len(part))
        return part

    def list(self, prefix: str = "") -> list[str]:
        self._begin("list", prefix)
        below = f"{self._folder}/{prefix}/" if prefix else f"{self._folder}/"
        names = sorted(name for name in self._bucket.objects if name.startswith(below))
        if self._strikes("stale list"):
            age = self._rng.uniform(0, YOUNG)
            names = [name for name in names if self._bucket.world.now - self._bucket.since[name] >= age]
        return [name.removeprefix(f"{self._folder}/") for name in names]

    def delete(self, name: str) -> None:
        self._begin("delete", name)
        self._bucket.objects.pop(self._path(name), None)

    # ------------------------------------------------------------ what goes wrong

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _begin(self, operation: str, name: str) -> None:
        """The call is on its way; the actor may be killed or frozen meanwhile."""
        self._bucket.world.count(f"call {operation}")
        self._actor.pause(self._rng.expovariate(100))
        if self._strikes("busy"):
            raise self._failed(operation, name, errno.EBUSY)

    def _write(self, operation: str, name: str, write: Callable[[], T]) -> T:
        world = self._bucket.world
        if name.startswith(_DECISIVE) and self._strikes("slow decision", 5.0):
            self._actor.frozen_until = world.now + self._rng.uniform(1, 40)
        self._begin(operation, name)
        if self._strikes("late write"):
            world.later(self._rng.uniform(0, 30), lambda: write() and None)
            raise self._failed(operation, name, errno.ETIMEDOUT)
        done = write()
        if self._strikes("repeated write"):
            world.later(self._rng.uniform(0, 30), lambda: write() and None)
        if self._strikes("lost reply"):
            raise self._failed(operation, name, errno.ETIMEDOUT)
        self._actor.pause(self._rng.expovariate(200))
        return done

    def _strikes(self, fault: str, often: float = 1.0) -> bool:
        faults = self._bucket.faults
        if faults.calm or self._rng.random() >= often * faults.rates.get(fault, 0.0):
            return False
        self._bucket.world.count(f"fault {fault}")
        return True

    @staticmethod
    def _failed(operation: str, name: str, number: int) -> StorageError:
        cause = OSError(number, os.strerror(number))
        error = storage_error(operation, name, cause)
        error.__cause__ = cause
        return error

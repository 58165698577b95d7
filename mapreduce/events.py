"""What an executor tells a coordinator."""

from __future__ import annotations

from dataclasses import dataclass

from mapreduce.errors import MapReduceError
from mapreduce.model import Attempt, Result


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker can take an attempt; it is a new one, or has ended its last."""

    worker: int
    host: str = ""
    """Where it is, if there are several."""


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A worker has ended. `error` says how; an attempt that it ran is lost."""

    worker: int
    error: MapReduceError
    begun: bool = True
    """Whether an attempt that it was given may have begun; one that has not is no failure."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An attempt handed in a result."""

    attempt: Attempt
    result: Result


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt raised."""

    attempt: Attempt
    error: MapReduceError


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. `memory` is what each worker holds, in bytes, where it is known."""

    memory: dict[int, int]


@dataclass(frozen=True, slots=True)
class Printed:
    """What the functions of an attempt printed, as far as it was kept. Told before the attempt's end."""

    attempt: Attempt
    text: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A running attempt has come this far; lost reports do no harm."""

    attempt: Attempt
    bytes: int
    records: int
    pairs: int


Event = WorkerReady | WorkerGone | Succeeded | Failed | Tick
"""What the brain takes in."""

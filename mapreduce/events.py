"""What an executor tells a coordinator."""

from __future__ import annotations

from dataclasses import dataclass

from mapreduce.errors import MapReduceError
from mapreduce.model import Attempt, Result


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker can take an attempt; it is a new one, or has ended its last."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A worker has ended. `error` says how; an attempt that it ran is lost."""

    worker: int
    error: MapReduceError


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
class Reported:
    """A running attempt has come this far; lost reports do no harm."""

    attempt: Attempt
    bytes: int
    records: int
    pairs: int


Event = WorkerReady | WorkerGone | Succeeded | Failed

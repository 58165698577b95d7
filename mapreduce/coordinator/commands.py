"""What the brain tells its hands to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from mapreduce.errors import MapReduceError
from mapreduce.model import Attempt, Result, TaskId


@dataclass(frozen=True, slots=True)
class Start:
    """Run an attempt on its worker."""

    attempt: Attempt
    inputs: str = ""
    """Digest of the maps that a reduce reads."""
    careful: bool = False
    """Note each record before the functions get it."""
    memory: int | None = None
    """Bytes that the worker may hold; None: nobody looks."""
    skip: dict[int, MapReduceError] = field(default_factory=dict)
    """Errors of records that a map leaves out, by number within the split."""
    suspected: range | None = None
    """Records that a careful map of frames gets one by one."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End a running attempt, with this error, or because nobody needs it any more."""

    attempt: Attempt
    error: MapReduceError | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """This attempt's result is the task's only one."""

    attempt: Attempt
    result: Result


@dataclass(frozen=True, slots=True)
class Discard:
    """This result came too late, or was made from map results that are no longer current."""

    attempt: Attempt
    result: Result


@dataclass(frozen=True, slots=True)
class Drop:
    """This task's accepted result is none any more: its data got lost, or the maps changed that it reads."""

    task: TaskId
    result: Result


@dataclass(frozen=True, slots=True)
class Finish:
    """Every task is done: commit."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed, for this reason."""

    error: MapReduceError


Command = Start | Stop | Accept | Discard | Drop | Finish | GiveUp

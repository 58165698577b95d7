"""How a run is done: where, by whom, and when it began. Nothing here changes the bytes of its result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mapreduce.executors.slots import Share
from mapreduce.importpath import Deployed
from mapreduce.protocols import Observer
from mapreduce.resume import Invocation

On = Literal["processes", "serial"]

REVIEW = "--review"
"""The command line's word for `review`."""


@dataclass(frozen=True)
class Options:
    """What `run` was told besides the job."""

    on: On | str | None = None
    workers: int | None = None
    overwrite: bool = False
    keep: bool = False
    backups: bool = True
    fresh_process: bool = False
    observers: Sequence[Observer] = ()
    invocation: Invocation | None = None
    deployed: Deployed | None = None
    hosts_timeout: float | None = None
    review: bool = False
    jobset: str = ""
    """The run of the JobSet that the run is a part of."""
    share: Share | None = None
    """Of the workers that its jobs have together."""


@dataclass(frozen=True)
class Begin:
    """When a run began, by both clocks."""

    date: datetime
    seconds: float

    @classmethod
    def now(cls) -> Begin:
        return cls(datetime.now(UTC), time.monotonic())


def is_place(on: str) -> bool:
    """Whether it names a store: URLs have "://", folders begin with "/" or "./"."""
    return type(on) is str and ("://" in on or on.startswith(("/", "./", "../")))

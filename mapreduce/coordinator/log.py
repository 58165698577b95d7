"""The log of acceptances: what a run that goes on need not do again.

An entry is one object that is written once, `log/<session>.<number>`, before anything is done that
rests on it. It holds accepted results as MessagePack behind a digest. A session is one process that
had the run; a later entry of a task replaces an earlier one, because the earlier result had got lost
or was made of other maps. Entries need not outlive a power failure: one that is missing or torn is
noticed, and its tasks run again.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapreduce.codec import from_plain, seal, unseal
from mapreduce.errors import StorageError, WorkDamaged
from mapreduce.model import AttemptRecord, Result, TaskId
from mapreduce.protocols import Store
from mapreduce.store import layout
from mapreduce.store.together import together

FORMAT = 2
PATIENCE = 0.02
"""Seconds that an acceptance may wait for others, to share an entry with them."""
PROMPT_ENTRIES = 100
"""So many entries of a session are written at once."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A task's only result, and the account of the attempt that made it."""

    task: TaskId
    result: Result
    record: AttemptRecord


@dataclass(slots=True)
class Accepted:
    """What a log says: the last acceptance of each task, and entries that can't be read."""

    by_task: dict[TaskId, Acceptance] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Entries that are not there, though a later one of the session is."""
    sessions: int = 0


class AcceptanceLog:
    """Appends the acceptances of one session. `store` is the run's own."""

    def __init__(self, store: Store, session: int) -> None:
        self._store = store
        self._session = session
        self.entries = 0
        """Number of entries of this session so far."""

    def append(self, accepted: Sequence[Acceptance]) -> None:
        """Write one entry. Raises StorageError."""
        if not accepted:
            return
        self.entries += 1
        entry = seal({"format": FORMAT, "accepted": accepted})
        name = layout.log_name(self._session, self.entries)
        if not self._store.create(name, entry, durable=False):
            raise StorageError(f"{layout.shown(self._store.url, name)} was written by another process.")


class Unlogged:
    """What was accepted and is not logged yet, because nothing rests on it.

    An entry costs as much as a task that does nothing. So when a run has written many, quick attempts
    wait a moment for others: what would be lost is done again as quickly.
    """

    def __init__(self, log: AcceptanceLog) -> None:
        self._log = log
        self._waiting: list[Acceptance] = []
        self._until = math.inf

    def add(self, acceptance: Acceptance, now: float) -> None:
        """To be logged, at the latest when `patience` has run out."""
        is_quick = acceptance.record.seconds < PATIENCE and self._log.entries >= PROMPT_ENTRIES
        self._until = min(self._until, now + PATIENCE if is_quick else now)
        self._waiting.append(acceptance)

    @property
    def is_empty(self) -> bool:
        """All that was accepted is logged."""
        return not self._waiting

    def patience(self, now: float) -> float:
        """Seconds until an entry has to be written."""
        return self._until - now

    def write(self) -> None:
        """Log what waits. Raises StorageError."""
        waiting, self._waiting, self._until = self._waiting, [], math.inf
        self._log.append(waiting)


def read_log(store: Store, read: Callable[[str], bytes] | None = None) -> Accepted:
    """All acceptances. Raises StorageError, and WorkDamaged for a log of another version.

    read: how a name that was listed is read, if not by the store at once.
    """
    collects = gc.isenabled()
    gc.disable()  # entries make no cycles, but many objects that the collector would visit
    try:
        return _read_all(store, read or store.read)
    finally:
        if collects:
            gc.enable()


def _read_all(store: Store, read: Callable[[str], bytes]) -> Accepted:
    found = Accepted()
    last = (0, 0)
    listed = ((name, layout.log_numbers(name)) for name in store.list(layout.LOG))
    names = {name: numbers for name, numbers in listed if numbers}
    for (name, numbers), data in zip(names.items(), together(store, read, names), strict=True):
        session, number = numbers
        found.missing += [
            layout.log_name(session, gone) for gone in range(last[1] + 1 if session == last[0] else 1, number)
        ]
        last = numbers
        found.sessions = max(found.sessions, session)
        entry = _parse(data, layout.shown(store.url, name))
        if entry is None:
            found.damaged.append(name)
            continue
        for acceptance in entry:
            found.by_task[acceptance.task] = acceptance
    return found


def _parse(data: bytes, where: str) -> list[Acceptance] | None:
    """The acceptances of an entry; None if it is not what was written."""
    try:
        entry: dict[str, Any] = unseal(data)
    except ValueError:
        return None
    if entry["format"] != FORMAT:
        raise WorkDamaged(
            f"{where}, an entry of the run's log, has format {entry['format']}; "
            f"this version reads format {FORMAT}.",
            hint="Go on with the version that began the run, or start afresh with --new.",
        )
    return [from_plain(Acceptance, plain) for plain in entry["accepted"]]

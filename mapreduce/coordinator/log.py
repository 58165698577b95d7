"""The log of acceptances: what a run that goes on need not do again.

An entry is one object that is written once, `log/<session>.<number>`, before anything is done that
rests on it. It holds accepted results as MessagePack behind a digest. A session is one process that
had the run; a later entry of a task replaces an earlier one, because the earlier result had got lost
or was made of other maps. Entries need not outlive a power failure: one that is missing or torn is
noticed, and its tasks run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce.codec import from_plain, seal, unseal
from mapreduce.errors import StorageError, WorkDamaged
from mapreduce.model import AttemptRecord, Result, TaskId
from mapreduce.protocols import Store
from mapreduce.store import layout

FORMAT = 2


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
        self._entries = 0

    def append(self, accepted: Sequence[Acceptance]) -> None:
        """Write one entry. Raises StorageError."""
        if not accepted:
            return
        self._entries += 1
        entry = seal({"format": FORMAT, "accepted": accepted})
        name = layout.log_name(self._session, self._entries)
        if not self._store.create(name, entry, durable=False):
            raise StorageError(f"{self._store.root / name} was written by another process.")


def read_log(store: Store) -> Accepted:
    """All acceptances. Raises StorageError, and WorkDamaged for a log of another version."""
    found = Accepted()
    last = (0, 0)
    for name in store.list(layout.LOG):
        numbers = layout.log_numbers(name)
        if numbers is None:
            continue
        session, number = numbers
        found.missing += [
            layout.log_name(session, gone) for gone in range(last[1] + 1 if session == last[0] else 1, number)
        ]
        last = numbers
        found.sessions = max(found.sessions, session)
        entry = _parse(store.read(name), store.root / name)
        if entry is None:
            found.damaged.append(name)
            continue
        for acceptance in entry:
            found.by_task[acceptance.task] = acceptance
    return found


def _parse(data: bytes, where: Path) -> list[Acceptance] | None:
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

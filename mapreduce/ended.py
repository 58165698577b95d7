"""Runs that have ended, wherever their manifests lie: found, listed, reported, and told of again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mapreduce import manifest as manifests
from mapreduce.errors import JobError, ManifestError, StorageError
from mapreduce.model import Delivery, Status
from mapreduce.protocols import Store
from mapreduce.result import JobResult
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.delivery import (
    Origin,
    Review,
    Told,
    decide,
    deliver_all,
    deliveries_of,
    review_of,
    told_of,
)
from mapreduce.store import layout, open_store
from mapreduce.store.urls import folder_or_url

logger = logging.getLogger("mapreduce.run")


@dataclass(frozen=True)
class Ended:
    """A run whose manifest is there: of a job or a set, with or without a result."""

    result: JobResult | JobSetResult

    @property
    def place(self) -> Path | str:
        """Where its manifest lies."""
        return self.result.place

    @property
    def name(self) -> str:
        """Of the job or the set."""
        return self.result.name

    @property
    def run_id(self) -> str:
        return self.result.manifest.run_id

    @property
    def status(self) -> Status:
        return self.result.status

    @property
    def word(self) -> str:
        """Its status in words."""
        return self.status.value.lower().replace("_", " ")

    @cached_property
    def _store(self) -> Store:
        return open_store(self.place, self.run_id)

    @cached_property
    def _told(self) -> Told | None:
        return told_of(self._store, self.run_id)

    @property
    def origin(self) -> Origin | None:
        """The command that began it; None if it was none, or nobody is to be told."""
        return self._told.origin if self._told else None

    def is_reviewed(self) -> bool:
        """Whether nobody is told before somebody has approved."""
        return self._told is not None and self._told.reviewed

    def deliveries(self) -> tuple[Delivery, ...]:
        """What became of telling each sink so far. Raises StorageError."""
        return deliveries_of(self._store, self.result.manifest)

    def review(self) -> Review | None:
        """What somebody decided about it. Raises StorageError."""
        return review_of(self._store, self.run_id)

    def decide(self, *, approved: bool, by: str, note: str) -> Review:
        """Record a decision; the one that counts.

        Raises JobError if there is another one, or nothing to decide.
        """
        if not self.is_reviewed():
            raise JobError(
                f"Run {self.run_id} was not begun with --review: there is nothing to decide.",
                hint="See who was told with `mapreduce sinks`.",
            )
        when = datetime.now(UTC).isoformat(timespec="seconds")
        counts = decide(self._store, self.run_id, Review(approved, by, note, when))
        decided = "approved" if counts.approved else "rejected"
        if counts.approved != approved:
            raise JobError(
                f"Run {self.run_id} was {decided} by {counts.by}, {counts.when}.",
                hint="The first decision counts.",
            )
        logger.info("run %s of %s was %s by %s", self.run_id, self.name, decided, counts.by)
        return counts

    def tell(self, sinks: Sequence[Any]) -> tuple[Delivery, ...]:
        """Tell those of the sinks that were not told. May be called again."""
        self.result.deliveries = deliver_all(sinks, self.result, self._store)
        return self.result.deliveries


def load(place: Path | str) -> Ended:
    """What has ended at a place. Raises ManifestError, StorageError."""
    where = folder_or_url(place)
    if isinstance(where, Path):
        where = where.absolute()
    if manifests.is_of_set(where):
        return Ended(JobSetResult.load(where))
    return Ended(JobResult.load(where))


def find(run: str) -> Ended:
    """The run that a person means. Raises JobError, ManifestError, StorageError.

    A folder or URL with a manifest; an output to which the last run failed; or the beginning of the id of a
    run below the current folder.
    """
    where = folder_or_url(run)
    if not isinstance(where, Path):
        return load(where)
    if (where / layout.MANIFEST).exists():
        return load(where)
    below = [*_records(where)] or [*_records(layout.work_root(where))]
    if below:
        return max(below, key=lambda ended: ended.result.manifest.started)
    if not where.exists():
        found = [ended for ended in runs(Path()) if ended.run_id.startswith(run)]
        if len({ended.run_id for ended in found}) == 1:
            return max(found, key=lambda ended: ended.result.manifest.started)
        if found:
            raise JobError(f"{len(found):,} runs begin with {run!r}.", hint="Give more of the id.")
    raise JobError(
        f"No run has ended at {run}, and none below {Path.cwd()} has an id that begins so.",
        hint="See what there is with `mapreduce runs`.",
    )


def _records(root: Path) -> Iterator[Ended]:
    """What lies in the directory of all runs to an output: results that are kept, and ends without one."""
    for pattern in (f"*/{layout.KEPT}", f"{layout.FAILED}/*"):
        for folder in sorted(root.glob(pattern)):
            with suppress(ManifestError, StorageError):
                yield load(folder)


def _may_hold_runs(name: str) -> bool:
    """Whether runs may lie below a folder of this name: those of the engine do, other hidden ones don't."""
    return name != layout.SINKS and (not name.startswith(".") or name.endswith(layout.OWN))


def runs(directory: Path) -> list[Ended]:
    """Runs whose manifests lie below a folder, the oldest first; what can't be read is left out."""
    found = []
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(filter(_may_hold_runs, folders))
        if layout.MANIFEST in names:
            with suppress(ManifestError, StorageError):
                found.append(load(Path(folder)))
    return sorted(found, key=lambda ended: (ended.result.manifest.started, ended.run_id))

"""Going on with a run that was begun and has not ended: what it was to do, and what is done.

A run's directory has its plan, written before any task, and its log of acceptances. A run of the
same job goes on from there. Another job, other input or other versions are refused, with what differs.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from mapreduce import manifest as manifests
from mapreduce.changes import differences, only_reduce_changed
from mapreduce.codec import from_plain, pack, seal, unseal
from mapreduce.coordinator.log import Acceptance, Accepted, read_log
from mapreduce.errors import JobChanged, ManifestError, WorkDamaged
from mapreduce.figures import count
from mapreduce.model import Kind, Manifest, Plan, SetJob, SetPlan
from mapreduce.place import Place, try_lock
from mapreduce.protocols import Store
from mapreduce.store import layout

logger = logging.getLogger("mapreduce.run")

FORMAT = 1


@dataclass(frozen=True)
class Invocation:
    """How the command line began a run, so that `mapreduce resume` can do the same again."""

    directory: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Begun:
    """A run that has not ended, and whose process has. Who got it holds its lock."""

    place: Place
    lock: BinaryIO
    plan: Plan
    invocation: Invocation | None
    plans: int
    """Number of its newest plan."""
    accepted: Accepted
    committed: Manifest | None

    @property
    def session(self) -> int:
        """The number of the session that goes on with it."""
        return self.accepted.sessions + 1


@dataclass(frozen=True)
class BegunSet:
    """A run of a JobSet that has not ended, and whose process has. Who got it holds its lock."""

    place: Place
    lock: BinaryIO
    plan: SetPlan
    invocation: Invocation | None
    ended: dict[str, SetJob]
    """Jobs that have a result."""
    sessions: int
    committed: bytes | None

    @property
    def done(self) -> str:
        """How far it is, in words."""
        if self.committed is not None:
            return "it has committed its result"
        return f"{len(self.ended):,} of {count(len(self.plan.jobs), 'job')} done"


# ---------------------------------------------------------------- the plan's record


def write_plan(store: Store, number: int, plan: Plan, invocation: Invocation | None) -> None:
    """Record what is to be done, before it is begun. Raises StorageError."""
    if not store.create(layout.plan_name(number), plan_record(plan, invocation)):
        raise WorkDamaged(
            f"{layout.shown(store.url, layout.plan_name(number))} was written by another process."
        )


def plan_record(plan: Plan, invocation: Invocation | None) -> bytes:
    """What is written of a plan."""
    return seal({"format": FORMAT, "plan": plan, "invocation": invocation})


def is_record_of(data: bytes, plan: Plan) -> bool:
    """Whether just this plan was recorded, by whatever invocation. Raises ValueError."""
    fields = unseal(data)
    return bool(fields["format"] == FORMAT and pack(fields["plan"]) == pack(plan))


def read_plan(store: Store, name: str) -> tuple[Plan, Invocation | None]:
    """A plan that was recorded, and how the command line began it, if it did. Raises WorkDamaged."""
    return _planned(_recorded(store, name))


def _planned(fields: dict[str, Any]) -> tuple[Plan, Invocation | None]:
    return from_plain(Plan, fields["plan"]), from_plain(Invocation | None, fields["invocation"])


def _recorded(store: Store, name: str) -> dict[str, Any]:
    """What was recorded of a job's plan, or a JobSet's. Raises WorkDamaged."""
    where = layout.shown(store.url, name)
    try:
        fields: dict[str, Any] = unseal(store.read(name))
    except (ValueError, FileNotFoundError) as error:
        raise _damaged(where, "the plan", str(error)) from None
    if fields["format"] > FORMAT:
        raise WorkDamaged(
            f"{where} has format {fields['format']}; this version reads up to {FORMAT}.",
            hint="Go on with the version that began the run, or start afresh with --new.",
        )
    return fields


def _damaged(where: str, what: str, why: str) -> WorkDamaged:
    return WorkDamaged(
        f"{where}, {what} of a run that did not end, is damaged: {why.rstrip('.')}.",
        hint="The run can't go on: start afresh with --new.",
    )


# ---------------------------------------------------------------- finding it


def find_begun(place: Place) -> Begun | None:
    """The newest run to this place that was begun, has not ended, and whose process has.

    Raises WorkDamaged, StorageError.
    """
    return _find(place, _read)


def find_begun_set(place: Place) -> BegunSet | None:
    """The same for runs of a JobSet. Raises WorkDamaged, StorageError."""
    return _find(place, _read_set)


B = TypeVar("B")


def _find(place: Place, read: Callable[[Place, BinaryIO], B | None]) -> B | None:
    if not place.root.is_dir():
        return None
    for directory in sorted(place.root.iterdir(), key=lambda path: path.name, reverse=True):
        if not _has_begun(directory):
            continue
        if not _is_ours(directory):
            logger.warning("%s may have been written by others: no run goes on from there", directory)
            continue
        lock = try_lock(directory)
        if lock is None:
            continue
        try:
            begun = read(place.of(directory.name), lock)
        except BaseException:
            lock.close()
            raise
        if begun is not None:
            return begun
        lock.close()
    return None


def _has_begun(directory: Path) -> bool:
    """Whether a run was begun there and has not ended, as far as this user may know."""
    try:
        return (directory / layout.PLANS).is_dir() and not (directory / layout.ENDED).exists()
    except PermissionError:
        return False


def _is_ours(directory: Path) -> bool:
    """Whether only this user can have written what is there: data that is read back is trusted."""
    status = os.lstat(directory)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _read(place: Place, lock: BinaryIO) -> Begun | None:
    store = place.store()
    names = [name for name in store.list(layout.PLANS) if layout.log_numbers(name)]
    if not names or "jobset" in (fields := _recorded(store, names[-1])):
        return None
    plan, invocation = _planned(fields)
    numbers = layout.log_numbers(names[-1]) or (0, 0)
    return Begun(place, lock, plan, invocation, numbers[0], read_log(store), _committed(place, store))


def _read_set(place: Place, lock: BinaryIO) -> BegunSet | None:
    store = place.store()
    name = layout.plan_name(1)
    if name not in store.list(layout.PLANS) or "jobset" not in (fields := _recorded(store, name)):
        return None
    ended, sessions = {}, 0
    for entry in store.list(layout.LOG):
        numbers = layout.log_numbers(entry)
        with suppress(ValueError, FileNotFoundError, TypeError, KeyError):  # its job is looked for again
            job = from_plain(SetJob, unseal(store.read(entry)))
            ended[job.name] = job
        sessions = max(sessions, numbers[0] if numbers else 0)
    committed, where = None, layout.shown(store.url, layout.COMMIT)
    with suppress(FileNotFoundError):
        committed = store.read(layout.COMMIT)
        try:
            manifests.parse_set(committed, where)
        except ManifestError as error:
            raise _damaged(where, "the manifest", error.message) from None
    return BegunSet(
        place,
        lock,
        from_plain(SetPlan, fields["jobset"]),
        from_plain(Invocation | None, fields["invocation"]),
        ended,
        sessions,
        committed,
    )


def set_record(plan: SetPlan, invocation: Invocation | None) -> bytes:
    """What is written of what a run of a JobSet is to do."""
    return seal({"format": FORMAT, "jobset": plan, "invocation": invocation})


def _committed(place: Place, store: Store) -> Manifest | None:
    """What the run has published or committed. A commit that can't be read, or whose parts are not what
    it says, has made nothing visible yet: it is none.
    """
    published = published_by(place)
    if published is not None:
        return published
    try:
        manifest = manifests.parse(store.read(layout.COMMIT), layout.shown(store.url, layout.COMMIT))
    except FileNotFoundError:
        return None
    except ManifestError as error:
        problem = error.message
    else:
        files = manifests.files_of(manifest)
        wrong = [part.name for part in files if manifests.check_part(place.output, part)]
        if not wrong:
            return manifest
        problem = f"{', '.join(wrong[:3])}: not what was committed."
    logger.warning("the run commits again: %s", problem)
    return None


def published_by(place: Place) -> Manifest | None:
    """The manifest that a run has published; None if it has not, or another run has."""
    with suppress(ManifestError):
        manifest = manifests.load(place.output)
        if manifest.run_id == place.run_id:
            return manifest
    return None


# ---------------------------------------------------------------- going on


def plan_to_go_on(begun: Begun, plan: Plan, *, accept_new_code: bool) -> Plan | None:
    """The plan to go on with, `plan` being that of the job as it is now; None: a new run is begun.

    Results that are kept with their runs have no place that a changed job could mix up: it begins anew.
    Raises JobChanged.
    """
    if begun.committed is None and not begun.accepted.by_task:
        return None
    changes = differences(begun.plan, plan)
    if not changes:
        return begun.plan
    if begun.place.kept and begun.committed is None and not accept_new_code:
        logger.info("the job has changed since run %s: %s", begun.place.run_id, "; ".join(changes))
        return None
    keeps_maps = accept_new_code and begun.committed is None and only_reduce_changed(begun.plan, plan)
    if keeps_maps and not (begun.plan.combines or plan.combines):
        logger.info("the reduce has changed: map results are kept, reduces run again")
        return replace(plan, run_id=begun.place.run_id)
    raise JobChanged(
        f"The job has changed since run {begun.place.run_id} to {begun.place.output} was begun "
        f"({done_of(begun)}):\n" + "\n".join(f"  {change}" for change in changes),
        hint=_hint(begun, plan, "that" if len(changes) == 1 else "all of that"),
    )


def _hint(begun: Begun, plan: Plan, what: str) -> str:
    afresh = "start afresh with --new (in Python: resume=False)"
    if begun.committed is not None or not only_reduce_changed(begun.plan, plan):
        return f"Undo {what} to go on with the run, or {afresh}."
    if begun.plan.combines or plan.combines:
        why = "Map results hold what the old reduce made of the pairs, so they can't be kept."
        return f"Undo {what} to go on with the run, or {afresh}. {why}"
    return (
        f"Keep the map results with --accept-new-code (in Python: accept_new_code=True), undo {what}, "
        f"or {afresh}."
    )


def done_of(begun: Begun) -> str:
    """How far a run is, in words."""
    if begun.committed is not None:
        return "it has committed its result"
    done = [task.kind for task in begun.accepted.by_task]
    maps = f"{done.count(Kind.MAP):,} of {count(len(begun.plan.splits), 'map task')}"
    if not begun.plan.shards:
        return f"{maps} done"
    return f"{maps} and {done.count(Kind.REDUCE):,} of {count(begun.plan.shards, 'reduce task')} done"


def usable(begun: Begun) -> list[Acceptance]:
    """The accepted results whose data is still there. Parts are compared with their digests; map data
    is, chunk by chunk, when it is read.
    """
    for name in begun.accepted.damaged:
        logger.warning("%s is damaged: its tasks run again", begun.place.directory / name)
    for name in begun.accepted.missing:
        logger.warning("%s is missing: its tasks run again", begun.place.directory / name)
    found = []
    for task, acceptance in sorted(begun.accepted.by_task.items(), key=lambda item: str(item[0])):
        if problem := _problem(begun.place, acceptance):
            logger.warning("%s runs again: %s", task, problem)
        else:
            found.append(acceptance)
    return found


def _problem(place: Place, acceptance: Acceptance) -> str:
    """What is wrong with the data of a result; "" for nothing."""
    result = acceptance.result
    for part in (result.part, result.set_aside):
        problem = manifests.check_part(place.output, part) if part else ""
        if part and problem:
            return f"{part.name}: {problem}"
    if not result.name:
        return ""
    try:
        held = (place.directory / result.name).stat().st_size
    except OSError as error:
        return f"{result.name} can't be read: {error.strerror}"
    return "" if held == result.size else f"{result.name} has {held:,} bytes instead of {result.size:,}"


def invocation_at(directory: Path) -> tuple[str, str, Invocation] | None:
    """The newest run that can go on and was begun from the command line, of those that a directory may
    mean: an output, a work directory, or a run's own. Its id, how far it is, and how it was begun.
    """
    own = Path(os.path.realpath(directory))
    below = sorted(path for path in own.iterdir() if path.is_dir()) if own.is_dir() else []
    found = []
    for root in dict.fromkeys([layout.work_root(own), own, own.parent, *below]):
        place = Place("", own, root, kept=False)
        if (begun := find_begun(place)) is not None:
            begun.lock.close()
            found += [(begun.place.run_id, done_of(begun), begun.invocation)] if begun.invocation else []
        if (of_set := find_begun_set(place)) is not None:
            of_set.lock.close()
            found += [(of_set.place.run_id, of_set.done, of_set.invocation)] if of_set.invocation else []
    return max(found, key=lambda item: item[0], default=None)

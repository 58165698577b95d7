"""Where a run writes: its own directory, and the output's; what it leaves there, and what it removes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from mapreduce import manifest as manifests
from mapreduce.datasets import as_output
from mapreduce.errors import JobError, ManifestError, OutputExists, StorageError
from mapreduce.job import Job
from mapreduce.model import Plan
from mapreduce.protocols import Store
from mapreduce.store import inputs, layout, open_store
from mapreduce.store.local import make_directory, storage_errors
from mapreduce.store.probe import check_store
from mapreduce.store.urls import folder_or_url

_TRIES = 100
"""To make a run's directory, which another run may remove before it is locked."""


@dataclass(frozen=True)
class Place:
    """Where a run writes: its own directory, and the output's."""

    run_id: str
    output: Path | str
    """A folder, or the URL of one in a bucket."""
    root: Path
    """The directory of all runs of this host that write to this output."""
    kept: bool
    """The output is the run's own; it stays when the run's directory goes."""
    results: str = ""
    """The URL below which it lies then, if it lies in a bucket."""

    @property
    def directory(self) -> Path:
        """The run's own."""
        return self.root / self.run_id

    def of(self, run_id: str) -> Place:
        """The same for another run."""
        if not self.kept:
            return replace(self, run_id=run_id)
        return replace(self, run_id=run_id, output=_kept(self.results or self.root, run_id))

    def store(self) -> Store:
        """The run's own directory."""
        return open_store(self.directory)

    def output_store(self) -> Store:
        """Where the output lies."""
        return open_store(self.output, self.run_id)


def _kept(root: Path | str, run_id: str) -> Path | str:
    return root / run_id / layout.KEPT if isinstance(root, Path) else f"{root}/{run_id}/{layout.KEPT}"


def place_at(output: Path | str, run_id: str) -> Place:
    """Where a run wrote that was begun without `work`, by its output."""
    kept = str(output).endswith(f"/{run_id}/{layout.KEPT}")
    root = output.parent.parent if kept and isinstance(output, Path) else layout.work_root(output)
    return Place(run_id, output, root, kept)


def place_of(job: Job, run_id: str, work: Path | None = None, store: str | None = None) -> Place:
    """Where a run of this job writes. Raises JobError for an output that no store can be opened for.

    work: a directory for what runs need while they run; None: beside the output. store: the one that hosts
    share, if the run is on one: what is kept with the run is kept there.
    """
    return place_to(as_output(job.output).path, job.name, run_id, work, store)


def place_to(
    path: str | None, name: str, run_id: str, work: Path | None = None, store: str | None = None
) -> Place:
    """The same by the path of the output, or by the name under which what has none is kept."""
    if path is None:
        results = "" if store is None else inputs.local_path(layout.results_of(store, name))
        if inputs.is_url(results):
            root = layout.kept_root(Path.cwd(), name)
            return Place(run_id, _kept(results, run_id), root, kept=True, results=results)
        beside = layout.kept_root(Path.cwd(), name) if work is None else _real(work) / name
        root = Path(os.path.realpath(results)) if results else beside
        return Place(run_id, _kept(root, run_id), root, kept=True)
    output = folder_or_url(path)
    output = _real(output) if isinstance(output, Path) else open_store(output).url
    return Place(run_id, output, layout.work_root(output, work and _real(work)), kept=False)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


@dataclass(frozen=True)
class Replaced:
    """The result that a run replaces. Nothing is known of none, and of one that can't be read."""

    digest: str = ""
    """Of its manifest."""
    run_id: str = ""


def check_output(place: Place, *, overwrite: bool) -> Replaced:
    """Refuse an output that must not be written to; what is to be replaced there.

    Raises OutputExists, StorageError.
    """
    output = place.output
    with storage_errors("read", output):
        if isinstance(output, Path):
            if not output.exists():
                return Replaced()
            if not output.is_dir():
                raise OutputExists(f"{output} is a file.", hint="Give a directory as output.")
        names = manifests.names_at(output)
        if layout.MANIFEST in names:
            if overwrite:
                return replaced_at(output)
            raise OutputExists(
                f"{output} already holds a result.",
                hint="Look at it with `mapreduce show`, give another output, or replace it with --overwrite.",
            )
        foreign = [name for name in names if layout.writer_of(name) is None and name != layout.PROBES]
    if foreign:
        raise OutputExists(
            f"{place.output} holds files that are no result: {', '.join(foreign[:3])}"
            f"{', …' if len(foreign) > 3 else ''}.",
            hint="Give another output, or empty the directory.",
        )
    return Replaced()


def check_apart(place: Place, plan: Plan) -> None:
    """Refuse an output below which input lies: the next run would read its own result. Raises JobError."""
    for file in plan.inputs:
        if _lies_in(file.uri, place.output):
            raise JobError(
                f"The input {file.uri} lies in the output {place.output}.",
                hint="Give an output outside of the input.",
            )


def _lies_in(uri: str, output: Path | str) -> bool:
    if isinstance(output, Path):
        return not inputs.is_url(uri) and _real(Path(uri)).is_relative_to(output)
    return uri.startswith(f"{output}/")


def replaced_at(output: Path | str) -> Replaced:
    """The result that is there. Raises StorageError."""
    try:
        manifest = manifests.load(output)
    except ManifestError:  # damaged: that is what --overwrite is for
        return Replaced()
    return Replaced(manifest.digest, manifest.run_id)


def prepare_output(place: Place) -> None:
    """Make the output's folder; a bucket must keep what a store promises.

    Raises StorageError, StoreNotSafe.
    """
    if isinstance(place.output, Path):
        with storage_errors("create", place.output, missing=False):
            make_directory(place.output)
    else:
        check_store(place.output_store())


# ---------------------------------------------------------------- owning a run's directory


@contextmanager
def run_directory(
    place: Place, lock: BinaryIO | None = None, *, keep: bool = False, replaced: str = ""
) -> Iterator[None]:
    """Own the run's directory, and remove what other runs have left that ended.

    lock: the directory's, where it is there and held already. replaced: the run whose result this one
    replaces. When the block ends well the run has ended and its directory goes, unless `keep`. When it
    fails, what was accepted stays for a run that goes on; where nothing was, nothing stays.

    The lock is the process's: it is free as soon as the process ends, however it ends.
    """
    if lock is None:
        with storage_errors("create", place.directory, missing=False):
            lock = _locked(place.directory)
    known = {place.run_id, replaced}
    try:
        prepare_output(place)
        for other in place.root.iterdir():
            known.add(other.name)
            if other.name != place.run_id:
                _remove_if_dead(other)
        yield
    except BaseException as error:
        if isinstance(error, OutputExists) or not has_work(place):  # another run was first, for good
            _remove_directory(place.directory)
        raise
    else:
        _end(place, keep)
    finally:
        is_folder = isinstance(place.output, Path)
        _remove_unfinished(place)
        # Runs of other hosts write to a bucket, of which nothing is known here.
        remove_garbage(
            place.output, lambda run_id: (is_folder or run_id in known) and not needs_parts(place, run_id)
        )
        above = place.root.parent
        for empty in (place.output, place.root, *([above] if above.name == layout.OWN else [])):
            if isinstance(empty, Path):
                with suppress(OSError):
                    empty.rmdir()
        lock.close()


@contextmanager
def only_one(place: Place, what: str) -> Iterator[None]:
    """Let no other process of this host run the same meanwhile. Raises JobError if one does."""
    lock = _only_lock(place, what)
    with lock:
        try:
            yield
        finally:
            with suppress(OSError):
                (place.root / layout.ONE).unlink()
                place.root.rmdir()


def _only_lock(place: Place, what: str) -> BinaryIO:
    """The lock of who runs it; again if the one before has removed the file meanwhile."""
    while True:
        with storage_errors("create", place.root, missing=False):
            make_directory(place.root)
            lock = open(place.root / layout.ONE, "wb")  # noqa: SIM115 - the caller closes it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise JobError(f"{what} is being run by another process.", hint="Wait for its end.") from None
        if os.fstat(lock.fileno()).st_nlink:
            return lock
        lock.close()


def has_work(place: Place) -> bool:
    """Whether the run has left something to go on from; True where that can't be known now."""
    try:
        return bool(place.store().list(layout.LOG)) or (place.directory / layout.COMMIT).exists()
    except (StorageError, OSError):
        return True


def _end(place: Place, keep: bool) -> None:
    """The run has ended: it can't be gone on with, and its directory goes."""
    store = place.store()
    if keep:
        store.create(layout.ENDED, b"")
        return
    for name in store.list(layout.PLANS):
        store.delete(name)
    _remove_directory(place.directory)


def needs_parts(place: Place, run_id: str) -> bool:
    """Whether a run of this host to this place may still need what it wrote to the output."""
    directory = place.root / run_id
    try:
        return directory.exists() and not (directory / layout.ENDED).exists()
    except PermissionError:  # another user's
        return True


def claim_output(place: Place) -> None:
    """Say beside the output that a run writes there which has its data elsewhere. Raises StorageError.

    In a bucket nobody removes what others have written, so nobody need be told.
    """
    if not isinstance(place.output, Path):
        return
    with storage_errors("create", place.directory, missing=False):
        make_directory(place.directory)
        (place.directory / layout.ELSEWHERE).touch()


def release_output(place: Place) -> None:
    """The run writes there no more. May be repeated."""
    if not isinstance(place.output, Path):
        return
    (place.directory / layout.ELSEWHERE).unlink(missing_ok=True)
    for empty in (place.directory, place.root):
        with suppress(OSError):
            empty.rmdir()


def try_lock(directory: Path) -> BinaryIO | None:
    """The lock of a run's directory; None if its process lives, or if it is no run's directory."""
    try:
        # For writing, though nothing is: NFS locks no other file.
        lock = open(directory / layout.LOCK, "r+b")  # noqa: SIM115 - the caller closes it
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    if not os.fstat(lock.fileno()).st_nlink:  # removed meanwhile
        lock.close()
        return None
    return lock


def _locked(directory: Path) -> BinaryIO:
    """Make a run's directory and lock it; again if another run took it for a dead one meanwhile.

    Raises FileNotFoundError where no directory can be made, as below /proc.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = open(directory / layout.LOCK, "wb")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            if not tries_left:
                raise
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock.fileno()).st_nlink:
            return lock
        lock.close()
    raise FileNotFoundError(errno.ENOENT, "it is removed again and again")


def _remove_if_dead(directory: Path) -> None:
    """Remove what a run has left whose process has ended; the lock is held meanwhile."""
    if layout.is_run_id(directory.name):
        with suppress(OSError):  # as a rule it holds something
            directory.rmdir()  # its run was killed before it had the lock; one that lives makes it again
    lock = try_lock(directory)
    if lock is not None:
        with lock, suppress(OSError):  # another user's
            if not (directory / layout.ENDED).exists():
                _remove_directory(directory)


def _remove_directory(directory: Path) -> None:
    """Remove a run's directory, or, if it has committed a result that is kept there, all but that.

    The lock goes last: without it nobody would know that what is left there may be removed.
    """
    for name in (layout.PLANS, layout.LOG, layout.DATA, layout.CRASHES):
        shutil.rmtree(directory / name, ignore_errors=True)
    if not (directory / layout.KEPT / layout.MANIFEST).exists():
        for path in [path for path in directory.glob("*") if path.name != layout.LOCK]:
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def _remove_unfinished(place: Place) -> None:
    """Remove what the run's workers, which have ended, were writing to the output."""
    if not isinstance(place.output, Path):
        return
    with suppress(OSError):
        for path in place.output.iterdir():
            if layout.is_unfinished(path.name) and layout.writer_of(path.name) == place.run_id:
                path.unlink(missing_ok=True)


def remove_garbage(output: Path | str, has_ended: Callable[[str], bool]) -> None:
    """Remove what runs that have ended wrote to an output and its manifest does not name.

    The manifest is read last: a run publishes before it ends, so what it names is then known. What can't
    be removed now is left to the next run.
    """
    with suppress(OSError, StorageError, ManifestError):
        writers = {name: layout.writer_of(name) for name in manifests.names_at(output)}
        ended = {name for name, writer in writers.items() if writer and has_ended(writer)}
        for name in sorted(ended - named_at(output)) if ended else []:
            remove_at(output, name)


def named_at(output: Path | str) -> set[str]:
    """The files that an output's manifest names; none without one.

    Raises ManifestError for one that can't be read: it may name anything.
    """
    try:
        return manifests.names_of_files(output)
    except ManifestError:
        if layout.MANIFEST in manifests.names_at(output):
            raise
        return set()


def remove_at(output: Path | str, name: str) -> None:
    """Remove a file of an output; a missing one is no error. Raises OSError, StorageError."""
    if isinstance(output, Path):
        (output / name).unlink(missing_ok=True)
    else:
        open_store(output).delete(name)

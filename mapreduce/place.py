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

_TRIES = 100
"""To make a run's directory, which another run may remove before it is locked."""


@dataclass(frozen=True)
class Place:
    """Where a run writes: its own directory, and the output's."""

    run_id: str
    output: Path
    root: Path
    """The directory of all runs that write to this output."""
    kept: bool
    """The output is the run's own; it stays when the run's directory goes."""

    @property
    def directory(self) -> Path:
        """The run's own."""
        return self.root / self.run_id

    def of(self, run_id: str) -> Place:
        """The same for another run."""
        output = self.root / run_id / layout.KEPT if self.kept else self.output
        return replace(self, run_id=run_id, output=output)

    def store(self) -> Store:
        """The run's own directory."""
        return open_store(self.directory)

    def output_store(self) -> Store:
        """The output's directory."""
        return open_store(self.output, self.run_id)


def place_at(output: Path, run_id: str) -> Place:
    """Where a run wrote that was begun without `work`, by its output."""
    kept = output.name == layout.KEPT and output.parent.name == run_id
    return Place(run_id, output, output.parent.parent if kept else layout.work_root(output), kept)


def place_of(job: Job, run_id: str, work: Path | None = None) -> Place:
    """Where a run of this job writes. Raises JobError for an output that is no local directory.

    work: a directory for what runs need while they run; None: beside the output.
    """
    path = as_output(job.output).path
    if path is None:
        root = (
            layout.kept_root(Path.cwd(), job.name)
            if work is None
            else Path(os.path.realpath(work)) / job.name
        )
        return Place(run_id, root / run_id / layout.KEPT, root, kept=True)
    if inputs.is_url(inputs.local_path(path)):
        raise JobError(
            f"output={path!r} is a URL.", hint="Write to a local directory, and copy it from there."
        )
    output = Path(os.path.realpath(inputs.local_path(path)))
    return Place(run_id, output, layout.work_root(output, work and _real(work)), kept=False)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def check_output(place: Place, *, overwrite: bool) -> str:
    """Refuse an output that must not be written to; the digest of the manifest to be replaced.

    Raises OutputExists.
    """
    with storage_errors("read", place.output):
        if not place.output.exists():
            return ""
        if not place.output.is_dir():
            raise OutputExists(f"{place.output} is a file.", hint="Give a directory as output.")
        if (place.output / layout.MANIFEST).exists():
            if overwrite:
                return _digest_of(place.output)
            raise OutputExists(
                f"{place.output} already holds a result.",
                hint="Look at it with `mapreduce show`, give another output, or replace it with --overwrite.",
            )
        foreign = sorted(p.name for p in place.output.iterdir() if layout.writer_of(p.name) is None)
    if foreign:
        raise OutputExists(
            f"{place.output} holds files that are no result: {', '.join(foreign[:3])}"
            f"{', …' if len(foreign) > 3 else ''}.",
            hint="Give another output, or empty the directory.",
        )
    return ""


def check_apart(place: Place, plan: Plan) -> None:
    """Refuse an output below which input lies: the next run would read its own result. Raises JobError."""
    for file in plan.inputs:
        path = Path(os.path.realpath(file.uri))
        if not inputs.is_url(file.uri) and path.is_relative_to(place.output):
            raise JobError(
                f"The input {file.uri} lies in the output {place.output}.",
                hint="Give an output outside of the input.",
            )


def _digest_of(output: Path) -> str:
    try:
        return manifests.load(output).digest
    except ManifestError:  # damaged: that is what --overwrite is for
        return ""


# ---------------------------------------------------------------- owning a run's directory


@contextmanager
def run_directory(place: Place, lock: BinaryIO | None = None, *, keep: bool = False) -> Iterator[None]:
    """Own the run's directory, and remove what other runs have left that ended.

    lock: the directory's, where it is there and held already. When the block ends well the run has
    ended and its directory goes, unless `keep`. When it fails, what was accepted stays for a run
    that goes on; where nothing was, nothing stays.

    The lock is the process's: it is free as soon as the process ends, however it ends.
    """
    if lock is None:
        with storage_errors("create", place.directory, missing=False):
            lock = _locked(place.directory)
    try:
        with storage_errors("create", place.output, missing=False):
            make_directory(place.output)
        for other in place.root.iterdir():
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
        _remove_unfinished(place)
        remove_garbage(place.output, lambda run_id: not needs_parts(place, run_id))
        for empty in (place.output, place.root, *([place.root.parent] if place.kept else [])):
            with suppress(OSError):
                empty.rmdir()
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
    """Whether a run to this place may still need what it wrote to the output."""
    directory = place.root / run_id
    try:
        return directory.exists() and not (directory / layout.ENDED).exists()
    except PermissionError:  # another user's
        return True


def claim_output(place: Place) -> None:
    """Say beside the output that a run writes there which has its data elsewhere. Raises StorageError."""
    with storage_errors("create", place.directory, missing=False):
        make_directory(place.directory)
        (place.directory / layout.ELSEWHERE).touch()


def release_output(place: Place) -> None:
    """The run writes there no more. May be repeated."""
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
    with suppress(OSError):
        for path in place.output.iterdir():
            if layout.is_unfinished(path.name) and layout.writer_of(path.name) == place.run_id:
                path.unlink(missing_ok=True)


def remove_garbage(output: Path, has_ended: Callable[[str], bool]) -> None:
    """Remove what runs that have ended wrote to an output and its manifest does not name.

    The manifest is read last: a run publishes before it ends, so what it names is then known. What can't
    be removed now is left to the next run.
    """
    with suppress(OSError, StorageError):
        writers = {path: layout.writer_of(path.name) for path in output.iterdir()}
        ended = [path for path, writer in writers.items() if writer and has_ended(writer)]
        try:
            named = manifests.names_of_files(output) if ended else set()
        except ManifestError:
            if (output / layout.MANIFEST).exists():  # and can't be read: it may name anything
                return
            named = set()
        for path in ended:
            if path.name not in named:
                path.unlink(missing_ok=True)

"""Where a run writes: its own directory, and the output's; what it leaves there, and what it removes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.datasets import as_output
from mapreduce.errors import JobError, ManifestError, OutputExists
from mapreduce.job import Job
from mapreduce.store import inputs, layout
from mapreduce.store.local import storage_errors


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


def place_of(job: Job, run_id: str) -> Place:
    """Where a run of this job writes. Raises JobError for an output that is no local directory."""
    path = as_output(job.output).path
    if path is None:
        root = layout.kept_root(Path.cwd(), job.name)
        return Place(run_id, root / run_id / layout.KEPT, root, kept=True)
    if inputs.is_url(inputs.local_path(path)):
        raise JobError(
            f"output={path!r} is a URL.", hint="Write to a local directory, and copy it from there."
        )
    output = Path(os.path.abspath(inputs.local_path(path)))
    return Place(run_id, output, layout.work_root(output), kept=False)


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
                return manifests.load(place.output).digest
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


@contextmanager
def run_directory(place: Place) -> Iterator[None]:
    """Own the run's directory; at the end remove it, and what killed runs have left.

    The lock is the process's: it is free as soon as the process ends, however it ends.
    """
    with storage_errors("create", place.directory):
        place.directory.mkdir(parents=True, mode=0o700)
        place.output.mkdir(parents=True, exist_ok=True)
        lock = open(place.directory / layout.LOCK, "wb")  # noqa: SIM115 - closed below
    fcntl.flock(lock, fcntl.LOCK_EX)
    committed = False
    try:
        for other in place.root.iterdir():
            if other.name != place.run_id and _is_dead(other):
                kept = place.kept and (other / layout.KEPT / layout.MANIFEST).exists()
                _remove_directory(other, keep=kept)
        yield
        committed = True
    finally:
        _remove_directory(place.directory, keep=place.kept and committed)
        _remove_garbage(place.output, lambda run_id: not (place.root / run_id).exists())
        for empty in (place.output, place.root, *([place.root.parent] if place.kept else [])):
            with suppress(OSError):
                empty.rmdir()
        lock.close()


def _is_dead(directory: Path) -> bool:
    """Whether the process that ran there has ended."""
    try:
        with open(directory / layout.LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError, BlockingIOError):
        return False
    return True


def _remove_directory(directory: Path, *, keep: bool) -> None:
    """Remove a run's directory, or all in it but the result that is kept there."""
    if not keep:
        shutil.rmtree(directory, ignore_errors=True)
    for name in (layout.DATA, layout.CRASHES):
        shutil.rmtree(directory / name, ignore_errors=True)


def _remove_garbage(output: Path, has_ended: Callable[[str], bool]) -> None:
    """Remove what runs that have ended wrote to an output and its manifest does not name."""
    try:
        named = {part.name for part in manifests.load(output).parts}
    except ManifestError:
        if (output / layout.MANIFEST).exists():  # and can't be read: it may name anything
            return
        named = set()
    with suppress(FileNotFoundError):
        for path in list(output.iterdir()):
            writer = layout.writer_of(path.name)
            if writer and path.name not in named and has_ended(writer):
                path.unlink(missing_ok=True)

"""A copy of a result at another place, which appears there whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from mapreduce.errors import InputError, JobError, ManifestError, SinkError, SinkRefused, StorageError
from mapreduce.job import NAME
from mapreduce.manifest import check_part, files_of, names_at, parse, parse_set, publish, seal
from mapreduce.model import Manifest, Part, SetJob, SetManifest, Status
from mapreduce.place import remove_garbage
from mapreduce.protocols import Store
from mapreduce.result import JobResult
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.news import News, Result
from mapreduce.sinks.teller import Teller
from mapreduce.store import layout, open_store
from mapreduce.store.local import is_short
from mapreduce.store.urls import folder_or_url, is_url, refuse_password

_PIECE = 16 << 20
"""Bytes of a part that are held at once."""
_COMMITTED = (Status.SUCCEEDED, Status.COMPLETED_WITH_ERRORS)
_OURS = {layout.MANIFEST, layout.SINKS, layout.PROBES}
_EMPTY = "Give another target, or empty this one."
_TARGET = "Give a folder, or s3://bucket/prefix with its keys in the environment."


class Copy(Teller):
    """A sink that copies a result to a folder or to `s3://bucket/prefix`, the manifest last: readers of the
    target see a whole result or none, and `mapreduce verify` proves it.

    A later run's result replaces the copy. Anything else that lies in the target is refused, and so is a
    result older than the copy. Of a run that failed or was cancelled nothing is copied. Of a JobSet each
    job's result is copied to a folder of its name, then the set's manifest, which gives the copies as the
    jobs' places. Parts are verified on the way, 16 MB at a time.
    """

    def __init__(self, target: str | os.PathLike[str], *, name: str = "copy", patience: float = 60.0) -> None:
        super().__init__(name, patience=patience)
        given: object = os.fspath(target) if isinstance(target, os.PathLike) else target
        if not isinstance(given, str) or not given:
            raise JobError(f"Copy: the target is a {type(target).__name__}.", hint=_TARGET)
        try:
            refuse_password(given)
        except InputError as error:
            raise JobError(f"Copy: {error.message}", hint=_TARGET) from None
        if is_url(given) and given.partition("://")[0] not in ("s3", "file"):
            raise JobError(f"Copy({given!r}): there is no store for such URLs.", hint=_TARGET)
        self.target = given

    def __repr__(self) -> str:
        return f"Copy({self.target!r})"

    def deliver(self, result: Result, key: str) -> None:
        """Copy a committed result. May be repeated: what is there already is verified, and stays.

        Raises SinkError, SinkRefused.
        """
        if result.status not in _COMMITTED:
            return
        target = folder_or_url(self.target.rstrip("/") or "/")
        target = Path(os.path.realpath(target)) if isinstance(target, Path) else target
        with _errors(target):
            _copy_set(result, target) if isinstance(result, JobSetResult) else _copy(result, target)

    def tell(self, news: News, key: str) -> None:
        """Nothing: it is the result that is copied."""


@contextmanager
def _errors(target: Path | str) -> Iterator[None]:
    """What another try may mend is a SinkError, what it won't a SinkRefused."""
    try:
        yield
    except StorageError as error:
        raise SinkError(f"Copying to {target} failed: {error.message}", hint=error.hint) from error
    except (ManifestError, JobError) as error:
        raise SinkRefused(f"Copying to {target} failed: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise SinkError(f"Copying to {target} failed: {error.strerror or error}.") from error


# ---------------------------------------------------------------- a job's result


def _copy(result: JobResult, target: Path | str) -> None:
    _check_apart(result.place, target)
    manifest = result.manifest
    source, store = open_store(result.place), open_store(target, manifest.run_id)
    data = _manifest_bytes(source, manifest)
    _replaced(store, target, manifest)
    for part in files_of(manifest):
        _copy_part(source, store, target, part)
    replaced = _replaced(store, target, manifest)  # as it is now: copying may take long
    publish(store, data, overwrite=True)
    # Parts of a later run may be on their way.
    remove_garbage(target, lambda run_id: run_id <= manifest.run_id or run_id == replaced)


def _check_apart(place: Path | str, target: Path | str) -> None:
    """Raise SinkRefused for a target among the parts."""
    if isinstance(place, Path) and isinstance(target, Path):
        among = target.is_relative_to(os.path.realpath(place))
    else:
        among = f"{target}/".startswith(f"{place}/")
    if among:
        raise SinkRefused(f"{target} lies in the output {place}.", hint="Give a target outside of it.")


def _manifest_bytes(source: Store, manifest: Manifest) -> bytes:
    """As they were published. Raises SinkRefused if they are another run's by now."""
    where = layout.shown(source.url, layout.MANIFEST)
    try:
        data = source.read(layout.MANIFEST)
    except FileNotFoundError:
        raise SinkRefused(f"{where} is gone.", hint="Run the job again.") from None
    if (now := parse(data, where)).digest != manifest.digest:
        raise SinkRefused(
            f"{source.url} holds the result of run {now.run_id} by now, not that of run {manifest.run_id}.",
            hint="Nothing is to be done: the later run is copied by itself.",
        )
    return data


def _replaced(store: Store, target: Path | str, manifest: Manifest) -> str:
    """The run whose copy is in the target, "" for none. Raises SinkRefused for one not to be written to."""
    names = _names(target)
    if foreign := [name for name in names if name not in _OURS and layout.writer_of(name) is None]:
        raise _is_foreign(target, foreign)
    if layout.MANIFEST not in names:
        return ""
    found = parse(store.read(layout.MANIFEST), layout.shown(store.url, layout.MANIFEST))
    if found.job != manifest.job:
        raise SinkRefused(f"{target} holds a result of job {found.job}, not of {manifest.job}.", hint=_EMPTY)
    _refuse_later(target, found, manifest)
    return found.run_id


def _names(target: Path | str) -> list[str]:
    try:
        return names_at(target)
    except FileNotFoundError:
        return []


def _is_foreign(target: Path | str, names: list[str]) -> SinkRefused:
    shown = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
    return SinkRefused(f"{target} holds files that are no copy of a result: {shown}.", hint=_EMPTY)


def _refuse_later(target: Path | str, found: Manifest | SetManifest, ours: Manifest | SetManifest) -> None:
    if datetime.fromisoformat(found.started) > datetime.fromisoformat(ours.started):
        raise SinkRefused(
            f"{target} holds the result of run {found.run_id}, which began after run {ours.run_id}.",
            hint="Nothing is to be done, unless it is the older one that you want: empty the target then.",
        )


def _copy_part(source: Store, store: Store, target: Path | str, part: Part) -> None:
    if layout.writer_of(part.name) is None:
        raise SinkRefused(f"The manifest names {part.name!r}, which is no name of a part.")
    problem = check_part(target, part)
    if problem not in ("", "missing"):
        store.delete(part.name)
    if not problem:
        return
    try:
        with store.new_file(part.name) as stream:
            _pour(source, part, stream)
    except StorageError:
        if check_part(target, part):  # else another has copied the same result meanwhile
            raise


def _pour(source: Store, part: Part, stream: BinaryIO) -> None:
    """Copy the bytes of a part. Raises ManifestError if they are not what the manifest says."""
    state = hashlib.sha256()
    changed = ManifestError(
        f"{part.name} has changed, or is gone.", hint=f"Run `mapreduce verify {source.url}`."
    )
    try:
        for start in range(0, part.size, _PIECE):
            data = source.read(part.name, start, min(_PIECE, part.size - start))
            state.update(data)
            stream.write(data)
    except FileNotFoundError:
        raise changed from None
    except StorageError as error:
        if is_short(error):
            raise changed from None
        raise
    if state.hexdigest() != part.digest:
        raise changed


# ---------------------------------------------------------------- a JobSet's


def _copy_set(result: JobSetResult, target: Path | str) -> None:
    _check_apart(result.place, target)
    manifest = result.manifest
    store = open_store(target, manifest.run_id)
    _check_set(store, target, manifest)
    for job in manifest.jobs:
        if _has_result(job):
            _copy(result[job.name], _place_of(target, job))
    jobs = [
        replace(job, place=str(_place_of(target, job))) if _has_result(job) else job for job in manifest.jobs
    ]
    _check_set(store, target, manifest)
    publish(store, seal(replace(manifest, jobs=tuple(jobs)))[1], overwrite=True)


def _has_result(job: SetJob) -> bool:
    return bool(job.place) and job.status in _COMMITTED


def _place_of(target: Path | str, job: SetJob) -> Path | str:
    """Raises SinkRefused for a name, or a link, that would lead elsewhere."""
    if not NAME.match(job.name):
        raise SinkRefused(f"The set's manifest names a job {job.name!r}, which is no name of one.")
    place = layout.copy_of(target, job.name)
    if isinstance(place, Path) and place.is_symlink():
        raise SinkRefused(f"{place} is a link to another place.", hint="Remove it.")
    return place


def _check_set(store: Store, target: Path | str, manifest: SetManifest) -> None:
    """Raise SinkRefused for a target that is not to be written to."""
    names = _names(target)
    known = {job.name for job in manifest.jobs}
    if layout.MANIFEST in names:
        found = parse_set(store.read(layout.MANIFEST), layout.shown(store.url, layout.MANIFEST))
        if found.jobset != manifest.jobset:
            raise SinkRefused(
                f"{target} holds a result of the JobSet {found.jobset}, not of {manifest.jobset}.",
                hint=_EMPTY,
            )
        _refuse_later(target, found, manifest)
        known |= {job.name for job in found.jobs}
    if foreign := [name for name in names if name not in _OURS | known and layout.writer_of(name) is None]:
        raise _is_foreign(target, foreign)

"""The manifest: sealed, written once, read, verified against the files."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from mapreduce.codec import canonical_json, from_plain
from mapreduce.errors import ManifestError, OutputExists, StorageError
from mapreduce.model import FORMAT_VERSION, Manifest, Part, SetManifest
from mapreduce.protocols import Store
from mapreduce.store import layout, open_store
from mapreduce.store.local import is_short, storage_errors

_PACKAGES = ("mapreduce", "polars", "polars-hash", "xxhash", "msgpack", "cloudpickle", "fsspec")


_Kept = Callable[[dict[str, Any]], Any]


@cache
def versions() -> dict[str, str]:
    """What the result's bytes may depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


Sealed = TypeVar("Sealed", Manifest, SetManifest)


def seal(manifest: Sealed) -> tuple[Sealed, bytes]:
    """The manifest with its digest, and the bytes that it is written as."""
    data = memoryview(canonical_json(replace(manifest, digest="")))
    start, stop, _ = _digest_in(data)
    digest = _digest(data[:start], data[stop:])
    return replace(manifest, digest=digest), b"".join([data[:start], digest.encode(), data[stop:]])


def _digest_in(data: memoryview) -> tuple[int, int, str]:
    """Where a manifest's digest stands in its text, and what it is. Raises ValueError if there is none.

    Deeper fields of this name are indented further, and text has no line ends.
    """
    found = _DIGEST.search(data)
    if found is None:
        raise ValueError("there is no digest")
    return (*found.span(1), found[1].decode())


_DIGEST = re.compile(rb'^  "digest": "([0-9a-f]*)",$', re.MULTILINE)
_LINE = len(b'  "digest": "'), len(b'",\n')


def _digest(before: memoryview, after: memoryview) -> str:
    """Of all but the line of the digest, most of which these leave out."""
    state = hashlib.sha256(before[: -_LINE[0]])
    state.update(after[_LINE[1] :])
    return state.hexdigest()


def _is_whole(data: bytes) -> bool:
    """Whether these are the bytes that were digested, and the digest itself is as it was written."""
    view = memoryview(data)
    try:
        start, stop, digest = _digest_in(view)
    except ValueError:
        return False
    return _digest(view[:start], view[stop:]) == digest


def parse(data: bytes, where: object) -> Manifest:
    """A manifest from its bytes. Raises ManifestError if anything about it is wrong."""
    fields = _fields(data, where)
    if "jobs" in fields:
        raise ManifestError(
            f"{where} is the manifest of the JobSet {fields['jobset']}, which has no records of its own.",
            hint="Give the output of one of its jobs.",
        )
    return _built(Manifest, fields, where)


def parse_set(data: bytes, where: object) -> SetManifest:
    """A JobSet's manifest from its bytes. Raises ManifestError if anything about it is wrong."""
    fields = _fields(data, where)
    if "jobs" not in fields:
        raise ManifestError(f"{where} is the manifest of a job, not of a JobSet.")
    return _built(SetManifest, fields, where)


def _built(kind: type[Sealed], fields: dict[str, Any], where: object) -> Sealed:
    try:
        manifest: Sealed = from_plain(kind, fields)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(where, str(error)) from None
    return manifest


def _fields(data: bytes, where: object, kept: _Kept | None = None) -> dict[str, Any]:
    """What a whole manifest of a known version says; `kept` is what is kept of each of its objects."""
    try:
        fields: dict[str, Any] = json.loads(data, object_hook=kept)
        newer = fields["version"] > FORMAT_VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from None
    if newer:
        raise ManifestError(
            f"{where} has format {fields['version']}; this version reads up to {FORMAT_VERSION}.",
            hint="Install a newer mapreduce.",
        )
    if not _is_whole(data):
        raise _damaged(where, "its digest does not fit its content")
    return fields


def _damaged(where: object, why: str) -> ManifestError:
    return ManifestError(f"{where} is damaged: {why}.", hint="Run the job again with --overwrite.")


def load(output: Path | str) -> Manifest:
    """The manifest of a result, by its folder or its URL. Raises ManifestError, StorageError."""
    return parse(_read(output), layout.shown(str(output), layout.MANIFEST))


def load_set(place: Path | str) -> SetManifest:
    """The manifest of a JobSet's run, by its folder or its URL. Raises ManifestError, StorageError."""
    return parse_set(_read(place), layout.shown(str(place), layout.MANIFEST))


def is_there(place: Path | str) -> bool:
    """Whether there is a manifest at a place, whatever it says. Raises StorageError."""
    try:
        _read(place)
    except ManifestError:
        return False
    return True


def is_of_set(place: Path | str) -> bool:
    """Whether a JobSet's manifest lies there, not a job's. Raises ManifestError, StorageError."""
    return "jobs" in _fields(_read(place), layout.shown(str(place), layout.MANIFEST))


def names_of_files(output: Path | str) -> set[str]:
    """The files that an output's manifest names, without all the rest, which may be large.

    Raises ManifestError, StorageError.
    """
    fields = _fields(_read(output), layout.shown(str(output), layout.MANIFEST), _only_names)
    return {*fields["parts"], *fields.get("set_aside", ())}


def _only_names(fields: dict[str, Any]) -> Any:
    """Of the manifest itself all, of a part its name, of an attempt nothing."""
    return fields if "parts" in fields else fields.get("name")


def _read(output: Path | str) -> bytes:
    try:
        if not isinstance(output, Path):
            return open_store(output).read(layout.MANIFEST)
        path = output / layout.MANIFEST
        with storage_errors("read", path):
            return path.read_bytes()
    except FileNotFoundError:
        raise ManifestError(
            f"{output} has no {layout.MANIFEST}: no run has committed a result there.",
            hint="Check the path, or run the job.",
        ) from None


def publish(store: Store, data: bytes, *, overwrite: bool) -> None:
    """Make the result visible, by the bytes of its manifest. May be repeated.

    Raises OutputExists if another result is there.
    """
    if overwrite:
        store.put(layout.MANIFEST, data)
    elif not store.create(layout.MANIFEST, data):
        raise OutputExists(
            f"{store.url} got a result of another run meanwhile.",
            hint="Look at it with `mapreduce show`, or run again with --overwrite.",
        )


@dataclass(frozen=True)
class Finding:
    """Something that `verify` found: the file, and what is wrong with it."""

    name: str
    problem: str


def verify(output: Path | str) -> tuple[Manifest, list[Finding]]:
    """Compare every file of an output with its manifest.

    Raises ManifestError if that is unreadable, and StorageError.
    """
    manifest = load(output)
    files = files_of(manifest)
    findings = [Finding(part.name, problem) for part in files if (problem := check_part(output, part))]
    named = {part.name for part in files} | {layout.MANIFEST, layout.SINKS, layout.PROBES}
    findings += [
        Finding(name, "extra: the manifest does not name it")
        for name in names_at(output)
        if name not in named
    ]
    return manifest, findings


def names_at(output: Path | str) -> list[str]:
    """What lies in a folder or below a URL, sorted: files, and the first part of what is deeper.

    Raises FileNotFoundError for a folder that is not there, OSError, StorageError.
    """
    if isinstance(output, Path):
        return sorted(path.name for path in output.iterdir())
    return sorted({name.partition("/")[0] for name in open_store(output).list()})


def files_of(manifest: Manifest) -> tuple[Part, ...]:
    """The parts and the files of bad records."""
    return (*manifest.parts, *manifest.set_aside)


_PIECE = 16 << 20
"""Bytes of an object that are read at once to be digested."""


def check_part(output: Path | str, part: Part) -> str:
    """What is wrong with a part, compared with what a manifest says of it; "" for nothing.

    Raises StorageError.
    """
    if Path(part.name).name != part.name:
        return "the manifest names a file outside the directory"
    try:
        if isinstance(output, Path):
            with storage_errors("read", part.name), open(output / part.name, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                size = stream.tell()
        else:
            size, digest = _digest_of_object(open_store(output), part)
    except FileNotFoundError:
        return "missing"
    if size != part.size:
        return f"{size:,} bytes where the manifest says {part.size:,}"
    return "" if digest == part.digest else "its bytes have changed (sha256 differs)"


def _digest_of_object(store: Store, part: Part) -> tuple[int, str]:
    """Size and sha256 of what is there. Raises StorageError, FileNotFoundError."""
    state, size = hashlib.sha256(), 0
    for start in range(0, max(part.size, 1), _PIECE):
        is_last = start + _PIECE >= part.size
        try:
            data = store.read(part.name, start, None if is_last else _PIECE)  # the last: all that follows
        except StorageError as error:
            if not is_short(error):
                raise
            data = store.read(part.name, start)
        state.update(data)
        size += len(data)
    return size, state.hexdigest()

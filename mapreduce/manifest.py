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
from typing import Any

from mapreduce.codec import canonical_json, from_plain
from mapreduce.errors import ManifestError, OutputExists
from mapreduce.model import FORMAT_VERSION, Manifest, Part
from mapreduce.protocols import Store
from mapreduce.store import layout
from mapreduce.store.local import storage_errors

_PACKAGES = ("mapreduce", "polars", "polars-hash", "xxhash", "msgpack", "cloudpickle", "fsspec")


_Kept = Callable[[dict[str, Any]], Any]


@cache
def versions() -> dict[str, str]:
    """What the result's bytes may depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def seal(manifest: Manifest) -> tuple[Manifest, bytes]:
    """The manifest with its digest, and the bytes that it is written as."""
    before, _, after = _around_digest(canonical_json(replace(manifest, digest="")))
    digest = _digest(before, after)
    return replace(manifest, digest=digest), before + b'  "digest": "%s",\n' % digest.encode() + after


def _around_digest(data: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the line of the digest, the digest, and what stands after: it is that of the rest.

    Raises ValueError if there is no such line. Deeper ones are indented further, and text has no line ends.
    """
    before, digest, after = _DIGEST.split(data, maxsplit=1)
    return before, digest, after


_DIGEST = re.compile(rb'^  "digest": "([0-9a-f]*)",\n', re.MULTILINE)


def _digest(before: bytes, after: bytes) -> str:
    state = hashlib.sha256(before)
    state.update(after)
    return state.hexdigest()


def _is_whole(data: bytes) -> bool:
    """Whether these are the bytes that were digested, and the digest itself is as it was written."""
    try:
        before, digest, after = _around_digest(data)
    except ValueError:
        return False
    return _digest(before, after).encode() == digest


def parse(data: bytes, where: object) -> Manifest:
    """A manifest from its bytes. Raises ManifestError if anything about it is wrong."""
    fields = _fields(data, where)
    try:
        manifest: Manifest = from_plain(Manifest, fields)
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


def load(directory: Path) -> Manifest:
    """The manifest of an output directory. Raises ManifestError."""
    return parse(_read(directory), directory / layout.MANIFEST)


def names_of_files(directory: Path) -> set[str]:
    """The files that an output's manifest names, without all the rest, which may be large.

    Raises ManifestError.
    """
    fields = _fields(_read(directory), directory / layout.MANIFEST, _only_names)
    return {*fields["parts"], *fields.get("set_aside", ())}


def _only_names(fields: dict[str, Any]) -> Any:
    """Of the manifest itself all, of a part its name, of an attempt nothing."""
    return fields if "parts" in fields else fields.get("name")


def _read(directory: Path) -> bytes:
    path = directory / layout.MANIFEST
    try:
        with storage_errors("read", path):
            return path.read_bytes()
    except FileNotFoundError:
        raise ManifestError(
            f"{directory} has no {layout.MANIFEST}: no run has committed a result there.",
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
            f"{store.root} got a result of another run meanwhile.",
            hint="Look at it with `mapreduce show`, or run again with --overwrite.",
        )


@dataclass(frozen=True)
class Finding:
    """Something that `verify` found: the file, and what is wrong with it."""

    name: str
    problem: str


def verify(directory: Path) -> tuple[Manifest, list[Finding]]:
    """Compare every file of an output with its manifest. Raises ManifestError if that is unreadable."""
    manifest = load(directory)
    files = files_of(manifest)
    findings = [Finding(part.name, problem) for part in files if (problem := check_part(directory, part))]
    named = {part.name for part in files} | {layout.MANIFEST, layout.SINKS}
    findings += [
        Finding(path.name, "extra: the manifest does not name it")
        for path in sorted(directory.iterdir())
        if path.name not in named
    ]
    return manifest, findings


def files_of(manifest: Manifest) -> tuple[Part, ...]:
    """The parts and the files of bad records."""
    return (*manifest.parts, *manifest.set_aside)


def check_part(directory: Path, part: Part) -> str:
    """What is wrong with a part, compared with what a manifest says of it; "" for nothing."""
    if Path(part.name).name != part.name:
        return "the manifest names a file outside the directory"
    try:
        with storage_errors("read", part.name), open(directory / part.name, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except FileNotFoundError:
        return "missing"
    if size != part.size:
        return f"{size:,} bytes where the manifest says {part.size:,}"
    return "" if digest == part.digest else "its bytes have changed (sha256 differs)"

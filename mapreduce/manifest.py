"""The manifest: sealed, written once, read, verified against the files."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mapreduce.codec import canonical_json, from_plain, sha256
from mapreduce.errors import ManifestError, OutputExists
from mapreduce.model import FORMAT_VERSION, Manifest, Part
from mapreduce.protocols import Store
from mapreduce.store import layout
from mapreduce.store.local import storage_errors

_PACKAGES = ("mapreduce", "polars", "polars-hash", "xxhash", "msgpack", "cloudpickle", "fsspec")


@cache
def versions() -> dict[str, str]:
    """What the result's bytes may depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def seal(manifest: Manifest) -> tuple[Manifest, bytes]:
    """The manifest with its digest, and the bytes that it is written as."""
    before, after = _around_digest(canonical_json(replace(manifest, digest="")))
    digest = sha256(before + after)
    return replace(manifest, digest=digest), before + b'  "digest": "%s",\n' % digest.encode() + after


def _around_digest(data: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the line of the digest, which is the digest of just that.

    Raises ValueError if there is no such line. Deeper ones are indented further, and text has no line ends.
    """
    before, after = _DIGEST.split(data, maxsplit=1)
    return before, after


_DIGEST = re.compile(rb'^  "digest": "[0-9a-f]*",\n', re.MULTILINE)


def parse(data: bytes, where: object) -> Manifest:
    """A manifest from its bytes. Raises ManifestError if anything about it is wrong."""
    try:
        fields = json.loads(data)
        newer = fields["version"] > FORMAT_VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from None
    if newer:
        raise ManifestError(
            f"{where} has format {fields['version']}; this version reads up to {FORMAT_VERSION}.",
            hint="Install a newer mapreduce.",
        )
    # Of what was read, not of what is made of it: a manifest may have fewer fields than this version knows.
    if not _is_whole(data, fields):
        raise _damaged(where, "its digest does not fit its content")
    try:
        manifest: Manifest = from_plain(Manifest, fields)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(where, str(error)) from None
    return manifest


def _is_whole(data: bytes, fields: dict[str, Any]) -> bool:
    """Whether these are the bytes that were digested, and the digest itself is as it was written."""
    try:
        before, after = _around_digest(data)
    except ValueError:
        return False
    return sha256(before + after) == fields.get("digest")


def _damaged(where: object, why: str) -> ManifestError:
    return ManifestError(f"{where} is damaged: {why}.", hint="Run the job again with --overwrite.")


def load(directory: Path) -> Manifest:
    """The manifest of an output directory. Raises ManifestError."""
    path = directory / layout.MANIFEST
    try:
        with storage_errors("read", path):
            return parse(path.read_bytes(), path)
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

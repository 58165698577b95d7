"""The files of an input: found, described, opened. Local paths by the os, URLs by fsspec."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

from mapreduce.errors import InputError, InputMissing
from mapreduce.store import layout
from mapreduce.store.opening import CheckedReader, check_unchanged, compression_of, describe, opened
from mapreduce.store.urls import expand_url, hidden, input_error, is_url, refuse_password

__all__ = [
    "CheckedReader",
    "check_unchanged",
    "compression_of",
    "describe",
    "expand",
    "is_url",
    "local_path",
    "opened",
]


def local_path(path: str) -> str:
    """A path without `file://`."""
    return path.removeprefix("file://")


def expand(paths: Iterable[str], profile: str = "") -> list[str]:
    """Files behind paths, globs, directories and URLs: list order, then bytewise.

    Names that begin with `_` or `.` are skipped in directories and by wildcards; a directory
    with a manifest is what its manifest names. Raises InputMissing for a plain path that isn't
    there; a pattern that matches nothing gives nothing. profile: the name of one that opens URLs.
    """
    found: list[str] = []
    for path in map(local_path, paths):
        refuse_password(path)
        matches = expand_url(path, profile) if is_url(path) else _expand_local(path)
        found += sorted(matches, key=os.fsencode)
    return found


def _expand_local(path: str) -> list[str]:
    if os.path.isdir(path):
        return _below(path)
    if os.path.lexists(path):
        return [path]
    if not glob.has_magic(path):
        raise InputMissing(
            f"There is no file {path!r}.", hint=f"It was looked for in {os.getcwd()}. Check the path."
        )
    asked = set(path.split(os.sep))
    matches = [
        match
        for match in glob.glob(path, recursive=True)
        if not any(hidden(part) for part in match.split(os.sep) if part not in asked)
    ]
    if path.endswith("**"):  # it has named every file below already
        files = {match for match in matches if not os.path.isdir(match)}
    else:
        files = {file for match in matches for file in (_below(match) if os.path.isdir(match) else [match])}
    return [file for file in files if _is_visible(file)]


def _is_visible(path: str) -> bool:
    """Whether a file is what it seems: the part of a result counts only if the manifest names it."""
    if layout.writer_of(os.path.basename(path)) is None:
        return True
    directory = os.path.dirname(path)
    manifest = os.path.join(directory, layout.MANIFEST)
    return os.path.exists(manifest) and path in _named_by(manifest, directory)


def _below(directory: str) -> list[str]:
    """All files below a directory, links followed; a directory with a manifest is what that names."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()

    def denied(error: OSError) -> None:
        raise input_error(str(error.filename), error)

    for folder, folders, names in os.walk(directory, onerror=denied, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        manifest = os.path.join(folder, layout.MANIFEST)
        if layout.MANIFEST in names:
            folders.clear()
            found += _named_by(manifest, folder)
            continue
        folders[:] = sorted(name for name in folders if not hidden(name))
        shown = [os.path.join(folder, name) for name in names if not hidden(name)]
        found += filter(_is_visible, shown)
    return found


def _named_by(manifest: str, directory: str) -> list[str]:
    import json

    try:
        with open(manifest, "rb") as stream:
            fields = json.load(stream)
        if "jobs" in fields:
            raise InputError(
                f"{directory} holds the manifest of the JobSet {fields['jobset']}, which has no records.",
                hint="Read the outputs of its jobs.",
            )
        parts = fields["parts"]
        return [os.path.join(directory, os.path.basename(part["name"])) for part in parts]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{manifest} can't be read ({type(error).__name__}: {error}).",
            hint=f"Run `mapreduce verify {directory}`.",
        ) from error

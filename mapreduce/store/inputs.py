"""The files of an input: found, described, opened. Local paths by the os, URLs by fsspec."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from mapreduce.errors import InputChanged, InputDenied, InputError, InputMissing
from mapreduce.model import InputFile
from mapreduce.store import layout

_GZIP = b"\x1f\x8b"


def is_url(path: str) -> bool:
    """Whether a path belongs to fsspec."""
    return "://" in path


def local_path(path: str) -> str:
    """A path without `file://`."""
    return path.removeprefix("file://")


def expand(paths: Iterable[str]) -> list[str]:
    """Files behind paths, globs, directories and URLs: list order, then bytewise.

    Names that begin with `_` or `.` are skipped in directories and by wildcards; a directory
    with a manifest is what its manifest names. Raises InputMissing for a plain path that isn't
    there; a pattern that matches nothing gives nothing.
    """
    found: list[str] = []
    for path in map(local_path, paths):
        _refuse_password(path)
        matches = _expand_url(path) if is_url(path) else _expand_local(path)
        found += sorted(matches, key=os.fsencode)
    return found


def _refuse_password(path: str) -> None:
    if is_url(path) and re.search(r"://[^/@]*:[^/@]*@", path):
        shown = re.sub(r"://[^/@]*@", "://…@", path)
        raise InputError(
            f"{shown} has a password in it, which would stand in the manifest and in logs.",
            hint="Give it by the environment or by fsspec's configuration.",
        )


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
        if not any(_hidden(part) for part in match.split(os.sep) if part not in asked)
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


def _hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def _below(directory: str) -> list[str]:
    """All files below a directory, links followed; a directory with a manifest is what that names."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()

    def denied(error: OSError) -> None:
        raise _input_error(str(error.filename), error)

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
        folders[:] = sorted(name for name in folders if not _hidden(name))
        shown = [os.path.join(folder, name) for name in names if not _hidden(name)]
        found += filter(_is_visible, shown)
    return found


def _named_by(manifest: str, directory: str) -> list[str]:
    import json

    try:
        with open(manifest, "rb") as stream:
            parts = json.load(stream)["parts"]
        return [os.path.join(directory, os.path.basename(part["name"])) for part in parts]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{manifest} can't be read ({type(error).__name__}: {error}).",
            hint=f"Run `mapreduce verify {directory}`.",
        ) from error


# ---------------------------------------------------------------- URLs


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        return cast(
            "tuple[Any, str]", fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        )
    except (ImportError, ValueError) as error:
        raise InputError(f"{url} can't be opened: {error}.", hint="Install what the scheme needs.") from error


def _expand_url(url: str) -> list[str]:
    filesystem, path = _filesystem(url)
    with _url_errors(url):
        if glob.has_magic(path):
            matches = [match for match in filesystem.glob(path) if not filesystem.isdir(match)]
        elif filesystem.isdir(path):
            matches = [match for match in filesystem.find(path) if not _hidden_below(match, path)]
        else:
            return [url]
    _, chain, rest = url.partition("::")
    shown = (match for match in matches if not _hidden(match.rsplit("/", 1)[-1]))
    return [filesystem.unstrip_protocol(match) + chain + rest for match in shown]


def _hidden_below(match: str, top: str) -> bool:
    return any(map(_hidden, match.removeprefix(top).strip("/").split("/")))


@contextmanager
def _url_errors(url: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise _input_error(url, error) from error
    except Exception as error:
        raise InputError(f"{url} can't be read: {type(error).__name__}: {error}.") from error


# ---------------------------------------------------------------- one file


def describe(uri: str) -> InputFile:
    """Size, fingerprint and compression of one file. Raises InputError."""
    if is_url(uri):
        filesystem, path = _filesystem(uri)
        with _url_errors(uri):
            size, fingerprint = _url_identity(filesystem.info(path))
            head = filesystem.cat_file(path, start=0, end=2) if size else b""
        return InputFile(uri, size, fingerprint, _compression(head))
    size, fingerprint = _local_identity(uri)
    try:
        with open(uri, "rb") as stream:
            head = stream.read(2)
    except OSError as error:
        raise _input_error(uri, error) from error
    return InputFile(uri, size, fingerprint, _compression(head))


def _compression(head: bytes) -> str:
    return "gzip" if head == _GZIP else ""


def _local_identity(path: str) -> tuple[int, str]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise _input_error(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file.", hint="Pipes, devices and sockets can't be split.")
    return status.st_size, f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _url_identity(info: dict[str, Any]) -> tuple[int, str]:
    names = ("ETag", "etag", "e_tag", "mtime", "LastModified", "last_modified", "updated", "created")
    marks = [str(info[name]) for name in names if info.get(name)]
    size = info.get("size")
    if size is None:
        raise InputError(
            f"{info.get('name')} has no known size.", hint="Copy it to a store that tells sizes."
        )
    return int(size), ":".join([str(size), *marks[:1]])


def _input_error(path: str, error: OSError) -> InputError:
    if isinstance(error, PermissionError):
        return InputDenied(f"{path} may not be read: permission denied.", hint="Change its permissions.")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return InputMissing(f"There is no file {path!r}.", hint="Check the path.")
    return InputError(f"{path} can't be read: {error.strerror or error}.")


def check_unchanged(file: InputFile) -> None:
    """Raise InputChanged if the file is not the one that was planned."""
    try:
        if is_url(file.uri):
            filesystem, path = _filesystem(file.uri)
            with _url_errors(file.uri):
                _, now = _url_identity(filesystem.info(path))
        else:
            _, now = _local_identity(file.uri)
    except InputMissing:
        raise InputChanged(
            f"{file.uri} went away while the job ran.", hint="Put it back, or run again without it."
        ) from None
    if now != file.fingerprint:
        raise InputChanged(
            f"{file.uri} changed while the job ran.", hint="Run again when nothing writes to it."
        )


@contextmanager
def opened(file: InputFile) -> Iterator[BinaryIO]:
    """The file's stored bytes as a seekable stream; it must be the planned file before and after.

    An InputError or OSError in the block becomes InputChanged if the file is another one by then.
    """
    check_unchanged(file)
    try:
        with _stream(file.uri) as stream:
            yield stream
    except (OSError, InputError) as error:
        check_unchanged(file)
        if isinstance(error, OSError):
            raise _input_error(file.uri, error) from error
        raise
    check_unchanged(file)


@contextmanager
def _stream(uri: str) -> Iterator[BinaryIO]:
    if is_url(uri):
        filesystem, path = _filesystem(uri)
        with filesystem.open(path, "rb") as stream:
            yield stream
    else:
        with open(uri, "rb") as stream:
            yield stream

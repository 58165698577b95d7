"""A directory as a store: temporary file, sync, link.

A name appears with all its bytes or not at all, also after a power failure: the file is synced
before it is linked under its name, and the directory after it. `os.link` fails if the name
exists, which makes `create` exclusive on every POSIX file system.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mapreduce.errors import StorageError
from mapreduce.forks import end_in_child
from mapreduce.store import layout

_HINTS = {
    errno.ENOSPC: "Free some space, or give another place.",
    errno.EDQUOT: "The quota is used up: free some space, or give another place.",
    errno.EROFS: "The file system is mounted read-only: give another place.",
    errno.EACCES: "You may not write there: change the permissions, or give another place.",
    errno.EPERM: "You may not write there: change the permissions, or give another place.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.ENOTDIR: "A part of the path is a file: give another place.",
}


def storage_error(action: str, path: object, error: OSError) -> StorageError:
    """The typed error for an operating system's one."""
    reason = error.strerror or str(error)
    return StorageError(
        f"Can't {action} {path}: {reason}.",
        hint=_HINTS.get(error.errno or 0, ""),
        place=f"{action}:{error.errno}",
    )


@contextmanager
def storage_errors(action: str, path: object) -> Iterator[None]:
    """Turn OSError into StorageError; FileNotFoundError passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(action, path, error) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalStore:
    """A `Store` in a local directory.

    Unfinished files lie beside their targets; their names tell the writer, a run's id, so that
    those of a run that was killed can be recognised.
    """

    def __init__(self, root: Path, writer: str = "somebody-00000000") -> None:
        self.root = root
        self._writer = writer
        self._process = os.getpid()

    def path(self, name: str) -> Path:
        """The file of a name. Raises StorageError for a name that leaves the root."""
        target = self.root / name
        if ".." in Path(name).parts or Path(name).is_absolute() or "\0" in name:
            raise StorageError(f"{name!r} is not a name in {self.root}.")
        return target

    def put(self, name: str, data: bytes) -> None:
        """Write an object whole, durably; replaces one that is there."""
        with self.new_file(name, replace=True) as stream:
            stream.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write unless the name exists; True if the object holds `data` afterwards."""
        try:
            with self.new_file(name) as stream:
                stream.write(data)
        except StorageError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            return self.read(name) == data
        return True

    @contextmanager
    def new_file(self, name: str, *, replace: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
        """A stream whose bytes appear under `name` when the block ends well.

        An existing name raises StorageError with FileExistsError as its cause, unless `replace`.
        Without `durable` a power failure may lose it; a crash of the process never does.
        """
        end_in_child(self._process)
        target = self.path(name)
        temporary = target.with_name(layout.unfinished_name(target.name, self._writer, secrets.token_hex(4)))
        try:
            with storage_errors("write", target):
                target.parent.mkdir(parents=True, exist_ok=True)
                stream = open(temporary, "xb")  # noqa: SIM115 - closed below, before the link
            with stream:
                try:
                    yield stream
                finally:
                    end_in_child(self._process)
                with storage_errors("write", target):
                    stream.flush()
                    if durable:
                        os.fsync(stream.fileno())
            with storage_errors("write", target):
                (os.replace if replace else os.link)(temporary, target)
                if durable:
                    sync_directory(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """The bytes of an object, or `length` of them from `start`."""
        with storage_errors("read", self.path(name)), open(self.path(name), "rb") as stream:
            stream.seek(start)
            data = stream.read() if length is None else stream.read(length)
        if length is not None and len(data) != length:
            raise StorageError(
                f"{self.path(name)} ends at byte {start + len(data):,}, before {start + length:,}."
            )
        return data

    def list(self, prefix: str = "") -> list[str]:
        """Names below a directory, sorted; none if it isn't there."""
        top = self.path(prefix)
        found = []
        for directory, _, names in os.walk(top):
            found += [str((Path(directory) / name).relative_to(self.root)) for name in names]
        return sorted(found)

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        with storage_errors("delete", self.path(name)), suppress(FileNotFoundError):
            self.path(name).unlink()

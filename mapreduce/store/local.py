"""A directory as a store: temporary file, sync, link.

A name appears with all its bytes or not at all, also after a power failure: the file is synced
before it is linked under its name, and the directory after it. `os.link` fails if the name
exists, which makes `create` exclusive on every POSIX file system.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from mapreduce.errors import StorageError
from mapreduce.forks import end_in_child
from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.mounts import folder_age
from mapreduce.store.names import checked_directory, checked_name

_HINTS = {
    errno.ENOSPC: "Free some space, or give another place (--output, --work).",
    errno.EDQUOT: "The quota is used up: free some space, or give another place (--output, --work).",
    errno.EROFS: "The file system is mounted read-only: give another place (--output, --work).",
    errno.EACCES: "You may not write there: change permissions, or give another place (--output, --work).",
    errno.EPERM: "You may not write there: change permissions, or give another place (--output, --work).",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.ENOTDIR: "A part of the path is a file: give another place.",
}
_SHORT = "read:short"


def storage_error(action: str, path: object, error: OSError) -> StorageError:
    """The typed error for an operating system's one."""
    reason = error.strerror or str(error)
    return StorageError(
        f"Can't {action} {path}: {reason}.",
        hint=_HINTS.get(error.errno or 0, ""),
        place=f"{action}:{error.errno}",
    )


@contextmanager
def storage_errors(action: str, path: object, *, missing: bool = True) -> Iterator[None]:
    """Turn OSError into StorageError; FileNotFoundError passes, unless `missing` is False."""
    try:
        yield
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError):
            raise
        raise storage_error(action, path, error) from error


def short_read(path: object, start: int, length: int, got: int) -> StorageError:
    """The typed error for a range of which only the first `got` bytes came."""
    return StorageError(f"{path} ends at byte {start + got:,}, before {start + length:,}.", place=_SHORT)


def is_short(error: StorageError) -> bool:
    """Whether a read gave fewer bytes than were asked for."""
    return error.place == _SHORT


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path, mode: int = 0o777) -> list[Path]:
    """Make a directory and those above it, with durable names. Gives those that were not there."""
    made = list(takewhile(lambda above: not above.exists(), (directory, *directory.parents)))
    directory.mkdir(mode, parents=True, exist_ok=True)
    for path in made:
        sync_directory(path.parent)
    return made


def unfinished_files(folder: Path) -> list[Path]:
    """What writers that were killed, or that are at it now, have not given its name, anywhere below a folder.

    Raises StorageError.
    """
    found = []
    with storage_errors("list", folder):
        for directory, _, names in os.walk(folder, onerror=_unless_gone):
            found += [Path(directory) / name for name in names if layout.is_unfinished(name)]
    return found


def remove_empty(folder: Path) -> None:
    """Remove the empty directories below a folder, and itself if it is left empty."""
    for directory, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # it holds something
            os.rmdir(directory)


class LocalStore:
    """A `Store` in a local directory.

    Unfinished files lie beside their targets; their names tell the writer, a run's id, so that
    those of a run that was killed can be recognised. They are no objects: `list` leaves them out.
    """

    def __init__(self, root: Path, writer: str = "somebody-00000000") -> None:
        self.root = root
        self._writer = writer
        self._named: set[Path] = set()
        """Directories whose names this store has made durable."""
        self._process = os.getpid()

    @property
    def url(self) -> str:
        return str(self.root)

    @cached_property
    def capabilities(self) -> Capabilities:
        age = folder_age(self.root)
        return Capabilities("folder", listed_after=age, missing_for=age)

    def path(self, name: str) -> Path:
        """The file of a name. Raises StorageError for what is not one."""
        return self.root / checked_name(name, self.url)

    def put(self, name: str, data: bytes) -> None:
        """Write an object whole, durably; replaces one that is there."""
        with self._writing(name, replace=True) as stream:
            stream.write(data)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Write unless the name exists; True if the object holds `data` afterwards."""
        try:
            with self.new_file(name, durable=durable) as stream:
                stream.write(data)
        except StorageError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            return self._holds(name, data)
        return True

    def _holds(self, name: str, data: bytes) -> bool:
        """Whether an object has these bytes. It is durable then: its writer may not have come so far."""
        try:
            same = self.read(name) == data
        except FileNotFoundError:
            return False
        if same:
            with storage_errors("write", self.path(name), missing=False):
                sync_directory(self.path(name).parent)
        return same

    def new_file(self, name: str, *, durable: bool = True) -> AbstractContextManager[BinaryIO]:
        """A stream whose bytes appear under `name` when the block ends well.

        An existing name raises StorageError with FileExistsError as its cause. An OSError in the block
        counts as one of the stream. Without `durable` a power failure may lose or tear the object; a
        crash of the process never does.
        """
        return self._writing(name, durable=durable)

    @contextmanager
    def _writing(self, name: str, *, replace: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
        end_in_child(self._process)
        target = self.path(name)
        temporary = target.with_name(layout.unfinished_name(target.name, self._writer, secrets.token_hex(4)))
        try:
            with storage_errors("write", target, missing=False):
                self._named.update(make_directory(target.parent))
                if durable:
                    self._sync_way_to(target.parent)
                with _unfinished(temporary) as stream:
                    try:
                        yield stream
                    finally:
                        end_in_child(self._process)
                    stream.flush()
                    if durable:
                        os.fsync(stream.fileno())
                (os.replace if replace else os.link)(temporary, target)
                if durable:
                    sync_directory(target.parent)
        finally:
            with suppress(OSError):  # what can't be removed is told apart by its name, and goes with the run
                temporary.unlink(missing_ok=True)

    def _sync_way_to(self, directory: Path) -> None:
        """Make the names of a directory and of those above it up to the root durable, once.

        Another process may have made them a moment ago, and may not have come so far.
        """
        way = takewhile(lambda above: above != self.root, (directory, *directory.parents))
        for path in set(way) - self._named:
            sync_directory(path.parent)
            self._named.add(path)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """The bytes of an object, or `length` of them from `start`."""
        with storage_errors("read", self.path(name)), open(self.path(name), "rb") as stream:
            stream.seek(start)
            data = stream.read() if length is None else stream.read(length)
        if length is not None and len(data) != length:
            raise short_read(self.path(name), start, length, len(data))
        return data

    def list(self, prefix: str = "") -> list[str]:
        """Names below a directory, sorted; none if it isn't there."""
        top = self.root / checked_directory(prefix, self.url)
        found = []
        with storage_errors("list", top):
            for directory, _, names in os.walk(top, onerror=_unless_gone):
                below = os.path.relpath(directory, self.root)
                before = "" if below == os.curdir else f"{below}/"
                found += [before + name for name in names if not layout.is_unfinished(name)]
        return sorted(found)

    def delete(self, name: str) -> None:
        """Remove an object if it is there. A power failure may bring it back."""
        with storage_errors("delete", self.path(name)), suppress(FileNotFoundError):
            self.path(name).unlink()


@contextmanager
def _unfinished(path: Path) -> Iterator[io.BufferedWriter]:
    """A new file. What is still in the buffer at the end belongs to a write that failed: it is dropped."""
    stream = open(path, "xb")  # noqa: SIM115 - closing it would write the buffer, and fail once more
    try:
        yield stream
    finally:
        stream.raw.close()


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error

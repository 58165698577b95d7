"""One file of an input: described when it is planned, and the same one whenever it is opened."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Any, BinaryIO, cast

from mapreduce.errors import InputChanged, InputError, InputMissing, JobError
from mapreduce.model import InputFile
from mapreduce.store.profiles import load_profile
from mapreduce.store.urls import input_error, is_url, open_url, url_head, url_info

_HEAD = 10
_BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
"""What follows `BZh1` to `BZh9`: a block, or the end. Text may begin with the four letters alone."""

_EDGE = 4096
"""Bytes at both ends of a growing file that its fingerprint looks at."""


def describe(uri: str, profile: str = "", growing: bool = False) -> InputFile:
    """Size, fingerprint and compression of one file. Raises InputError.

    growing: the file is a local one that others append to: its bytes as of now are the input.
    """
    if is_url(uri):
        if growing:
            raise JobError(
                f'{uri} can\'t be read with growing="snapshot": only local files can.',
                hint="Leave growing out, or copy the file.",
            )
        size, fingerprint = url_info(uri, profile)
        head = url_head(uri, profile, _HEAD) if size else b""
        return InputFile(uri, size, fingerprint, compression_of(head), profile)
    size, fingerprint = _local_identity(uri)
    if growing:
        fingerprint = _grown_identity(uri, size)
    try:
        with open(uri, "rb") as stream:
            head = stream.read(min(_HEAD, size))
    except OSError as error:
        raise input_error(uri, error) from error
    return InputFile(uri, size, fingerprint, compression_of(head), profile, growing)


def compression_of(head: bytes) -> str:
    """What the first bytes of a file say: "", "gzip", "bzip2", "xz" or "zstd"."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return "zstd"
    return "bzip2" if _is_bzip2(head) else ""


def _is_bzip2(head: bytes) -> bool:
    if head[:3] != b"BZh" or head[3:4] not in b"123456789" or len(head) < 5:
        return False
    return any(block.startswith(head[4:10]) for block in _BZIP2_BLOCKS)


def _local_identity(path: str) -> tuple[int, str]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise input_error(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file.", hint="Pipes, devices and sockets can't be split.")
    return status.st_size, f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _grown_identity(path: str, size: int) -> str:
    """Of the first `size` bytes of a file, whatever follows them: inode, and a digest of both ends."""
    try:
        with open(path, "rb") as stream:
            status = os.fstat(stream.fileno())
            digest = hashlib.sha256(stream.read(min(_EDGE, size)))
            stream.seek(max(size - _EDGE, 0))
            digest.update(stream.read(min(_EDGE, size)))
    except OSError as error:
        raise input_error(path, error) from error
    reached = min(status.st_size, size)
    return f"{reached}:{status.st_dev}:{status.st_ino}:{digest.hexdigest()[:32]}"


def check_unchanged(file: InputFile) -> None:
    """Raise InputChanged if the file is not the one that was planned."""
    try:
        now = _fingerprint(file)
    except InputMissing:
        raise InputChanged(
            f"{file.uri} went away while the job ran.", hint="Put it back, or run again without it."
        ) from None
    if now != file.fingerprint:
        raise InputChanged(
            f"{file.uri} changed while the job ran.", hint="Run again when nothing writes to it."
        )


def _fingerprint(file: InputFile) -> str:
    if is_url(file.uri):
        return url_info(file.uri, file.profile)[1]
    if file.growing:
        return _grown_identity(file.uri, file.size)
    return _local_identity(file.uri)[1]


@contextmanager
def opened(file: InputFile) -> Iterator[BinaryIO]:
    """The file's stored bytes as a seekable stream; it must be the planned file before and after.

    An InputError or OSError in the block becomes InputChanged if the file is another one by then.
    """
    check_unchanged(file)
    try:
        stream, owner = _stream(file)
        with closing(stream):
            yield stream
        del owner
    except (OSError, InputError) as error:
        check_unchanged(file)
        if isinstance(error, OSError):
            profile = load_profile(file.profile)
            raise input_error(file.uri, error, profile) from (None if profile else error)
        raise
    check_unchanged(file)


def _stream(file: InputFile) -> tuple[BinaryIO, object]:
    if is_url(file.uri):
        return open_url(file.uri, file.profile)
    stream: BinaryIO = open(file.uri, "rb")  # noqa: SIM115 - `opened` closes it
    return (cast(BinaryIO, _Beginning(stream, file.size)) if file.growing else stream), None


class _Beginning:
    """The first bytes of a local file, as if there were no more."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, none of them behind the end."""
        left = max(self._size - self._stream.tell(), 0)
        return self._stream.read(left if size < 0 else min(size, left))


class CheckedReader(io.BufferedReader):
    """A file's stored bytes, to read and to close; raises InputChanged as `opened` does."""

    def __init__(self, file: InputFile) -> None:
        check_unchanged(file)
        raw, self._owner = (
            open_url(file.uri, file.profile) if is_url(file.uri) else (io.FileIO(file.uri), None)
        )
        super().__init__(cast(Any, raw))
        self._file = file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None or isinstance(error, OSError):
            check_unchanged(self._file)

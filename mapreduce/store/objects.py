"""A bucket as a store: whole objects by single requests, and a condition that lets one writer win.

An answer may get lost when the request was done, and a retry somewhere on the way then hears that the name
is taken: by itself. So an answer that is not a plain yes is settled by what the bucket holds.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Protocol, cast

from mapreduce.errors import StorageError
from mapreduce.forks import end_in_child
from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.local import short_read, storage_errors
from mapreduce.store.names import checked_directory, checked_name
from mapreduce.store.patience import Patience, may_pass

PART_SIZE = 16 << 20
"""Bytes of one part of an object that is too large for a single put; held in memory one at a time."""
MOST_PARTS = 10_000
"""Parts that an S3 upload may have."""


class Bucket(Protocol):
    """The requests that a bucket takes. Each method sends one, once.

    Raises StorageError without any secret in it, whose cause is an OSError that tells whether another try may
    do (`may_pass`): a name that is taken is FileExistsError, a missing object FileNotFoundError by itself.
    """

    def get(self, key: str, start: int, end: int | None) -> bytes:
        """The bytes from `start` up to `end` or the object's own; b"" if it ends before."""

    def put(self, key: str, body: bytes | BinaryIO, *, exclusive: bool, token: str = "") -> None:
        """Store an object, and a token beside it; `exclusive` only if there is none."""

    def token(self, key: str) -> str:
        """The token that an object was stored with; "" for none."""

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        """Some keys that begin with `prefix`, and the `after` of those that follow, "" at the end."""

    def begin(self, key: str, token: str) -> str:
        """Begin an upload in parts, which is no object yet: its name."""

    def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """Send a part, numbered from 1: its tag."""

    def complete(self, key: str, upload: str, tags: list[str], *, exclusive: bool) -> None:
        """Make an object of the parts; `exclusive` only if there is none."""

    def abandon(self, key: str, upload: str) -> None:
        """Drop an upload and its parts."""


class ObjectStore:
    """A `Store` below a prefix of a bucket. May be shared by threads.

    A new file is collected in a temporary file on this host, and sent when its block has ended well. So what
    raises leaves nothing behind, and sending it can be tried again, with `patience`; all else is tried once.
    """

    def __init__(
        self,
        bucket: Bucket,
        url: str,
        prefix: str,
        capabilities: Capabilities,
        *,
        patience: Patience | None = None,
        part_size: int = PART_SIZE,
    ) -> None:
        """url: as messages give it. prefix: "" or a part of keys that ends with "/"."""
        self.url = url
        self.capabilities = capabilities
        self._bucket = bucket
        self._prefix = prefix
        self._patience = patience or Patience()
        self._part_size = part_size
        self._obeys_in_parts: bool | None = None

    def put(self, name: str, data: bytes) -> None:
        self._bucket.put(self._key(name), data, exclusive=False)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        key = self._key(name)
        try:
            self._bucket.put(key, data, exclusive=True)
        except StorageError as error:
            return self._is_ours(key, error, lambda: self._bucket.get(key, 0, None) == data)
        return True

    def _is_ours(self, key: str, error: StorageError, seen: Callable[[], bool]) -> bool:
        """Whether an object is ours by what is `seen`, after an answer that was no yes.

        Raises if that stays unknown, and if another try may tell.
        """
        if not _is_unsure(error):
            raise error
        try:
            return seen()
        except FileNotFoundError:
            if _is_taken(error):
                error = _gone(self._shown(key))
        except StorageError as unread:
            if _is_taken(error):
                error = unread
        raise error

    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        key = self._key(name)
        with self._collected(key) as stream:
            yield cast(BinaryIO, stream)
            size = stream.seek(0, io.SEEK_END)
            largest = self.capabilities.largest_put
            if largest is None or size <= largest:
                self._send(key, cast(BinaryIO, stream))
            else:
                self._send_in_parts(key, cast(BinaryIO, stream), size)

    @contextmanager
    def _collected(self, key: str) -> Iterator[io.BufferedRandom]:
        """A file without a name. What a block did not write out is dropped with it."""
        process = os.getpid()
        where = f"{tempfile.gettempdir()}, where the bytes of {self._shown(key)} are collected"
        with storage_errors("write to", where, missing=False):
            # Closing it would write its buffer, and fail once more on a full disk.
            stream = tempfile.TemporaryFile()  # noqa: SIM115
            try:
                yield stream
            finally:
                end_in_child(process)
                stream.raw.close()

    def _send(self, key: str, stream: BinaryIO) -> None:
        token = secrets.token_hex(16)

        def send() -> None:
            stream.seek(0)
            with self._settling(key, token):
                self._bucket.put(key, stream, exclusive=True, token=token)

        self._patience.repeat(send)

    @contextmanager
    def _settling(self, key: str, token: str) -> Iterator[None]:
        """An answer that is no yes is no error if the object is the one with the token."""
        try:
            yield
        except StorageError as error:
            if not self._is_ours(key, error, lambda: self._bucket.token(key) == token):
                raise

    def _send_in_parts(self, key: str, stream: BinaryIO, size: int) -> None:
        if not self._obeys_in_parts_too():
            raise StorageError(
                f"{self._shown(key)} has {size:,} bytes, more than one put may have, and the store ignores "
                "conditions where an object is sent in parts.",
                hint="Make it smaller: a smaller `split_size`, more `shards`.",
            )
        token = secrets.token_hex(16)
        upload = self._patience.repeat(lambda: self._bucket.begin(key, token))
        try:
            tags = self._send_parts(key, upload, stream, size)

            def complete() -> None:
                with self._settling(key, token):
                    self._bucket.complete(key, upload, tags, exclusive=True)

            self._patience.repeat(complete)
        except BaseException:
            self._abandon(key, upload)
            raise

    def _abandon(self, key: str, upload: str) -> None:
        with suppress(StorageError):  # the error at hand says more
            self._bucket.abandon(key, upload)

    def _send_parts(self, key: str, upload: str, stream: BinaryIO, size: int) -> list[str]:
        part_size = max(self._part_size, -(-size // MOST_PARTS))
        tags: list[str] = []
        stream.seek(0)
        while data := stream.read(part_size):
            tags.append(self._patience.repeat(_sending(self._bucket, key, upload, len(tags) + 1, data)))
        return tags

    def _obeys_in_parts_too(self) -> bool:
        """Whether a name that is taken stays as it is when an upload is completed under it; asked once."""
        if self._obeys_in_parts is None:
            self._obeys_in_parts = self._patience.repeat(self._try_in_parts)
        return self._obeys_in_parts

    def _try_in_parts(self) -> bool:
        key = self._key(layout.probe_name(secrets.token_hex(8)))
        try:
            self._bucket.put(key, b"first", exclusive=True)
            upload = self._bucket.begin(key, "")
            tag = self._bucket.part(key, upload, 1, b"second")
            try:
                self._bucket.complete(key, upload, [tag], exclusive=True)
            except StorageError as error:
                self._abandon(key, upload)
                if not _is_taken(error):
                    raise
            return self._bucket.get(key, 0, None) == b"first"
        finally:
            with suppress(StorageError):
                self._bucket.delete(key)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        key = self._key(name)
        if length is None:
            return self._bucket.get(key, start, None)
        # An empty range can't be asked for; one byte tells whether the object is there.
        data = self._bucket.get(key, start, start + max(length, 1))
        if not length:
            return b""
        if len(data) != length:
            raise short_read(self._shown(key), start, length, len(data))
        return data

    def list(self, prefix: str = "") -> list[str]:
        directory = checked_directory(prefix, self.url)
        below = self._prefix + (f"{directory}/" if directory else "")
        keys: list[str] = []
        after = ""
        while True:
            page, after = self._bucket.page(below, after)
            keys += page
            if not after:
                break
        # Some tools mark a folder by an empty object whose name ends with "/".
        return sorted(key[len(self._prefix) :] for key in keys if not key.endswith("/"))

    def delete(self, name: str) -> None:
        self._bucket.delete(self._key(name))

    def _key(self, name: str) -> str:
        key = self._prefix + checked_name(name, self.url)
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            raise StorageError(f"{name!r} is not a name in {self.url}.", hint="It is no text.") from None
        if size > 1024:
            raise StorageError(
                f"A name of {size:,} bytes is too long for {self.url}, which takes 1,024 with its prefix."
            ) from OSError(errno.ENAMETOOLONG, "File name too long")
        return key

    def _shown(self, key: str) -> str:
        return layout.shown(self.url, key[len(self._prefix) :])


def _sending(bucket: Bucket, key: str, upload: str, number: int, data: bytes) -> Callable[[], str]:
    return lambda: bucket.part(key, upload, number, data)


def _is_taken(error: StorageError) -> bool:
    return isinstance(error.__cause__, FileExistsError)


def _is_unsure(error: StorageError) -> bool:
    """Whether the object may be there, and be ours: an upload that is gone was completed, or dropped."""
    return may_pass(error) or isinstance(error.__cause__, (FileExistsError, FileNotFoundError))


def _gone(where: str) -> StorageError:
    """Another's object that was in the way, and is not there any more: the next try may win."""
    error = StorageError(f"Can't write {where}: the name was taken, and is free again.", place="write:gone")
    error.__cause__ = OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    return error

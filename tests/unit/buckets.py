"""A bucket in memory that fails as it is told, to see what a store makes of its answers."""

from __future__ import annotations

import errno
import os
from collections import Counter
from threading import Lock
from typing import BinaryIO

from mapreduce.errors import StorageError
from mapreduce.protocols import Capabilities
from mapreduce.store.objects import ObjectStore
from mapreduce.store.patience import Patience

PAGE = 100
"""Keys of one page."""


def failure(number: int) -> StorageError:
    error = StorageError(f"Can't: {os.strerror(number)}.")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


class MemoryBucket:
    """`faults` has, by request, what befalls each: an error before it, one after it as ("after", …), None."""

    def __init__(self, *, obeys: bool = True, obeys_in_parts: bool = True) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.requests: Counter[str] = Counter()
        self.faults: dict[str, list[StorageError | tuple[str, StorageError] | None]] = {}
        self._obeys, self._obeys_in_parts = obeys, obeys_in_parts
        self._lock = Lock()

    def _ask(self, request: str) -> StorageError | None:
        self.requests[request] += 1
        fault = self.faults[request].pop(0) if self.faults.get(request) else None
        if isinstance(fault, StorageError):
            raise fault
        return fault[1] if fault else None

    def get(self, key: str, start: int, end: int | None) -> bytes:
        if end is not None and end <= start:
            raise ValueError("HTTP has no empty range")
        after = self._ask("get")
        if key not in self.objects:
            raise FileNotFoundError(errno.ENOENT, "none", key)
        if after:
            raise after
        return self.objects[key][0][start:end]

    def put(self, key: str, body: bytes | BinaryIO, *, exclusive: bool, token: str = "") -> None:
        after = self._ask("put")
        data = body if isinstance(body, bytes) else body.read()
        self._store(key, data, token, exclusive and self._obeys)
        if after:
            raise after

    def _store(self, key: str, data: bytes, token: str, exclusive: bool) -> None:
        with self._lock:
            if exclusive and key in self.objects:
                raise failure(errno.EEXIST)
            self.objects[key] = (bytes(data), token)

    def token(self, key: str) -> str:
        self._ask("token")
        if key not in self.objects:
            raise FileNotFoundError(errno.ENOENT, "none", key)
        return self.objects[key][1]

    def delete(self, key: str) -> None:
        after = self._ask("delete")
        self.objects.pop(key, None)
        if after:
            raise after

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        self._ask("page")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        return keys[:PAGE], keys[PAGE - 1] if len(keys) > PAGE else ""

    def begin(self, key: str, token: str) -> str:
        self._ask("begin")
        upload = f"upload-{len(self.uploads)}-{token}"
        self.uploads[upload] = (token, {})
        return upload

    def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        self._ask("part")
        self.uploads[upload][1][number] = body
        return f"tag-{number}"

    def complete(self, key: str, upload: str, tags: list[str], *, exclusive: bool) -> None:
        after = self._ask("complete")
        if upload not in self.uploads:
            raise failure(errno.ENOENT)
        token, parts = self.uploads[upload]
        data = b"".join(parts[number] for number in range(1, len(tags) + 1))
        self._store(key, data, token, exclusive and self._obeys_in_parts)
        del self.uploads[upload]
        if after:
            raise after

    def abandon(self, key: str, upload: str) -> None:
        self._ask("abandon")
        self.uploads.pop(upload, None)


def store_on(
    bucket: MemoryBucket, largest_put: int | None = None, part_size: int = 1_000, attempts: int = 3
) -> ObjectStore:
    """A store below `below/`, without pauses."""
    capabilities = Capabilities("S3", wait_by="read", largest_put=largest_put, paid=True)
    patience = Patience(attempts, sleep=lambda _: None)
    return ObjectStore(
        bucket, "s3://bucket/below", "below/", capabilities, patience=patience, part_size=part_size
    )

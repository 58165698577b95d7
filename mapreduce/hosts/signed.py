"""A run's store in which control records bear the cluster's signature: whose is wrong holds nothing.

Orders, reports, the log, what reduces read, plans and the commit are signed together with their names, so
none can be put in another's place. Map data and parts are not: signed records name them by digest.
"""

from __future__ import annotations

import hmac
from contextlib import AbstractContextManager
from typing import BinaryIO

from mapreduce.protocols import Capabilities, Store
from mapreduce.store import layout

_SIZE = 32
_UNSIGNED = (f"{layout.DATA}/", layout.SPEC, layout.CODE)
"""Map data; and what is signed, or named by digest, in another way."""


class SignedStore:
    """A `Store`. What was written without the key, changed, or moved reads as empty bytes."""

    def __init__(self, inner: Store, key: bytes, run_id: str) -> None:
        self._inner, self._key, self._run_id = inner, key, run_id

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def put(self, name: str, data: bytes) -> None:
        self._inner.put(name, self._signed(name, data))

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        return self._inner.create(name, self._signed(name, data), durable=durable)

    def new_file(self, name: str, *, durable: bool = True) -> AbstractContextManager[BinaryIO]:
        """For map data alone, which is not signed."""
        return self._inner.new_file(name, durable=durable)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        if name.startswith(_UNSIGNED):
            return self._inner.read(name, start, length)
        stored = self._inner.read(name)
        data, found = stored[:-_SIZE], stored[-_SIZE:]
        if not hmac.compare_digest(self._mac(name, data), found):
            return b""
        return data[start:] if length is None else data[start : start + length]

    def list(self, prefix: str = "") -> list[str]:
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        self._inner.delete(name)

    def _signed(self, name: str, data: bytes) -> bytes:
        return data if name.startswith(_UNSIGNED) else data + self._mac(name, data)

    def _mac(self, name: str, data: bytes) -> bytes:
        """HMAC-SHA256 of the run, the name and the bytes."""
        what = f"mapreduce record\0{self._run_id}\0{name}\0".encode()
        return hmac.digest(self._key, what + data, "sha256")

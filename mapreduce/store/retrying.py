"""A store that tries again what may pass.

A network file system that is away for a moment, a bucket that asks to slow down, a read that came short: the
next try may do. A full disk, a missing permission, a name that exists: it won't, so they pass at once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO

from mapreduce.protocols import Capabilities, Store
from mapreduce.store.patience import Patience


class RetryingStore:
    """A `Store` whose operations are tried again with `patience`, but for `new_file`.

    What was written to a stream is gone, so whoever writes a new file begins the attempt afresh. A `create`
    that was done though its answer was lost is repeated too: `inner` finds its own bytes, and says True.
    """

    def __init__(self, inner: Store, patience: Patience | None = None) -> None:
        self._inner = inner
        self._patience = patience or Patience()

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def put(self, name: str, data: bytes) -> None:
        self._patience.repeat(lambda: self._inner.put(name, data))

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        return self._patience.repeat(lambda: self._inner.create(name, data, durable=durable))

    def new_file(self, name: str, *, durable: bool = True) -> AbstractContextManager[BinaryIO]:
        return self._inner.new_file(name, durable=durable)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return self._patience.repeat(lambda: self._inner.read(name, start, length))

    def list(self, prefix: str = "") -> list[str]:
        return self._patience.repeat(lambda: self._inner.list(prefix))

    def delete(self, name: str) -> None:
        self._patience.repeat(lambda: self._inner.delete(name))

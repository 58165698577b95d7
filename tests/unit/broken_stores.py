"""Stores that each make one mistake, to see that the suite finds it."""

from __future__ import annotations

import io
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

import pytest

from mapreduce.errors import StorageError
from mapreduce.testing import MemoryStore, StoreSuite

A_MOMENT = 0.002
"""Seconds that others have between the two halves of what should be one step."""


class LooksThenWrites(MemoryStore):
    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        if name in self.list():
            return self.read(name) == data
        time.sleep(A_MOMENT)
        self.put(name, data)
        return True


class IgnoresTheCondition(MemoryStore):
    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        self.put(name, data)
        return True


class ForgetsItsOwn(MemoryStore):
    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        return name not in self.list() and super().create(name, data)


class CommitsHalves(MemoryStore):
    @contextmanager
    def new_file(self, name: str, *, durable: bool = True) -> Iterator[BinaryIO]:
        stream = io.BytesIO()
        try:
            yield stream
        finally:
            with super().new_file(name) as inner:
                inner.write(stream.getvalue())


class EmptyOverwrites(MemoryStore):
    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        if not data:
            self.put(name, data)
        return super().create(name, data)


class Tears(MemoryStore):
    def put(self, name: str, data: bytes) -> None:
        super().put(name, data[: len(data) // 2])
        time.sleep(A_MOMENT)
        super().put(name, data)


class ReadsShort(MemoryStore):
    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return super().read(name)[start:][:length]


class MissingIsEmpty(MemoryStore):
    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        return super().read(name, start, length) if name in self.list() else b""


class ListsOnePage(MemoryStore):
    def list(self, prefix: str = "") -> list[str]:
        return super().list(prefix)[:1000]


class ListsByBeginnings(MemoryStore):
    def list(self, prefix: str = "") -> list[str]:
        return [name for name in super().list() if name.startswith(prefix)]


class ListsInDisorder(MemoryStore):
    def list(self, prefix: str = "") -> list[str]:
        return super().list(prefix)[::-1]


class Normalises(MemoryStore):
    def _checked(self, name: str) -> str:
        return unicodedata.normalize("NFC", super()._checked(name))


class LeavesItsRoot(MemoryStore):
    def _checked(self, name: str) -> str:
        return name


class KeepsTheDeleted(MemoryStore):
    def delete(self, name: str) -> None:
        super()._checked(name)


class DeniesTheMissing(MemoryStore):
    def delete(self, name: str) -> None:
        if name not in self.list():
            raise StorageError(f"There is no {name}.")
        super().delete(name)


FOUND_BY = {
    LooksThenWrites: "of_racers",
    IgnoresTheCondition: "create_is_exclusive",
    ForgetsItsOwn: "lost_is_its_own_success",
    CommitsHalves: "exception_while_writing",
    EmptyOverwrites: "empty_object_keeps",
    Tears: "readers_see_all",
    ReadsShort: "comes_short",
    MissingIsEmpty: "missing_object",
    ListsOnePage: "long_list",
    ListsByBeginnings: "lists_are_sorted",
    ListsInDisorder: "lists_are_sorted",
    Normalises: "look_alike",
    LeavesItsRoot: "no_name_is_refused",
    KeepsTheDeleted: "deleted_object_is_gone",
    DeniesTheMissing: "deleted_object_is_gone",
}
"""A part of the name of a test that must fail for each."""


def suite_of(kind: type[MemoryStore]) -> type[StoreSuite]:
    """The suite on one of them."""

    class Broken(StoreSuite):
        processes = False
        racers, names, large = 3, 8, 200_000

        @pytest.fixture
        def make(self):
            return partial(lambda store: store, kind())

    Broken.__name__ = Broken.__qualname__ = f"Test{kind.__name__}"
    return Broken


globals().update({f"Test{kind.__name__}": suite_of(kind) for kind in FOUND_BY})

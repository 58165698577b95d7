"""The probe finds each broken promise, names it with what was seen, and leaves nothing behind."""

from __future__ import annotations

import pytest
from buckets import MemoryBucket, store_on

from mapreduce.errors import StoreNotSafe
from mapreduce.protocols import Capabilities, Store
from mapreduce.store.probe import check_store, probe
from mapreduce.testing import FaultyStore, MemoryStore


def broken(store: Store) -> list[str]:
    return [finding.check for finding in probe(store) if not finding.kept]


class Careless(MemoryStore):
    """Breaks one promise."""

    def __init__(self, promise: str) -> None:
        super().__init__()
        self._promise = promise

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        if self._promise == "ranges" and length is not None:
            return super().read(name)
        if self._promise == "missing" and name not in self.list():
            return b""
        return super().read(name, start, length)

    def delete(self, name: str) -> None:
        if self._promise != "deletes":
            super().delete(name)

    def put(self, name: str, data: bytes) -> None:
        if self._promise == "puts":
            self.create(name, data)
        else:
            super().put(name, data)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        if self._promise == "empty" and name in self.list() and not self.read(name):
            super().put(name, data)
        return super().create(name, data) if self._promise != "creates" else False


def test_a_good_store_keeps_every_promise_and_is_left_as_it_was() -> None:
    store = MemoryStore()
    store.put("other", b"x")
    found = probe(store)
    assert len(found) == 9
    assert all(finding.kept and not finding.seen for finding in found)
    assert store.list() == ["other"]
    check_store(store)


@pytest.mark.covers("S10", "a store whose second exclusive create wins")
@pytest.mark.parametrize(
    "store",
    [
        FaultyStore(MemoryStore(), "op=create times=always do=overwrite"),
        store_on(MemoryBucket(obeys=False)),
    ],
    ids=["faulty", "bucket"],
)
def test_a_store_whose_second_create_wins_is_refused(store: Store) -> None:
    with pytest.raises(
        StoreNotSafe, match=r"a second create loses: the second create won too.*b'second'"
    ) as caught:
        check_store(store)
    assert "If-None-Match" in caught.value.hint
    assert store.url in caught.value.message
    assert store.list() == []


@pytest.mark.parametrize(
    ("promise", "check"),
    [
        ("ranges", "a range is read exactly"),
        ("missing", "a missing object is told"),
        ("deletes", "a deleted object is gone"),
        ("puts", "a put replaces"),
        ("empty", "an empty object keeps its name too"),
        ("creates", "a new name can be created"),
    ],
)
def test_each_broken_promise_is_named(promise: str, check: str) -> None:
    assert check in broken(Careless(promise))


def test_a_list_may_be_late_only_where_the_store_says_so() -> None:
    assert broken(FaultyStore(MemoryStore(), "op=list do=stale:9")) == ["a new name is listed"]
    late = MemoryStore(capabilities=Capabilities("memory", listed_after=3.0))
    assert broken(FaultyStore(late, "op=list do=stale:9")) == []


@pytest.mark.parametrize("op", ["put", "create", "read", "list", "delete"])
def test_an_operation_that_may_not_be_used_is_a_finding(op: str) -> None:
    found = probe(FaultyStore(MemoryStore(), f"op={op} times=always do=eacces"))
    assert [finding.check for finding in found if not finding.kept] == ["every operation may be used"]
    assert "Permission denied" in found[-1].seen
    assert found[-1].advice


def test_an_object_that_is_not_there_a_moment_later_is_a_finding() -> None:
    assert broken(FaultyStore(MemoryStore(), "op=read do=missing")) == ["what was written can be read"]

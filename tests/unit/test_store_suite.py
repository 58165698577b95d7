"""The public suite of stores, on those that need no server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from buckets import MemoryBucket, store_on

from mapreduce.protocols import Store
from mapreduce.store.local import LocalStore
from mapreduce.store.retrying import RetryingStore
from mapreduce.testing import MemoryStore, StoreSuite


class TestLocalStore(StoreSuite):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Store]:
        return partial(LocalStore, tmp_path / "store")


class TestRetryingStore(StoreSuite):
    processes = False

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        return partial(RetryingStore, MemoryStore())


class TestMemoryStore(StoreSuite):
    processes = False

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        store = MemoryStore()
        return lambda: store


class TestObjectStore(StoreSuite):
    processes = False

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        return partial(store_on, MemoryBucket())


class TestObjectStoreThatSendsInParts(StoreSuite):
    processes = False
    large = 2_000_000

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        return partial(store_on, MemoryBucket(), largest_put=2_500)

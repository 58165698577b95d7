"""The public suite of stores, on those that need no server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import broken_stores
import pytest
from broken_stores import FOUND_BY
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


def test_the_suite_finds_each_mistake_of_a_store(tmp_path: Path) -> None:
    wanted = " or ".join(sorted(set(FOUND_BY.values())))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf", "-k", wanted]
    ended = subprocess.run(
        [*command, broken_stores.__file__], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    failed = re.findall(r"^FAILED \S+::Test(\w+)::(\w+)", ended.stdout, re.MULTILINE)
    for kind, test in FOUND_BY.items():
        assert any(name == kind.__name__ and test in found for name, found in failed), (kind, ended.stdout)

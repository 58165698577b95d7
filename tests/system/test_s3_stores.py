"""The suite of stores on real servers of S3's language; what is refused; what must not be told."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import pytest
from servers import BUCKET, Server

from mapreduce.errors import StorageError, StoreNotSafe
from mapreduce.protocols import Store
from mapreduce.store import open_store
from mapreduce.store.patience import Patience
from mapreduce.store.probe import check_store
from mapreduce.store.retrying import RetryingStore
from mapreduce.store.s3 import open_bucket
from mapreduce.testing import StoreSuite

pytestmark = pytest.mark.system


def opened(url: str, profile: str) -> Store:
    """As the engine opens it, but with little patience: some tests wait for errors that stay."""
    patience = Patience(3)
    return RetryingStore(open_bucket(url, profile, patience), patience)


def new_place() -> str:
    """The URL of a prefix that nobody has used."""
    return f"s3://{BUCKET}/of tests/{secrets.token_hex(6)}"


class TestMoto(StoreSuite):
    names = 20

    @pytest.fixture
    def make(self, moto: Server, profiles) -> Callable[[], Store]:
        return partial(opened, new_place(), profiles.add("moto", moto))


class TestSeaweedFS(StoreSuite):
    names = 20

    @pytest.fixture
    def make(self, seaweedfs: Server, profiles) -> Callable[[], Store]:
        return partial(opened, new_place(), profiles.add("seaweedfs", seaweedfs))


@pytest.mark.covers("S10", "rclone serve s3, which ignores If-None-Match")
def test_a_server_that_ignores_conditions_is_refused(rclone: Server, profiles) -> None:
    store = open_store(new_place(), profile=profiles.add("rclone", rclone))
    with pytest.raises(StoreNotSafe, match="the second create won too") as caught:
        check_store(store)
    assert "If-None-Match" in caught.value.hint
    assert store.list() == [], "the probe leaves nothing behind"


def test_a_bucket_that_is_not_there_is_no_empty_store(moto: Server, profiles) -> None:
    store = open_store("s3://no-such-bucket/x", profile=profiles.add("moto", moto))
    for operation in (lambda: store.read("a"), store.list, lambda: store.create("a", b"")):
        with pytest.raises(StorageError, match="no such bucket"):
            operation()

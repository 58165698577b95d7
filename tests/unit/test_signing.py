"""The cluster's key: what is signed, and what a store gives of what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mapreduce.errors import JobError, SignatureError
from mapreduce.hosts.signed import SignedStore
from mapreduce.hosts.signing import check_signature, new_key, read_key, signature, write_key
from mapreduce.store import layout
from mapreduce.testing import MemoryStore

KEY, OTHER = b"k" * 32, b"o" * 32
NAME = layout.orders_name("host-1", 1, 1)


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def store(inner: MemoryStore) -> SignedStore:
    return SignedStore(inner, KEY, "run-1")


def test_what_is_signed_is_read_as_it_was_written(store: SignedStore) -> None:
    store.put(NAME, b"orders")
    assert store.create(layout.COMMIT, b"")
    assert store.create(layout.COMMIT, b""), "its own bytes are recognised"
    assert not store.create(layout.COMMIT, b"another")
    assert store.read(NAME) == b"orders"
    assert store.read(NAME, 2, 3) == b"der"
    assert store.read(layout.COMMIT) == b""
    assert store.list("in") == [NAME]
    store.delete(NAME)
    with pytest.raises(FileNotFoundError):
        store.read(NAME)


def test_a_byte_that_was_changed_leaves_nothing(store: SignedStore, inner: MemoryStore) -> None:
    store.put(NAME, b"orders")
    signed = inner.read(NAME)
    for place in range(len(signed)):
        inner.put(NAME, signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :])
        assert store.read(NAME) == b""
        inner.put(NAME, signed[:place])
        assert store.read(NAME) == b""


def test_a_record_in_another_s_place_is_none(store: SignedStore, inner: MemoryStore) -> None:
    store.put(NAME, b"orders")
    moved = layout.orders_name("host-1", 1, 2)
    inner.put(moved, inner.read(NAME))
    assert store.read(moved) == b""
    assert SignedStore(inner, KEY, "run-2").read(NAME) == b""
    assert SignedStore(inner, OTHER, "run-1").read(NAME) == b""


def test_map_data_is_not_signed(store: SignedStore, inner: MemoryStore) -> None:
    name = layout.map_name(1, "nonce")
    with store.new_file(name) as stream:
        stream.write(b"data")
    assert inner.read(name) == store.read(name) == b"data"
    assert store.read(name, 1, 2) == b"at"


def test_a_signature_is_of_all_bytes_and_of_the_key() -> None:
    content = b"what is signed"
    signed = signature(KEY, content)
    check_signature(KEY, content, signed, "It")
    check_signature(None, content, "", "It")
    for place in range(len(content)):
        with pytest.raises(SignatureError):
            check_signature(KEY, content[:place] + b"\0" + content[place + 1 :], signed, "It")
    for key, given in ((OTHER, signed), (KEY, ""), (None, signed), (KEY, signed[:-1])):
        with pytest.raises(SignatureError):
            check_signature(key, content, given, "It")


@pytest.mark.covers("Q2", "a signature that is no text which can be written")
@pytest.mark.parametrize("signed", ["\udc80", "é", "", "0" * 64])
def test_any_text_may_stand_for_a_signature(signed: str) -> None:
    with pytest.raises(SignatureError):
        check_signature(KEY, b"content", signed, "Run 1")


def test_a_key_is_made_once_and_for_its_owner(own_folder: Path) -> None:
    path = Path("key")
    write_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    key = read_key(str(path))
    assert key is not None
    assert len(key) == 64
    with pytest.raises(JobError):
        write_key(path)
    assert read_key(str(path)) == key


def test_a_key_comes_from_where_it_is_named(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAPREDUCE_KEY", "MAPREDUCE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert read_key() is None
    monkeypatch.setenv("MAPREDUCE_KEY", new_key())
    assert read_key() == os.environ["MAPREDUCE_KEY"].encode()
    write_key(Path("key"))
    monkeypatch.setenv("MAPREDUCE_KEY_FILE", "key")
    assert read_key() == Path("key").read_bytes().strip()
    with pytest.raises(JobError, match="can't be read"):
        read_key("missing")

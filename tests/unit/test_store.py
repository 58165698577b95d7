"""The local store: whole or nothing, exclusive, and errors that say what to do."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path
from unittest import mock

import pytest

from mapreduce.errors import StorageError
from mapreduce.store import layout
from mapreduce.store.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_put_read_list_delete(store: LocalStore) -> None:
    store.put("a/b", b"hello")
    store.put("a/b", b"other")
    assert store.read("a/b") == b"other"
    assert store.read("a/b", 1, 3) == b"the"
    assert store.list() == ["a/b"]
    assert store.list("missing") == []
    store.delete("a/b")
    store.delete("a/b")
    assert store.list() == []


def test_a_missing_object_is_file_not_found(store: LocalStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing")


def test_a_short_object_is_an_error(store: LocalStore) -> None:
    store.put("a", b"12345")
    with pytest.raises(StorageError, match="ends at byte 5, before 9"):
        store.read("a", 3, 6)


def test_create_is_exclusive_and_recognises_its_own_bytes(store: LocalStore) -> None:
    assert store.create("name", b"mine")
    assert store.create("name", b"mine"), "a repetition after a lost answer is a success"
    assert not store.create("name", b"theirs")
    assert store.read("name") == b"mine"


def test_an_exception_while_writing_leaves_nothing(store: LocalStore) -> None:
    def half() -> None:
        with store.new_file("a") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\0b"])
def test_names_stay_below_the_root(store: LocalStore, name: str) -> None:
    with pytest.raises(StorageError):
        store.put(name, b"")


@pytest.mark.parametrize("operation", ["fsync", "link"])
def test_a_full_disk_says_so_and_leaves_nothing(store: LocalStore, operation: str) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        mock.patch.object(os, operation, side_effect=full),
        pytest.raises(StorageError, match="Free some space"),
    ):
        store.create("a", b"data")
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def race(root: Path, number: int, gate: object, won: object) -> None:
    store = LocalStore(root)
    for round_number in range(50):
        gate.wait()  # type: ignore[attr-defined]
        if store.create(f"names/{round_number}", f"{number}".encode() * 10_000):
            won.put((round_number, number))  # type: ignore[attr-defined]


def test_of_racing_processes_exactly_one_wins_and_its_bytes_are_there(store: LocalStore) -> None:
    context = multiprocessing.get_context("spawn")
    gate, won = context.Barrier(3), context.SimpleQueue()
    racers = [context.Process(target=race, args=(store.root, n, gate, won)) for n in range(3)]
    for racer in racers:
        racer.start()
    winners = [won.get() for _ in range(50)]
    for racer in racers:
        racer.join()
    assert sorted(number for number, _ in winners) == list(range(50))
    assert won.empty()
    for round_number, winner in winners:
        assert store.read(f"names/{round_number}") == f"{winner}".encode() * 10_000


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("part-00003-20261121T221530-0a1b2c3d-deadbeef.jsonl", "20261121T221530-0a1b2c3d"),
        (".part-00003.jsonl.20261121T221530-0a1b2c3d.12ab34cd.tmp", "20261121T221530-0a1b2c3d"),
        ("._manifest.json.20261121T221530-0a1b2c3d.12ab34cd.tmp", "20261121T221530-0a1b2c3d"),
        ("part-00003.parquet", None),
        ("_manifest.json", None),
        ("access.log", None),
    ],
)
def test_the_run_of_a_part(name: str, run: str | None) -> None:
    assert layout.writer_of(name) == run

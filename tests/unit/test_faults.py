"""Rules of faults: how they read, when they fire, and what each does to each operation."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mapreduce.errors import JobError, StorageError
from mapreduce.protocols import Store
from mapreduce.store import FAULTS, open_store
from mapreduce.store.faulty import environment_rules
from mapreduce.store.local import LocalStore
from mapreduce.store.rules import ERRORS, OPERATIONS, Rule, Rules
from mapreduce.testing import FaultyStore, faults

CONTENT = b"0123456789"


@pytest.fixture
def inner(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    store.put("old", CONTENT)
    return store


def write_new(store: Store, name: str) -> None:
    with store.new_file(name) as stream:
        stream.write(CONTENT)


def operate(store: Store, op: str, name: str = "") -> Any:
    """One operation; writes are to "new", others to "old"."""
    match op:
        case "put":
            return store.put(name or "new", CONTENT)
        case "create":
            return store.create(name or "new", CONTENT)
        case "new_file":
            return write_new(store, name or "new")
        case "list":
            return store.list(name)
        case "read":
            return store.read(name or "old")
        case _:
            return store.delete(name or "old")


def is_done(store: LocalStore, op: str) -> bool:
    """Whether a change was made; of `read` and `list` nothing is to be seen."""
    return store.list() == {"delete": [], "read": ["old"], "list": ["old"]}.get(op, ["new", "old"])


# ---------------------------------------------------------------- how they read


def test_a_text_gives_rules_in_their_order() -> None:
    rules = Rules(
        "op=create path=_COMMIT do=lost_reply ; ;"
        " who=worker nth=3 times=always once=/tmp/mark do=note:/a:b;do=stall:0.5;"
    )
    assert rules._rules == [
        Rule("lost_reply", "create", "_COMMIT"),
        Rule("note:/a:b", "*", "", "worker", 3, "always", "/tmp/mark"),
        Rule("stall:0.5"),
    ]
    assert [rule.argument for rule in rules._rules] == ["", "/a:b", "0.5"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("op=write do=eio", "'op=write do=eio' has op=write.*put, create, new_file, read, list, delete, *"),
        ("do=eio who=user", "has who=user.*coordinator, worker, *"),
        ("do=eio nth=0", "has nth=0.*a number from 1"),
        ("do=eio nth=x", "has nth=x"),
        ("do=eio times=2", "has times=2.*once, always"),
        (
            "do=explode",
            "has do=explode.*eio, enospc.*torn, late:N, twice:N, stale:K, stall:SECONDS, note:FILE",
        ),
        ("do=stall", "has do=stall"),
        ("do=stall:", "has do=stall:"),
        ("do=stall:-1", "has do=stall:-1"),
        ("do=stall:1.2.3", "has do=stall:1.2.3"),
        ("do=note:", "has do=note:"),
        ("do=eio:3", "has do=eio:3"),
        ("do=eio once=", "has once="),
        ("op=put", "'op=put' does nothing.*do= takes eio"),
        ("do=eio do=flip", "can't be read at 'do=flip'.*op=, path=, who=, nth=, times=, once=, do="),
        ("do=eio now", "can't be read at 'now'"),
        ("do=eio; when=now do=eio", "'when=now do=eio' can't be read at 'when=now'"),
    ],
)
def test_what_is_no_rule_is_told_with_what_is_allowed(inner: Store, text: str, told: str) -> None:
    with pytest.raises(JobError, match=told.replace("*", r"\*").replace(r".\*", ".*")):
        FaultyStore(inner, text)


def test_a_wrong_rule_in_the_environment_is_told_when_a_store_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULTS, "do=explode")
    with pytest.raises(JobError, match="do=explode"):
        open_store(tmp_path)


# ---------------------------------------------------------------- when they fire


@pytest.mark.parametrize(
    ("rule", "failing"),
    [
        ("", [1]),
        ("op=create", [1]),
        ("op=put", []),
        ("op=*", [1]),
        ("nth=3", [3]),
        ("nth=3 times=always", [3, 4, 5]),
        ("path=b", [2]),
        ("path=b nth=2", [4]),
        ("path=nowhere", []),
        ("who=worker", [1]),
        ("who=coordinator", []),
        ("who=*", [1]),
    ],
)
def test_the_operations_that_are_hit(inner: LocalStore, rule: str, failing: list[int]) -> None:
    store = FaultyStore(inner, f"{rule} do=eio", "worker")
    failed = []
    for number, name in enumerate(["a1", "b1", "a2", "b2", "a3"], 1):
        try:
            store.create(name, b"")
        except StorageError:
            failed.append(number)
    assert failed == failing


def test_stores_count_together_where_they_share_rules(inner: LocalStore) -> None:
    rules = Rules("nth=2 do=eio")
    first, second = FaultyStore(inner, rules), FaultyStore(inner, rules)
    first.list()
    with pytest.raises(StorageError):
        second.list()


def test_a_marker_lets_a_rule_fire_once_over_all(inner: LocalStore, tmp_path: Path) -> None:
    text = f"times=always once={tmp_path}/marker do=eio"
    first, second = FaultyStore(inner, text), FaultyStore(inner, text)
    with pytest.raises(StorageError):
        second.list()
    first.list()
    second.list()
    assert (tmp_path / "marker").exists()


def test_a_marker_that_cannot_be_made_is_told(inner: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"marker once=.*No such file"):
        FaultyStore(inner, f"once={tmp_path}/nowhere/marker do=eio").list()


def test_a_block_of_faults_counts_from_the_beginning_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for outside in ("", "nth=9 do=enospc"):
        if outside:
            monkeypatch.setenv(FAULTS, outside)
        before = os.environ.get(FAULTS)
        for _ in range(2):
            with faults("nth=2 op=create do=enospc"):
                assert open_store(tmp_path).create("a", b"")
                with pytest.raises(StorageError, match="No space left"):
                    open_store(tmp_path, who="worker").create("a", b"")
        assert os.environ.get(FAULTS) == before
        assert environment_rules().text == outside


# ---------------------------------------------------------------- what they do


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("fault", ERRORS)
def test_an_error_of_which_nothing_is_done(inner: LocalStore, op: str, fault: str) -> None:
    with pytest.raises(StorageError, match=rf"Can't (write|read|list|delete) {inner.root}") as caught:
        operate(FaultyStore(inner, f"op={op} do={fault}"), op)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == ERRORS[fault]
    assert not is_done(inner, op) or op in ("read", "list")
    assert [path for path in inner.root.rglob("*") if path.name.startswith(".")] == []


@pytest.mark.parametrize("op", OPERATIONS)
def test_a_lost_reply_comes_after_it_is_done(inner: LocalStore, op: str) -> None:
    with pytest.raises(StorageError) as caught:
        operate(FaultyStore(inner, f"op={op} do=lost_reply"), op)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ETIMEDOUT
    assert is_done(inner, op)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("fault", ["short", "flip", "stall:0"])
def test_a_fault_that_does_not_concern_an_operation_does_nothing(
    inner: LocalStore, op: str, fault: str
) -> None:
    given = operate(FaultyStore(inner, f"op={op} do={fault}"), op)
    assert is_done(inner, op)
    assert given == {"create": True, "list": ["old"], "read": given}.get(op)


def test_what_a_read_gives(inner: LocalStore) -> None:
    assert FaultyStore(inner, "do=short").read("old") == b"01234"
    with pytest.raises(StorageError, match="ends at byte 4, before 6"):
        FaultyStore(inner, "do=short").read("old", 2, 4)
    flipped = FaultyStore(inner, "do=flip").read("old")
    assert bin(int.from_bytes(flipped) ^ int.from_bytes(CONTENT)).count("1") == 1
    inner.put("empty", b"")
    assert FaultyStore(inner, "do=flip").read("empty") == b""
    assert FaultyStore(inner, "do=short").read("empty", 0, 0) == b""


def test_a_stall_waits(inner: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    FaultyStore(inner, "do=stall:0.25").list()
    assert waited == [0.25]


def test_notes_list_all_operations_beside_other_faults(inner: LocalStore, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    store = FaultyStore(inner, f"times=always do=note:{notes}; op=create do=eio", "worker")
    for op in OPERATIONS:
        try:
            operate(store, op)
        except StorageError:
            assert op == "create"
            inner.delete("new")
        else:
            if op == "put":
                inner.delete("new")
    assert notes.read_text().splitlines() == [
        "worker put new",
        "worker create new",
        "worker new_file new",
        "worker read old",
        "worker list ",
        "worker delete old",
    ]


def in_a_process(root: Path, text: str, op: str) -> None:
    operate(FaultyStore(LocalStore(root, "run-0a1b2c3d"), text), op)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "torn"])
def test_a_process_is_killed(inner: LocalStore, op: str, fault: str) -> None:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=in_a_process, args=(inner.root, f"op={op} do={fault}", op))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    changed = fault == "kill_after" or op in ("read", "list")
    assert is_done(inner, op) == changed
    unfinished = [path.read_bytes() for path in inner.root.glob(".*.tmp")]
    assert unfinished == ([b"01234"] if fault == "torn" and op in ("put", "create", "new_file") else [])
    assert [path.name for path in inner.root.glob(".*.tmp")] == [
        path.name for path in inner.root.glob(".new.run-0a1b2c3d.*.tmp")
    ]


def test_a_new_file_that_fails_was_written_to_its_end(inner: LocalStore) -> None:
    written = []
    with pytest.raises(StorageError), FaultyStore(inner, "do=eio").new_file("new") as stream:
        written.append(stream.write(CONTENT))
    assert written == [len(CONTENT)]

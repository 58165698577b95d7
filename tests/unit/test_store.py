"""Every store: whole or nothing, exclusive, durable, and errors that say what to do."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mapreduce.errors import StorageError
from mapreduce.protocols import Store
from mapreduce.store import FAULTS, layout, open_store
from mapreduce.store.faulty import FaultyStore
from mapreduce.store.local import LocalStore
from mapreduce.store.patience import Patience
from mapreduce.store.retrying import RetryingStore

PASSING = ("eio", "timeout", "reset", "estale", "lost_reply")
REPEATED = ("put", "create", "read", "list", "delete")

Make = Callable[[Path], Store]


def local(root: Path) -> Store:
    return LocalStore(root)


def retrying(inner: Store) -> Store:
    return RetryingStore(inner, Patience(sleep=lambda seconds: None))


def failing_once(op: str, fault: str) -> Make:
    return lambda root: retrying(FaultyStore(LocalStore(root), f"op={op} do={fault}"))


STORES: dict[str, Make] = {
    "local": local,
    "retrying": lambda root: retrying(LocalStore(root)),
    "faulty without rules": lambda root: FaultyStore(LocalStore(root), ""),
    "as the engine opens it": lambda root: open_store(root),
    **{f"retrying, {op} has {fault} once": failing_once(op, fault) for op in REPEATED for fault in PASSING},
}
"""The suite below holds for each."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path / "store")


def files_below(root: Path) -> list[str]:
    """What is really there, unfinished files too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def write_new(store: Store, name: str, data: bytes = b"new", *, durable: bool = True) -> None:
    with store.new_file(name, durable=durable) as stream:
        stream.write(data)


# ---------------------------------------------------------------- what holds for all stores


def test_put_read_list_delete(store: Store, tmp_path: Path) -> None:
    assert store.url == str(tmp_path / "store")
    store.put("a/b", b"hello")
    store.put("a/b", b"other")
    store.put("a/c/d", b"")
    assert store.read("a/b", 1, 3) == b"the"
    assert store.read("a/b", 3) == b"er"
    assert store.read("a/b") == b"other"
    assert store.read("a/c/d") == b""
    assert store.list() == ["a/b", "a/c/d"]
    assert store.list("a/c") == ["a/c/d"]
    assert store.list("missing") == store.list("a/b") == []
    store.delete("a/b")
    store.delete("a/b")
    assert store.list() == ["a/c/d"]


def test_a_missing_object_is_file_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    with pytest.raises(FileNotFoundError):
        store.read("nothing/at/all", 0, 3)


def test_a_short_object_is_an_error(store: Store) -> None:
    store.put("a", b"12345")
    with pytest.raises(StorageError, match="ends at byte 5, before 9"):
        store.read("a", 3, 6)


def test_create_is_exclusive_and_recognises_its_own_bytes(store: Store) -> None:
    assert store.create("name", b"mine")
    assert store.create("name", b"mine"), "a repetition after a lost answer is a success"
    assert not store.create("name", b"theirs")
    assert store.read("name") == b"mine"


@pytest.mark.parametrize("durable", [True, False])
def test_a_new_file_appears_when_its_block_ends(store: Store, durable: bool) -> None:
    with store.new_file("d/a", durable=durable) as stream:
        stream.write(b"one")
        stream.flush()
        assert store.list() == []
        stream.write(b"two")
    assert store.read("d/a") == b"onetwo"


def test_a_new_file_takes_nobodys_name(store: Store) -> None:
    store.put("a", b"old")
    with pytest.raises(StorageError) as caught:
        write_new(store, "a")
    assert isinstance(caught.value.__cause__, FileExistsError)
    assert store.read("a") == b"old"
    assert files_below(Path(store.url)) == ["a"]


def test_an_exception_while_writing_leaves_nothing(store: Store) -> None:
    def half() -> None:
        with store.new_file("a") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert files_below(Path(store.url)) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\0b"])
def test_names_stay_below_the_root(store: Store, name: str) -> None:
    for operation in (
        lambda: store.put(name, b""),
        lambda: store.create(name, b""),
        lambda: write_new(store, name),
        lambda: store.read(name),
        lambda: store.list(name),
        lambda: store.delete(name),
    ):
        with pytest.raises(StorageError, match="is not a name in"):
            operation()


def test_a_name_below_an_object_is_a_typed_error(store: Store) -> None:
    store.put("a", b"")
    for operation in (
        lambda: store.put("a/b", b""),
        lambda: store.create("a/b", b""),
        lambda: write_new(store, "a/b"),
        lambda: store.read("a/b"),
        lambda: store.delete("a/b"),
    ):
        with pytest.raises(StorageError) as caught:
            operation()
        assert isinstance(caught.value.__cause__, OSError)


def test_an_unfinished_file_is_no_object(store: Store) -> None:
    store.put("a", b"")
    (Path(store.url) / layout.unfinished_name("b", "run-0a1b2c3d", "deadbeef")).write_bytes(b"half")
    assert store.list() == ["a"]


# ---------------------------------------------------------------- the local one


@pytest.fixture
def folder(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


WRITES: dict[str, Callable[[Store], Any]] = {
    "put": lambda store: store.put("a", b"data"),
    "create": lambda store: store.create("a", b"data"),
    "new_file": lambda store: write_new(store, "a", b"data"),
}


@pytest.mark.parametrize("operation", ["fsync", "link"])
def test_a_full_disk_says_so_and_leaves_nothing(folder: LocalStore, operation: str) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        mock.patch.object(os, operation, side_effect=full),
        pytest.raises(StorageError, match="Free some space"),
    ):
        folder.create("a", b"data")
    assert files_below(folder.root) == []


def open_any(path: Path, mode: str) -> Any:
    """`open`, also where a device lies: an exclusive one does not follow links."""
    return open(path, mode.replace("x", "w"))


@pytest.fixture
def full(folder: LocalStore, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A store that can make files, and write no byte to them."""
    folder.root.mkdir()
    (folder.root / "full").symlink_to("/dev/full")
    monkeypatch.setattr(layout, "unfinished_name", lambda *of: "full")
    monkeypatch.setattr("mapreduce.store.local.open", open_any, raising=False)
    return folder


@pytest.mark.parametrize("write", WRITES)
def test_a_file_system_that_takes_no_byte_is_a_typed_error(full: LocalStore, write: str) -> None:
    with pytest.raises(StorageError, match="Free some space") as caught:
        WRITES[write](full)
    assert isinstance(caught.value.__cause__, OSError)
    assert files_below(full.root) == []


def test_what_ended_a_block_is_not_hidden_by_bytes_that_could_not_be_written(full: LocalStore) -> None:
    def half() -> None:
        with full.new_file("a") as stream:
            stream.write(b"still in the buffer")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()


def test_a_folder_that_vanishes_under_a_writer_is_a_typed_error(folder: LocalStore) -> None:
    with (
        mock.patch.object(os, "link", side_effect=FileNotFoundError(errno.ENOENT, "gone")),
        pytest.raises(StorageError, match="gone"),
    ):
        folder.create("a", b"data")


def test_a_folder_that_cannot_be_listed_is_no_empty_one(folder: LocalStore) -> None:
    folder.put("a/b", b"")
    with (
        mock.patch.object(os, "scandir", side_effect=OSError(errno.EIO, "input/output error")),
        pytest.raises(StorageError, match="Can't list"),
    ):
        folder.list()


def test_of_an_object_that_went_away_create_does_not_say_that_it_holds_the_bytes(folder: LocalStore) -> None:
    taken = FileExistsError(errno.EEXIST, "taken")
    with mock.patch.object(os, "link", side_effect=taken):
        assert not folder.create("a", b"mine")


class Syncs:
    """`os.fsync` that fails once. Notes the path of each file it is given; those of new files are unique."""

    def __init__(self, patch: pytest.MonkeyPatch, failing: int) -> None:
        self._fsync, self._failing = os.fsync, failing
        self.files: list[Path] = []
        patch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.files.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        if len(self.files) - 1 == self._failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(descriptor)


@pytest.mark.covers("S8", "the fsync of the file fails, or that of its folder")
@pytest.mark.parametrize("failing", [0, 1], ids=["file", "folder"])
@pytest.mark.parametrize("write", WRITES)
def test_after_a_failed_fsync_the_file_is_abandoned(
    folder: LocalStore, monkeypatch: pytest.MonkeyPatch, write: str, failing: int
) -> None:
    folder.root.mkdir()
    syncs = Syncs(monkeypatch, failing)
    with pytest.raises(StorageError) as caught:
        WRITES[write](folder)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EIO
    assert len(syncs.files) == failing + 1, "nothing is synced once more"
    named = ["a"] if failing else []  # the name may stay if it alone is not durable: its bytes are
    assert files_below(folder.root) == named


@pytest.mark.covers("S8", "the fsync of the file fails, or that of its folder; the operation is repeated")
@pytest.mark.parametrize("failing", [0, 1], ids=["file", "folder"])
@pytest.mark.parametrize("write", ["put", "create"])
def test_the_repetition_after_a_failed_fsync_writes_another_file(
    folder: LocalStore, monkeypatch: pytest.MonkeyPatch, write: str, failing: int
) -> None:
    folder.root.mkdir()
    syncs = Syncs(monkeypatch, failing)
    WRITES[write](retrying(folder))
    assert folder.read("a") == b"data"
    assert files_below(folder.root) == ["a"]
    written = [path for path in syncs.files if path != folder.root]
    assert len(set(written)) == len(written), "a file whose sync failed was synced again"
    assert syncs.files[-1] == folder.root, "the name is durable in the end"


def race(root: Path, number: int, gate: object, won: object) -> None:
    store = LocalStore(root)
    for round_number in range(50):
        gate.wait()  # type: ignore[attr-defined]
        if store.create(f"names/{round_number}", f"{number}".encode() * 10_000):
            won.put((round_number, number))  # type: ignore[attr-defined]


def test_of_racing_processes_exactly_one_wins_and_its_bytes_are_there(folder: LocalStore) -> None:
    context = multiprocessing.get_context("spawn")
    gate, won = context.Barrier(3), context.SimpleQueue()
    racers = [context.Process(target=race, args=(folder.root, n, gate, won)) for n in range(3)]
    for racer in racers:
        racer.start()
    winners = [won.get() for _ in range(50)]
    for racer in racers:
        racer.join()
    assert sorted(number for number, _ in winners) == list(range(50))
    assert won.empty()
    for round_number, winner in winners:
        assert folder.read(f"names/{round_number}") == f"{winner}".encode() * 10_000


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
    assert layout.is_unfinished(name) == name.endswith(".tmp")


# ---------------------------------------------------------------- the retrying one


class Broken:
    """A store whose operations raise `error` a number of times, then do nothing. Counts calls."""

    def __init__(self, error: Exception, times: int) -> None:
        self.url = "broken"
        self._error, self._times = error, times
        self.calls = 0

    def _operation(self, *arguments: Any, durable: bool = True) -> Any:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return None

    put = create = read = list = delete = _operation  # type: ignore[assignment]

    def new_file(self, name: str, *, durable: bool = True) -> Any:
        return self._operation()


def caused_by(number: int) -> StorageError:
    error = StorageError("Can't.")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


def call(store: Any, op: str) -> Any:
    arguments = {"put": ("a", b""), "create": ("a", b""), "read": ("a",), "list": (), "delete": ("a",)}
    return getattr(store, op)(*arguments.get(op, ("a",)))


PASSES = ["EIO", "ETIMEDOUT", "ECONNRESET", "ESTALE", "EBUSY", "EAGAIN", "EINTR"]
STAYS = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EMFILE", "EEXIST", "ENOTDIR", "ENAMETOOLONG"]


@pytest.mark.parametrize("op", REPEATED)
@pytest.mark.parametrize(
    ("name", "times", "calls"),
    [(name, 1, 2) for name in PASSES]
    + [(name, 3, 4) for name in PASSES]
    + [(name, 9, 4) for name in PASSES]
    + [(name, 1, 1) for name in STAYS],
)
def test_calls_of_an_operation_that_fails(op: str, name: str, times: int, calls: int) -> None:
    pauses: list[float] = []
    error = caused_by(getattr(errno, name))
    inner = Broken(error, times)
    store = RetryingStore(inner, Patience(sleep=pauses.append, chance=lambda: 0.5))
    if times < calls:
        call(store, op)
    else:
        with pytest.raises(StorageError) as caught:
            call(store, op)
        assert caught.value is error
    assert inner.calls == calls
    assert pauses == [0.05, 0.1, 0.2][: calls - 1]


def test_a_range_that_came_short_is_read_again(tmp_path: Path) -> None:
    pauses: list[float] = []
    faulty = FaultyStore(LocalStore(tmp_path), "op=read do=short")
    store = RetryingStore(faulty, Patience(sleep=pauses.append))
    store.put("a", b"12345")
    assert store.read("a", 1, 3) == b"234"
    assert len(pauses) == 1


@pytest.mark.parametrize("error", [StorageError("no cause"), FileNotFoundError("a"), ZeroDivisionError()])
def test_what_is_no_storage_fault_passes_at_once(error: Exception) -> None:
    inner = Broken(error, 1)
    with pytest.raises(type(error)):
        RetryingStore(inner, Patience(sleep=pytest.fail)).read("a")
    assert inner.calls == 1


def test_a_new_file_is_not_begun_again() -> None:
    inner = Broken(caused_by(errno.EIO), 1)
    with pytest.raises(StorageError):
        RetryingStore(inner, Patience(sleep=pytest.fail)).new_file("a")
    assert inner.calls == 1


def test_pauses_double_and_chance_spreads_them() -> None:
    pauses: list[float] = []
    chances = iter([0.0, 1.0, 0.5, 0.25])
    store = RetryingStore(
        Broken(caused_by(errno.EIO), 4),
        Patience(5, pause=1.0, sleep=pauses.append, chance=lambda: next(chances)),
    )
    store.list()
    assert pauses == [0.5, 3.0, 4.0, 3.75], "the last one by the longest, 5 seconds"


@pytest.mark.covers("S2", "the answer of an exclusive create is lost")
@pytest.mark.parametrize("fault", ["lost_reply", "timeout", "eio"])
def test_a_create_whose_answer_was_lost_is_its_own_success(tmp_path: Path, fault: str) -> None:
    store = retrying(FaultyStore(LocalStore(tmp_path), f"op=create do={fault}"))
    assert store.create("a", b"mine")
    assert not retrying(FaultyStore(LocalStore(tmp_path), f"op=create do={fault}")).create("a", b"theirs")
    assert store.read("a") == b"mine"


def test_the_engines_store_is_faulty_only_where_the_environment_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULTS, "op=create do=enospc who=worker")
    assert open_store(tmp_path).create("a", b"")
    with pytest.raises(StorageError, match="No space left"):
        open_store(tmp_path, who="worker").create("b", b"")
    monkeypatch.delenv(FAULTS)
    assert open_store(tmp_path, who="worker").create("b", b"")

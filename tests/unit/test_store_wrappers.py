"""What a store is wrapped in: counts, and the faults that come later or elsewhere; how old mounts may be."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from mapreduce.errors import StorageError
from mapreduce.store import COUNTS, open_store
from mapreduce.store.counting import Counted, CountingStore, counts_of
from mapreduce.store.mounts import folder_age, metadata_age, mount_of, parsed_mounts
from mapreduce.store.patience import Patience
from mapreduce.store.retrying import RetryingStore
from mapreduce.testing import FaultyStore, MemoryStore


def test_counts_are_by_operation() -> None:
    store = CountingStore(MemoryStore())
    store.put("a", b"12345")
    assert store.create("b", b"123")
    assert not store.create("b", b"1234")
    with store.new_file("c") as stream:
        stream.write(b"123456")
    assert store.read("a", 1, 2) == b"23"
    store.list()
    store.delete("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")
    with pytest.raises(StorageError), store.new_file("c") as stream:
        stream.write(b"x")
    assert store.counts == {
        "put": Counted(calls=1, sent=5),
        "create": Counted(calls=2, sent=7),
        "new_file": Counted(calls=2, failed=1, sent=6),
        "read": Counted(calls=2, failed=1, received=2),
        "list": Counted(calls=1, names=3),
        "delete": Counted(calls=1),
    }
    assert store.total == Counted(calls=9, failed=2, sent=18, received=2, names=3)


def test_what_a_killed_process_has_counted_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, place, other = tmp_path / "counts", tmp_path / "store", tmp_path / "other"
    counts.mkdir()
    monkeypatch.setenv(COUNTS, str(counts))
    if not (child := os.fork()):
        store = open_store(place)
        store.put("a", b"12345")
        store.list()
        open_store(other).put("b", b"1")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert open_store(place).read("a") == b"12345"
    assert counts_of(counts, str(place)) == {
        child: {"put": Counted(calls=1, sent=5), "list": Counted(calls=1, names=1)},
        os.getpid(): {"read": Counted(calls=1, received=5)},
    }


def test_below_patience_tries_are_counted() -> None:
    counting = CountingStore(FaultyStore(MemoryStore(), "op=put nth=1 do=ebusy; op=put nth=2 do=reset"))
    RetryingStore(counting, Patience(sleep=lambda _: None)).put("a", b"x")
    assert counting.counts == {"put": Counted(calls=3, failed=2, sent=1)}


# ---------------------------------------------------------------- faults that come later


def test_a_put_that_is_late_replaces_what_came_after_it() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, "op=put nth=1 do=late:2")
    with pytest.raises(StorageError) as caught:
        store.put("a", b"old")
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert inner.list() == []
    store.put("a", b"new")
    assert inner.read("a") == b"new"
    assert store.read("a") == b"old", "it arrives before the second operation from then on"
    store.put("a", b"new")
    store.list()
    assert store.read("a") == b"new", "and only once"


def test_a_put_that_comes_twice_undoes_a_delete() -> None:
    store = FaultyStore(MemoryStore(), "op=put do=twice:2")
    store.put("a", b"x")
    store.delete("a")
    assert store.list() == ["a"]


def test_a_new_file_that_is_late_takes_a_free_name_only() -> None:
    store = FaultyStore(MemoryStore(), "op=new_file do=late:1")
    for name in ("a", "b"):
        with pytest.raises(StorageError), FaultyStore(MemoryStore(), "op=new_file do=late:1").new_file(name):
            pass
    with pytest.raises(StorageError), store.new_file("a") as stream:
        stream.write(b"late")
    assert store.list() == ["a"]
    assert store.read("a") == b"late"


def test_stale_lists_lack_the_newest_names() -> None:
    store = FaultyStore(MemoryStore(), "op=list do=stale:2 nth=2")
    for name in ("c", "b", "a"):
        store.create(name, b"")
    assert store.list() == ["a", "b", "c"]
    assert store.list() == ["c"]
    assert store.list() == ["a", "b", "c"]


def test_a_stale_read_misses_what_is_there() -> None:
    store = FaultyStore(MemoryStore(), "op=read do=missing")
    store.put("a", b"x")
    with pytest.raises(FileNotFoundError):
        store.read("a")
    assert store.read("a") == b"x"


def test_a_store_that_ignores_the_condition_lets_both_win() -> None:
    store = FaultyStore(MemoryStore(), "op=create times=always do=overwrite")
    assert store.create("a", b"mine")
    assert store.create("a", b"theirs")
    assert store.read("a") == b"theirs"


@pytest.mark.parametrize(("fault", "number"), [("ebusy", errno.EBUSY), ("eacces", errno.EACCES)])
def test_a_bucket_that_throttles_or_denies(fault: str, number: int) -> None:
    with pytest.raises(StorageError) as caught:
        FaultyStore(MemoryStore(), f"op=put do={fault}").put("a", b"")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == number


# ---------------------------------------------------------------- mounts

MOUNTS = r"""
22 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
30 28 0:40 / /mnt/nfs rw,relatime shared:1 - nfs4 host:/x rw,vers=4.2,acregmax=60,hard
31 28 0:41 / /mnt/quick rw - nfs host:/y rw,actimeo=3,hard
32 28 0:42 / /mnt/exact rw - nfs4 host:/z rw,lookupcache=none
33 28 0:43 / /mnt/with\040blank rw - fuse.juicefs JuiceFS rw
34 28 0:44 / /mnt/smb rw - cifs //h/s rw,actimeo=1
35 30 0:45 / /mnt/nfs/disk rw - ext4 /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("path", "age"),
    [
        ("/srv/store", 0.0),
        ("/mnt/nfs/store", 60.0),
        ("/mnt/nfsx", 0.0),
        ("/mnt/quick", 3.0),
        ("/mnt/exact/store", 0.0),
        ("/mnt/with blank/store", 60.0),
        ("/mnt/smb", 1.0),
        ("/mnt/nfs/disk/store", 0.0),
    ],
)
def test_how_old_names_may_be_follows_from_the_mount(path: str, age: float) -> None:
    mount = mount_of(Path(path), parsed_mounts(MOUNTS))
    assert mount is not None
    assert metadata_age(mount) == age


def test_a_folder_of_this_machine_tells_names_at_once(tmp_path: Path) -> None:
    assert folder_age(tmp_path / "not" / "yet" / "there") == 0.0

"""What a power failure may leave of a write, state by state (the method of ALICE, OSDI'14).

The file operations of a write are recorded. For each prefix of them, all states are built that a disk may
hold afterwards: bytes that were not synced are missing, torn or zeros; each change of a folder since its
last sync has happened or not, whatever the others did. In each state the name must hold the old bytes or
the new ones; after the write has returned, the new ones.
"""

from __future__ import annotations

import builtins
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mapreduce.store import local
from mapreduce.store.local import LocalStore

OLD, NEW = b"old bytes", b"the new bytes, which are more"

# ---------------------------------------------------------------- operations, recorded


@dataclass(frozen=True)
class Operation:
    """One change, or a sync. Files and folders are known by `node`, which a new name does not change.

    kind: "write" (data), "sync", "name" (folder gets name for node), "rename" (name replaces that of
    source in the folder), "unname".
    """

    kind: str
    node: int = 0
    folder: int = 0
    name: str = ""
    source: str = ""
    data: bytes = b""
    is_folder: bool = False


def node_of(path: str | Path) -> int:
    return os.stat(path).st_ino


class Recorder:
    """Notes what a store does to the file system, in order."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def _note(self, kind: str, path: Any = None, **more: Any) -> None:
        if path is not None:
            more |= {"folder": node_of(Path(path).parent), "name": Path(path).name}
        self.operations.append(Operation(kind, **more))

    @contextmanager
    def recording(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("fsync", "link", "replace", "unlink", "mkdir"):
                patch.setattr(os, name, self._recorded(name, getattr(os, name)))
            patch.setattr(local, "open", self._open, raising=False)
            yield

    def _recorded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **options: Any) -> Any:
            given = call(*arguments, **options)
            getattr(self, f"_{name}")(*arguments)
            return given

        return recorded

    def _fsync(self, descriptor: int) -> None:
        self._note("sync", node=os.fstat(descriptor).st_ino)

    def _link(self, source: Path, target: Path) -> None:
        self._note("name", target, node=node_of(target))

    def _replace(self, source: Path, target: Path) -> None:
        assert Path(source).parent == Path(target).parent, "a rename between folders is not modelled"
        self._note("rename", target, node=node_of(target), source=Path(source).name)

    def _unlink(self, path: Path) -> None:
        self._note("unname", path)

    def _mkdir(self, path: Path, mode: int = 0) -> None:
        self._note("name", path, node=node_of(path), is_folder=True)

    def _open(self, path: Path, mode: str) -> Any:
        if mode != "xb":
            return builtins.open(path, mode)
        recorder = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                count = super().write(data)
                recorder._note("write", node=os.fstat(self.fileno()).st_ino, data=bytes(data)[:count])
                return count

        file = File(path, "x")
        self._note("name", path, node=node_of(path))
        return io.BufferedWriter(file, buffer_size=8)  # small, so that there are several writes


# ---------------------------------------------------------------- what a disk may hold

Content = bytes
Names = dict[str, int]


@dataclass
class Disk:
    """What is durable, and what may be: names by folder, and writes by file, since the last sync."""

    root: int
    names: dict[int, Names] = field(default_factory=dict)
    content: dict[int, Content] = field(default_factory=dict)
    changes: dict[int, list[Operation]] = field(default_factory=dict)
    writes: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """A folder of which all is durable."""
        disk = cls(node_of(folder))
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                disk.names[node_of(path)] = {each.name: node_of(each) for each in path.iterdir()}
            else:
                disk.content[node_of(path)] = path.read_bytes()
        return disk

    def do(self, operation: Operation) -> None:
        if operation.kind == "write":
            self.writes[operation.node] = self.writes.get(operation.node, b"") + operation.data
        elif operation.kind == "sync" and operation.node in self.names:
            for change in self.changes.pop(operation.node, []):
                apply(change, self.names[operation.node])
        elif operation.kind == "sync":
            written = self.writes.pop(operation.node, b"")
            self.content[operation.node] = self.content.get(operation.node, b"") + written
        else:
            if operation.is_folder:
                self.names[operation.node] = {}
            self.changes.setdefault(operation.folder, []).append(operation)

    def after_power_loss(self) -> Iterator[tuple[dict[int, Names], dict[int, Content]]]:
        """Each state, as names by folder and content by file."""
        folders = [list(self._possible_names(folder)) for folder in self.names]
        files = [list(self._possible_content(file)) for file in self.writes]
        for names in itertools.product(*folders):
            for content in itertools.product(*files):
                yield (
                    dict(zip(self.names, names, strict=True)),
                    self.content | dict(zip(self.writes, content, strict=True)),
                )

    def _possible_names(self, folder: int) -> Iterator[Names]:
        changes = self.changes.get(folder, [])
        for happened in itertools.product((False, True), repeat=len(changes)):
            names = dict(self.names[folder])
            for change in itertools.compress(changes, happened):
                apply(change, names)
            yield names

    def _possible_content(self, file: int) -> Iterator[Content]:
        durable, written = self.content.get(file, b""), self.writes[file]
        for length in sorted({0, 1, len(written) // 2, len(written) - 1, len(written)}):
            yield durable + written[:length]
        yield durable + bytes(len(written))


def apply(change: Operation, names: Names) -> None:
    if change.kind == "rename":
        names.pop(change.source, None)
    if change.kind == "unname":
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def tree(names: dict[int, Names], content: dict[int, Content], folder: int, path: str = "") -> dict[str, Any]:
    """What can be reached from a folder: bytes by path, None for a folder."""
    found: dict[str, Any] = {}
    for name, node in names[folder].items():
        here = f"{path}{name}"
        if node in names:
            found |= {here: None} | tree(names, content, node, f"{here}/")
        else:
            found[here] = content.get(node, b"")
    return found


def build(files: dict[str, bytes | None], folder: Path) -> None:
    folder.mkdir()
    for name, data in sorted(files.items()):
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)


# ---------------------------------------------------------------- what is checked


def new_file(store: LocalStore, name: str) -> None:
    with store.new_file(name) as stream:
        stream.write(NEW)


def create_below_a_folder_of_another(store: LocalStore, name: str) -> None:
    """Another process has made the folder a moment ago, and has not synced its name."""
    os.mkdir((store.root / name).parent)
    store.create(name, NEW)


@dataclass(frozen=True)
class Case:
    write: Callable[[LocalStore, str], Any]
    name: str
    old: bytes | None = None
    root: str = "store"
    root_exists: bool = True


CASES = {
    "put replaces": Case(lambda store, name: store.put(name, NEW), "a", OLD),
    "put": Case(lambda store, name: store.put(name, NEW), "a"),
    "put into new folders": Case(lambda store, name: store.put(name, NEW), "x/y/a"),
    "create": Case(lambda store, name: store.create(name, NEW), "a"),
    "create in a new folder": Case(lambda store, name: store.create(name, NEW), "x/a"),
    "create in a new store": Case(
        lambda store, name: store.create(name, NEW), "x/a", root="new/store", root_exists=False
    ),
    "create in a folder that another process makes": Case(create_below_a_folder_of_another, "x/a"),
    "new_file": Case(new_file, "a"),
    "new_file in a new folder": Case(new_file, "x/a"),
}


def recorded(case: Case, folder: Path) -> tuple[Callable[[], Disk], list[Operation]]:
    """A maker of the disk before the write, and the operations of the write."""
    root = folder / case.root
    if case.root_exists:
        root.mkdir(parents=True)
    if case.old is not None:
        (root / case.name).write_bytes(case.old)
    before = Disk.of(folder)
    recorder = Recorder()
    with recorder.recording():
        case.write(LocalStore(root), case.name)
    assert LocalStore(root).read(case.name) == NEW

    def disk() -> Disk:
        names = {node: dict(names) for node, names in before.names.items()}
        return Disk(before.root, names, dict(before.content))

    return disk, recorder.operations


def held(folder: Path, case: Case) -> tuple[bytes | None, list[str]]:
    """What the name holds in a state that was built, and all names."""
    store = LocalStore(folder / case.root)
    try:
        return store.read(case.name), store.list()
    except FileNotFoundError:
        return None, store.list()


def violations(
    case: Case, disk: Disk, operations: Iterable[Operation], scratch: Path
) -> tuple[int, list[str]]:
    """The number of states, and what is wrong in which."""
    steps = list(operations)
    wrong: list[str] = []
    seen: dict[tuple[Any, ...], tuple[bytes | None, list[str]]] = {}
    for done in range(len(steps) + 1):
        allowed = (NEW,) if done == len(steps) else (case.old, NEW)
        for names, content in disk.after_power_loss():
            files = tree(names, content, disk.root)
            state = tuple(sorted(files.items()))
            if state not in seen:
                build(files, scratch / f"{len(seen)}")
                seen[state] = held(scratch / f"{len(seen)}", case)
            data, listed = seen[state]
            if data not in allowed or listed != ([case.name] if data is not None else []):
                wrong.append(f"after {done} of {len(steps)} operations: {data!r}, of {files}")
        if done < len(steps):
            disk.do(steps[done])
    return len(seen), wrong


@pytest.mark.covers("S6", "every state that a power failure may leave after every operation of a write")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_power_failure_leaves_the_old_bytes_or_the_new_ones(case: Case, tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "states").mkdir()
    disk, operations = recorded(case, tmp_path / "live")
    states, wrong = violations(case, disk(), operations, tmp_path / "states")
    assert wrong == []
    assert states >= 8, "too few states: something was not recorded"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_without_any_one_of_its_syncs_a_write_could_be_lost_or_torn(case: Case, tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    disk, operations = recorded(case, tmp_path / "live")
    syncs = [index for index, operation in enumerate(operations) if operation.kind == "sync"]
    assert len(syncs) >= 2, "the file's, and its folder's"
    for index in syncs:
        scratch = tmp_path / f"without-{index}"
        scratch.mkdir()
        _, wrong = violations(case, disk(), operations[:index] + operations[index + 1 :], scratch)
        assert wrong, f"nobody needs operation {index}: {operations[index]}"

"""Every byte flipped, and every truncation, of everything that a small run writes: noticed, and healed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fault.small_run import Runs, new_folder, parts, small_job
from mapreduce import manifest as manifests
from mapreduce.chunks import stored_bytes
from mapreduce.coordinator import log
from mapreduce.coordinator.log import read_log
from mapreduce.errors import ManifestError, SegmentError, WorkDamaged
from mapreduce.model import Kind, Segments
from mapreduce.place import Place
from mapreduce.resume import find_begun
from mapreduce.shuffle.segments import read_segments
from mapreduce.store import open_store
from mapreduce.testing import run_sequential

SPLIT = 150
"""Few maps, so that every byte can have its turn."""


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


@pytest.fixture(scope="module")
def begun(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was killed when all was accepted, before it committed."""
    folder = new_folder(tmp_path_factory.mktemp("corruption"), "begun")
    ended = runs.run(folder, "op=create path=_COMMIT do=kill_before", split=SPLIT)
    assert ended.code == -9
    return folder


@pytest.fixture(scope="module")
def committed(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was killed when it had committed, before it published."""
    folder = new_folder(tmp_path_factory.mktemp("corruption"), "committed")
    ended = runs.run(folder, "op=create path=_COMMIT do=kill_after", split=SPLIT)
    assert ended.code == -9
    return folder


def own(folder: Path) -> Path:
    """The run's directory."""
    (directory,) = folder.glob(".out.mapreduce/*")
    return directory


def damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each byte flipped in one bit, then each shorter length; one byte more."""
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        yield f"byte {place} flipped", bytes(flipped)
    for length in range(len(data)):
        yield f"cut to {length} bytes", data[:length]
    yield "one byte more", data + b"\0"


def notices_all(path: Path, notices: Callable[[], bool]) -> int:
    """Damage a file in every way; how many ways there were."""
    whole = path.read_bytes()
    assert not notices(), "whole, it is right"
    ways = 0
    try:
        for how, data in damages(whole):
            path.write_bytes(data)
            assert notices(), f"{path.name}: {how}"
            ways += 1
    finally:
        path.write_bytes(whole)
    return ways


def raises(kind: type[Exception], action: Callable[[], object]) -> bool:
    try:
        action()
    except kind:
        return True
    return False


@pytest.mark.covers("S7", "every byte flipped and every truncation of map data")
def test_map_data(begun: Path) -> None:
    store = open_store(own(begun))
    maps = {t.index: a.result for t, a in read_log(store).by_task.items() if t.kind is Kind.MAP}
    ways = 0
    for index, result in maps.items():
        (run,) = result.runs
        segments = Segments(index, result.name, run.layout, run.index)

        def damaged(segments: Segments = segments) -> bool:
            size = (own(begun) / segments.name).stat().st_size
            longer = size > stored_bytes(segments.index)
            return longer or raises(SegmentError, lambda: list(read_segments(quick(begun), segments)))

        ways += notices_all(own(begun) / result.name, damaged)
    assert ways > 2_000


def quick(folder: Path) -> object:
    """The run's store without pauses between repetitions."""
    from mapreduce.store.local import LocalStore
    from mapreduce.store.patience import Patience
    from mapreduce.store.retrying import RetryingStore

    return RetryingStore(LocalStore(own(folder)), Patience(sleep=lambda _: None))


@pytest.mark.covers("S7", "every byte flipped and every truncation of the log, the index in it included")
def test_log(begun: Path) -> None:
    ways = 0
    for path in sorted(own(begun).glob("log/*")):
        ways += notices_all(path, lambda path=path: log._parse(path.read_bytes(), path) is None)
    assert ways > 2_000


@pytest.mark.covers("S7", "every byte flipped and every truncation of the plan")
def test_plan(begun: Path) -> None:
    place = Place("", begun / "out", begun / ".out.mapreduce", kept=False)

    def damaged() -> bool:
        found = None
        try:
            found = find_begun(place)
        except WorkDamaged:
            return True
        finally:
            if found:
                found.lock.close()
        return False

    (path,) = own(begun).glob("plan/*")
    assert notices_all(path, damaged) > 2_000


@pytest.mark.covers("S7", "every byte flipped and every truncation of the parts")
def test_parts(begun: Path) -> None:
    results = [acceptance.result for acceptance in read_log(open_store(own(begun))).by_task.values()]
    for result in results:
        if part := result.part:
            check = lambda part=part: manifests.check_part(begun / "out", part) != ""  # noqa: E731
            assert notices_all(begun / "out" / part.name, check) > 50


@pytest.mark.covers("S7", "every byte flipped and every truncation of the commit, which the manifest equals")
def test_commit_and_manifest(committed: Path) -> None:
    path = own(committed) / "result/_COMMIT"
    ways = notices_all(path, lambda: raises(ManifestError, lambda: manifests.parse(path.read_bytes(), path)))
    assert ways > 2_000


# ---------------------------------------------------------------- healed


def artefacts(folder: Path) -> list[Path]:
    """What a run that did not end has left, but for its lock and its plan."""
    found = [*own(folder).glob("data/*"), *own(folder).glob("log/*"), *own(folder).glob("result/*")]
    return sorted([*found, *(folder / "out").glob("part-*")])


@pytest.mark.timeout(300)
@pytest.mark.covers("S7", "artefacts flipped, cut, swapped with a sibling or gone; then the run goes on")
@pytest.mark.parametrize("when", ["begun", "committed"])
def test_a_run_that_goes_on_heals_what_was_damaged(
    runs: Runs,
    tmp_path: Path,
    when: str,
    rng: random.Random,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin: Path = request.getfixturevalue(when)
    monkeypatch.chdir(origin)
    expected = run_sequential(small_job(split=SPLIT)).parts
    for number, name in enumerate(path.relative_to(origin) for path in artefacts(origin)):
        for way in ("flipped", "cut", "swapped", "gone"):
            folder = Path(shutil.copytree(origin, tmp_path / f"{number}-{way}", copy_function=copied))
            damage(folder / name, way, rng)
            ended = runs.run(folder, split=SPLIT)
            assert ended.code == 0, f"{name} {way}: {ended}"
            assert parts(folder) == expected, f"{name} {way}"
            assert list(folder.glob(".*")) == []
            shutil.rmtree(folder)


def copied(origin: str, copy: str) -> None:
    """The input stays the file that was planned."""
    if origin.endswith("in.log"):
        os.link(origin, copy)
    else:
        shutil.copy2(origin, copy)


def damage(path: Path, way: str, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    sibling = next((other for other in sorted(path.parent.iterdir()) if other != path), path)
    if way == "gone":
        path.unlink()
    elif way == "swapped":
        other = sibling.read_bytes()
        sibling.write_bytes(data)
        path.write_bytes(other)
    elif way == "cut":
        path.write_bytes(data[: rng.randrange(len(data))] if data else b"")
    elif data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)


@pytest.mark.covers("S7", "a part of a published result that is flipped, missing, extra, or another's")
def test_verify_names_what_is_not_as_published(runs: Runs, tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "published")
    assert runs.run(folder, split=SPLIT).code == 0
    first, second = sorted((folder / "out").glob("part-*"))
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    assert [finding.name for finding in manifests.verify(folder / "out")[1]] == [first.name]
    first.write_bytes(whole)
    second.unlink()
    (folder / "out/part-00009").touch()
    assert [finding.name for finding in manifests.verify(folder / "out")[1]] == [second.name, "part-00009"]

"""Every store operation fails in every way: the right output, or a typed error and a run that goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.small_run import Ended, Runs, new_folder, parts, small_job, told
from mapreduce.testing import run_sequential

pytestmark = pytest.mark.sweep

WAYS = ("eio", "enospc", "timeout", "lost_reply", "short")
TIMES = ("once", "always")
TWO_MAPS = 150
"""A split size: few operations, each kind of which is there."""
LONGEST = 30.0
"""Seconds that no run may take, however storage fails."""
TYPED = {"StorageError", "SegmentError", "WorkDamaged", "ManifestError", "SinkError", "OutputExists"}


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The parts of the reference."""
    monkeypatch.chdir(new_folder(tmp_path, "reference"))
    return run_sequential(small_job()).parts


def operations(runs: Runs, folder: Path) -> list[str]:
    log = folder / "operations"
    assert runs.run(folder, f"op=* times=always do=note:{log}", split=TWO_MAPS).code == 0
    return log.read_text().splitlines()


def check_visible(folder: Path, expected: list[bytes]) -> None:
    """Nothing partial: no manifest, or a whole result."""
    if (folder / "out/_manifest.json").exists():
        assert parts(folder) == expected


def hold(runs: Runs, folder: Path, rule: str, expected: list[bytes]) -> Ended:
    """Run with a fault, then without: what is visible is whole at any time, and right in the end."""
    begin = time.monotonic()
    ended = runs.run(folder, rule, split=TWO_MAPS)
    assert time.monotonic() - begin < LONGEST, f"{rule}: {ended}"
    assert ended.code in (0, 1), f"{rule}: {ended}"
    check_visible(folder, expected)
    if ended.code == 1:
        assert ended.kind in TYPED, f"{rule}: {ended}"
        again = runs.run(folder, split=TWO_MAPS)
        assert again.code == 0 or again.kind == "OutputExists", f"{rule}: {again}"
    assert parts(folder) == expected, rule
    assert len(set(told(folder))) == 1, rule
    return ended


@pytest.mark.timeout(600)
@pytest.mark.covers("S1", "EIO, ENOSPC and a time-out of every store operation, once and from then on")
@pytest.mark.covers("S2", "a lost reply of every store operation, once and from then on")
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("way", WAYS)
def test_every_operation_that_fails(
    runs: Runs, tmp_path: Path, expected: list[bytes], way: str, times: str
) -> None:
    noted = operations(runs, new_folder(tmp_path, "undisturbed"))
    ends = []
    for number in range(1, len(noted) + 1):
        folder = new_folder(tmp_path, f"n{number}")
        ends.append(hold(runs, folder, f"op=* nth={number} times={times} do={way}", expected).code)
        shutil.rmtree(folder)
    if times == "once" and way in ("timeout", "eio"):
        failed = [noted[number] for number, code in enumerate(ends) if code]
        assert failed == [], "what passes by itself ends no run"
    if times == "always" and way == "enospc":
        assert sum(ends) > len(ends) // 2, "the fault was there"


@pytest.mark.covers("S1", "EDQUOT, EROFS and ESTALE of a write of each kind, once and from then on")
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("way", ["edquot", "erofs", "estale"])
def test_other_errors_of_writes(
    runs: Runs, tmp_path: Path, expected: list[bytes], way: str, times: str
) -> None:
    for number, path in enumerate(("plan/", "log/", "data/", "part-", "_COMMIT", "_manifest")):
        folder = new_folder(tmp_path, f"{way}-{number}")
        hold(runs, folder, f"op=* path={path} times={times} do={way}", expected)

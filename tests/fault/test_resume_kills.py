"""The coordinator killed before, after and in the middle of every store operation, then gone on with."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.small_run import (
    Ended,
    Runs,
    calls,
    new_folder,
    parts,
    small_job,
    tasks_accepted,
    tasks_called,
    told,
)
from mapreduce.testing import run_sequential

KILLS = ("kill_before", "kill_after", "torn")


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The parts of the reference."""
    monkeypatch.chdir(new_folder(tmp_path, "reference"))
    return run_sequential(small_job()).parts


def operations(runs: Runs, folder: Path, **options: object) -> list[str]:
    """All store operations of an undisturbed run, in order."""
    log = folder / "operations"
    ended = runs.run(folder, f"op=* times=always do=note:{log}", **options)  # type: ignore[arg-type]
    assert ended.code == 0, ended
    return log.read_text().splitlines()


def go_on(
    runs: Runs, folder: Path, expected: list[bytes], deaths: int, running: int = 1, **options: object
) -> None:
    """Go on with a run that died so often, with so many attempts running, and check what was promised."""
    from mapreduce import JobResult

    accepted, before = tasks_accepted(folder), calls(folder)
    had_manifest = (folder / "out/_manifest.json").exists()
    begun = any(folder.glob(".out.mapreduce/*/plan/*"))
    committed = [path.read_bytes() for path in folder.glob(".out.mapreduce/*/result/_COMMIT")]
    ended = runs.run(folder, **options)  # type: ignore[arg-type]
    if had_manifest and not begun:
        assert ended.kind == "OutputExists", "it was over, but for what nobody needs"
    else:
        assert ended.code == 0, ended
    assert parts(folder) == expected
    if committed:
        assert (folder / "out/_manifest.json").read_bytes() == committed[0], "what was committed is final"
    assert tasks_called(calls(folder) - before) & accepted == set(), "what was accepted did not run again"
    assert len(tasks_called(call for call, times in calls(folder).items() if times > 1)) <= deaths * running
    keys = told(folder)
    assert 1 <= len(keys) <= 1 + deaths
    assert len(set(keys)) == 1, "every delivery has one key"
    assert JobResult.load(folder / "out").counters == {}
    if ended.code == 0:
        assert list(folder.glob(".*")) == [], "nothing lies about"


def was_killed(ended: Ended) -> bool:
    return ended.code == -signal.SIGKILL


def test_a_sink_that_has_its_mark_is_not_told_again(
    runs: Runs, tmp_path: Path, expected: list[bytes]
) -> None:
    folder = new_folder(tmp_path, "marked")
    assert was_killed(runs.run(folder, "op=create path=marks do=kill_after"))
    assert len(told(folder)) == 1
    go_on(runs, folder, expected, 1)
    assert len(told(folder)) == 1


def test_killed_at_some_moments_and_gone_on_with(
    runs: Runs, tmp_path: Path, expected: list[bytes], rng: random.Random
) -> None:
    """A sample of the sweep below."""
    count = len(operations(runs, new_folder(tmp_path, "undisturbed")))
    for number, how in itertools.product(rng.sample(range(1, count + 1), 4), KILLS):
        folder = new_folder(tmp_path, f"{how}-{number}")
        assert was_killed(runs.run(folder, f"op=* nth={number} do={how}")), f"operation {number} of {count}"
        go_on(runs, folder, expected, 1)


@pytest.mark.sweep
@pytest.mark.timeout(300)
@pytest.mark.covers("C1", "SIGKILL before, after and within every store operation, then the same run again")
@pytest.mark.parametrize("how", KILLS)
def test_killed_at_every_store_operation_and_gone_on_with(
    runs: Runs, tmp_path: Path, expected: list[bytes], how: str
) -> None:
    count = len(operations(runs, new_folder(tmp_path, "undisturbed")))
    assert count >= 40
    for number in range(1, count + 1):
        folder = new_folder(tmp_path, f"{how}-{number}")
        assert was_killed(runs.run(folder, f"op=* nth={number} do={how}")), f"operation {number} of {count}"
        go_on(runs, folder, expected, 1)
        shutil.rmtree(folder)


@pytest.mark.sweep
@pytest.mark.timeout(300)
@pytest.mark.covers("C2", "two SIGKILLs in a row, the second while the run goes on; moments by chance")
def test_killed_twice_in_a_row(runs: Runs, tmp_path: Path, expected: list[bytes], rng: random.Random) -> None:
    count = len(operations(runs, new_folder(tmp_path, "undisturbed")))
    for number in range(1, count + 1):
        folder = new_folder(tmp_path, f"twice-{number}")
        first, second = rng.choice(KILLS), rng.choice(KILLS)
        moment = rng.randrange(1, count)
        assert was_killed(runs.run(folder, f"op=* nth={number} do={first}"))
        accepted, before = tasks_accepted(folder), calls(folder)
        over = (folder / "out/_manifest.json").exists() and not any(folder.glob(".out.mapreduce/*/plan/*"))
        ended = runs.run(folder, f"op=* nth={moment} do={second}")
        assert was_killed(ended) or ended.code == 0 or over, f"{number} {first}, {moment} {second}: {ended}"
        assert tasks_called(calls(folder) - before) & accepted == set(), (
            f"{number} {first}, {moment} {second}"
        )
        if was_killed(ended):
            go_on(runs, folder, expected, 2)
        assert parts(folder) == expected
        shutil.rmtree(folder)


@pytest.mark.sweep
@pytest.mark.timeout(300)
@pytest.mark.covers("C1", "SIGKILL of the coordinator at every fourth store operation, with real workers")
def test_killed_with_real_workers(runs: Runs, tmp_path: Path, expected: list[bytes]) -> None:
    all_of_them = operations(runs, new_folder(tmp_path, "undisturbed"), on="processes")
    count = sum(line.startswith("coordinator") for line in all_of_them)
    for number, how in itertools.product(range(1, count + 1, 4), KILLS):
        folder = new_folder(tmp_path, f"real-{how}-{number}")
        ended = runs.run(folder, f"op=* who=coordinator nth={number} do={how}", on="processes")
        # Two acceptances at once are one entry of the log, so the number of operations is a little by chance.
        assert was_killed(ended) or (ended.code == 0 and number > count - 8), f"operation {number} of {count}"
        if was_killed(ended):
            go_on(runs, folder, expected, 1, running=2, on="processes")
        shutil.rmtree(folder)


@pytest.mark.sweep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", KILLS)
def test_a_job_without_a_reduce_killed_at_every_store_operation(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    undisturbed = new_folder(tmp_path, "undisturbed")
    count = len(operations(runs, undisturbed, with_reduce=False))
    for number in range(1, count + 1):
        folder = new_folder(tmp_path, f"{how}-{number}")
        assert was_killed(runs.run(folder, f"op=* nth={number} do={how}", with_reduce=False))
        go_on(runs, folder, parts(undisturbed), 1, with_reduce=False)
        shutil.rmtree(folder)

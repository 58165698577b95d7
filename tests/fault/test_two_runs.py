"""Two runs to one output: whoever ends, and whenever, what the manifest names stays."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, Records, Sum, run
from mapreduce import manifest as manifests
from mapreduce.errors import MapReduceError, OutputExists
from mapreduce.manifest import verify
from mapreduce.place import Place, place_of, run_directory
from mapreduce.store import layout


def job(output: str, during: Any = lambda: None, value: int = 1) -> Job:
    def mapper(record: int) -> Any:
        during()
        return [("k", value)]

    return Job("two", Records([1]), mapper, Sum(), output)


def once(action: Any) -> Any:
    left = [action]
    return lambda: left.pop()() if left else None


def assert_sound(value: int, output: str = "out") -> None:
    assert verify(Path(output))[1] == []
    assert list(JobResult.load(output)) == [("k", value)]
    assert list(Path().glob(".*")) == []


def test_a_run_within_a_run_wins_and_the_other_leaves_it_alone() -> None:
    inner = once(lambda: run(job("out", value=7), on="serial"))
    with pytest.raises(OutputExists, match="got a result of another run meanwhile"):
        run(job("out", inner), on="serial")
    assert_sound(7)


def test_a_run_that_fails_does_not_touch_what_another_has_committed() -> None:
    def fail() -> None:
        run(job("out", value=7), on="serial")
        raise ValueError

    with pytest.raises(MapReduceError):
        run(job("out", fail), on="serial")
    assert_sound(7)


def test_the_last_of_two_overwrites_stays() -> None:
    run(job("out"), on="serial")
    inner = once(lambda: run(job("out", value=7), on="serial", overwrite=True))
    run(job("out", inner, value=8), on="serial", overwrite=True)
    assert_sound(8)


def test_a_result_that_is_published_while_garbage_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run(job("out"), on="serial")
    read = manifests.names_of_files
    inner = once(lambda: run(job("out", value=7), on="serial", overwrite=True))

    def reads(directory: Path) -> set[str]:
        names = read(directory)
        if armed:
            inner()
        return names

    armed: list[int] = []
    monkeypatch.setattr(manifests, "names_of_files", reads)

    def fail() -> None:
        armed.append(1)
        raise ValueError

    with pytest.raises(MapReduceError):
        run(job("out", fail), on="serial", overwrite=True)
    monkeypatch.setattr(manifests, "names_of_files", read)
    assert_sound(7)


def test_one_output_under_two_names() -> None:
    Path("real").mkdir()
    os.symlink("real", "link")

    def other_fails() -> None:
        with pytest.raises(MapReduceError):
            run(job("real", lambda: 1 // 0), on="serial")

    run(job("link", once(other_fails), value=7), on="serial")
    assert_sound(7, "real")


def test_a_run_that_was_taken_for_dead_at_its_start_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(job("out"), "20260101T000000-00000000")
    flock = fcntl.flock

    def overtaken(stream: Any, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        with run_directory(Place("20260101T000000-00000001", place.output, place.root, kept=False)):
            assert not place.directory.exists(), "the other run has removed it"
        flock(stream, operation)

    monkeypatch.setattr(fcntl, "flock", overtaken)
    with run_directory(place):
        assert (place.directory / layout.LOCK).exists()
    assert list(Path().iterdir()) == []


def test_a_damaged_manifest_can_be_overwritten() -> None:
    run(job("out"), on="serial")
    Path("out/_manifest.json").write_bytes(b"{")
    assert run(job("out", value=7), on="serial", overwrite=True).manifest.previous == ""
    assert_sound(7)


def test_strange_things_beside_the_runs_are_left_alone() -> None:
    Path(".out.mapreduce/odd/lock").mkdir(parents=True)
    Path(".out.mapreduce/file").touch()
    run(job("out"), on="serial")
    assert sorted(path.name for path in Path(".out.mapreduce").iterdir()) == ["file", "odd"]

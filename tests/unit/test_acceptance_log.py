"""What is accepted is logged at once, until a run has so many quick tasks that entries are shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce import Job, Records, Sum, manifest, run
from mapreduce.coordinator.log import (
    PATIENCE,
    PROMPT_ENTRIES,
    Acceptance,
    AcceptanceLog,
    Unlogged,
    read_log,
)
from mapreduce.model import AttemptRecord, Kind, Result, TaskId, Work
from mapreduce.protocols import Store
from mapreduce.store import layout, open_store


def acceptance(index: int, seconds: float = 0.0) -> Acceptance:
    record = AttemptRecord(f"map {index}", 1, 0, "succeeded", seconds)
    return Acceptance(TaskId(Kind.MAP, index), Result(Work(), {}), record)


@pytest.fixture
def store(own_folder: Path) -> Store:
    return open_store(own_folder / "run")


def experienced(store: Store) -> Unlogged:
    """Of a run that has written its first entries."""
    unlogged = Unlogged(AcceptanceLog(store, 1))
    for index in range(PROMPT_ENTRIES):
        unlogged.add(acceptance(index), 0.0)
        assert unlogged.patience(0.0) <= 0, "the first ones are written at once"
        unlogged.write()
    return unlogged


def test_quick_attempts_share_an_entry_after_the_first_ones(store: Store) -> None:
    unlogged = experienced(store)
    assert unlogged.patience(5.0) > 1000, "nothing waits"
    unlogged.add(acceptance(1000), 5.0)
    unlogged.add(acceptance(1001), 5.0 + PATIENCE / 2)
    assert 0 < unlogged.patience(5.0 + PATIENCE / 2) <= PATIENCE / 2, "the first one's time counts"
    assert unlogged.patience(5.0 + PATIENCE * 1.01) <= 0
    unlogged.write()
    assert len(store.list(layout.LOG)) == PROMPT_ENTRIES + 1
    assert len(read_log(store).by_task) == PROMPT_ENTRIES + 2


def test_an_attempt_that_took_long_does_not_wait(store: Store) -> None:
    unlogged = experienced(store)
    unlogged.add(acceptance(1000), 5.0)
    unlogged.add(acceptance(1001, seconds=PATIENCE), 5.0)
    assert unlogged.patience(5.0) <= 0


def test_writing_nothing_makes_no_entry(store: Store) -> None:
    Unlogged(AcceptanceLog(store, 1)).write()
    assert store.list(layout.LOG) == []


def pairs(record: int) -> Iterator[tuple[int, int]]:
    if not record:
        yield record, 1


def test_a_run_of_quick_tasks_logs_each_of_them_in_few_entries_and_writes_its_manifest_s_text_once(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []

    def counted(value: object) -> bytes:
        texts.append(value)
        return encode(value)

    encode = manifest.canonical_json
    monkeypatch.setattr(manifest, "canonical_json", counted)
    result = run(Job("many", Records(range(1000), split_size=1), pairs, Sum(), "out"), on="serial", keep=True)
    (directory,) = Path(".out.mapreduce").iterdir()
    store = open_store(directory)
    assert len(read_log(store).by_task) == 1001
    assert PROMPT_ENTRIES < len(store.list(layout.LOG)) < 900
    assert len(texts) == 1
    assert list(result) == [(0, 1)]

"""Memory: what is spilled, what is streamed, what is refused; and whole runs under a hard limit."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.limited import Limited, run_limited, why_not
from mapreduce import (
    Collect,
    CollectSet,
    Count,
    CountDistinct,
    Job,
    JobResult,
    JsonLines,
    Quarantine,
    Records,
    Sum,
    TopK,
    TotalOrder,
    blocks,
    frames,
    room,
    run,
)
from mapreduce import mapper as mapper_module
from mapreduce.errors import MemoryExceeded, StorageError
from mapreduce.shuffle import buffer, segments, sorting
from mapreduce.testing import faults, run_sequential

from .watching import Watcher, calls, note

MB = 2**20


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds that small input is over, in this process."""
    monkeypatch.setattr(mapper_module, "SETTLE_PAIRS", 16)
    monkeypatch.setattr(mapper_module, "BLOCK_PAIRS", 16)
    monkeypatch.setattr(mapper_module, "BATCH", 8)
    monkeypatch.setattr(buffer, "RUN_BYTES", 500)
    monkeypatch.setattr(buffer, "STATE_BYTES", 500)
    monkeypatch.setattr(buffer, "FLUSH_ROWS", 32)
    monkeypatch.setattr(room, "MOST", 4_000)
    monkeypatch.setattr(segments, "CHUNK_BYTES", 400)
    monkeypatch.setattr(sorting, "LEAST_CHUNK", 200)
    monkeypatch.setattr(sorting, "MOST_CHUNK", 200)


def parts_of(result: JobResult) -> list[bytes]:
    return [result.part_bytes(part) for part in result.parts]


def numbered(record: int) -> Iterator[tuple[str, int]]:
    yield ("huge" if record % 10 else f"k{record}"), record


def listed(key: str, values: Iterator[int]) -> Iterator[Any]:
    yield key, list(values)


@frames
def frame_sums(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("key", value=pl.col("values").list.sum())


REDUCES = [
    listed,
    frame_sums,
    Collect(),
    Sum(),
    {"n": Count(), "kinds": CountDistinct(), "all": CollectSet(), "top": TopK(3), "in order": Collect()},
]


@pytest.mark.usefixtures("tiny")
@pytest.mark.covers("K10", "one key with 90 % of the pairs, and thresholds that it is over")
@pytest.mark.parametrize("partition", [None, TotalOrder()], ids=["hash", "by key"])
@pytest.mark.parametrize("reduce", REDUCES, ids=["function", "frames", "Collect", "Sum", "together"])
def test_a_key_that_is_larger_than_what_is_held(reduce: Any, partition: Any) -> None:
    job = Job(
        "huge", Records(list(range(3_000)), split_size=1_000), numbered, reduce, shards=2, partition=partition
    )
    result = run(job, on="serial")
    assert parts_of(result) == run_sequential(job).parts


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("partition", [None, TotalOrder()], ids=["hash", "by key"])
def test_values_of_a_huge_key_are_ordered(partition: Any) -> None:
    job = Job(
        "ordered",
        Records(list(range(3_000)), split_size=1_000),
        numbered,
        listed,
        shards=2,
        partition=partition,
        order_values=lambda value: -(value % 7),
    )
    assert parts_of(run(job, on="serial")) == run_sequential(job).parts


# ---------------------------------------------------------------- the map side


@pytest.mark.usefixtures("tiny")
def test_a_map_that_spills_and_begins_afresh_gives_nothing_twice() -> None:
    """It gives values that may change after a thousand that can't."""

    def late(record: int) -> Iterator[tuple[str, Any]]:
        yield f"k{record % 7}", [record] if record > 1_000 else record

    job = Job("late", Records(list(range(1_200)), split_size=600), late, listed, shards=2)
    assert parts_of(run(job, on="serial")) == run_sequential(job).parts


@pytest.mark.usefixtures("tiny")
def test_a_bad_record_after_a_spill_contributes_nothing() -> None:
    def fails(record: int) -> Iterator[tuple[str, int]]:
        yield f"k{record % 7}", record
        if record == 1_100:
            raise ValueError("bad")
        yield "all", record

    job = Job(
        "bad",
        Records(list(range(1_200)), split_size=600),
        fails,
        listed,
        shards=2,
        on_error=Quarantine(max_records=1),
    )
    result = run(job, on="serial")
    assert result.manifest.totals.set_aside == 1
    good = Job("bad", Records([r for r in range(1_200) if r != 1_100]), fails, listed, shards=2)
    assert parts_of(result) == run_sequential(good).parts


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("reduce", [listed, Sum(), Count()], ids=["function", "Sum", "Count"])
def test_a_record_may_give_any_number_of_pairs(reduce: Any) -> None:
    @blocks
    def many(records: list[int]) -> Iterator[tuple[str, int]]:
        return ((f"k{number % 50}", number) for record in records for number in range(record))

    job = Job("many", Records([5_000, 3]), many, reduce, shards=2)
    assert parts_of(run(job, on="serial")) == run_sequential(job).parts


@pytest.mark.usefixtures("tiny")
def test_a_disk_that_is_full_when_a_map_spills_is_no_fault_of_a_record() -> None:
    def mapper(record: int) -> Iterator[tuple[int, int]]:
        note(f"map {record}")
        yield record, record

    job = Job("full", Records(list(range(500))), mapper, listed, max_attempts=1)
    with faults("op=new_file path=data/map do=enospc times=always"), pytest.raises(StorageError):
        run(job, on="serial")
    assert set(calls("map").values()) == {1}, "no record is looked for"


@pytest.mark.covers("S7", "a map's sample of keys that comes wrong, to the coordinator")
@pytest.mark.parametrize("do", ["flip", "eio"])
def test_a_damaged_sample_of_keys_costs_its_map_another_run(do: str) -> None:
    job = Job(
        "sample", Records(list(range(40)), split_size=20), numbered, listed, shards=2, partition=TotalOrder()
    )
    watcher = Watcher()
    rules = "; ".join(f"op=read path=data/map-0 who=coordinator nth={nth} do={do}" for nth in range(1, 5))
    with faults(rules):
        result = run(job, workers=1, observers=[watcher])
    assert parts_of(result) == run_sequential(job).parts
    assert watcher.of("map 0") == [(1, "succeeded", ""), (2, "succeeded", "")]
    assert {end.kind for end in watcher.ended} == {"", "SegmentError"}


# ---------------------------------------------------------------- what can't fit


WANTS_ALL: list[tuple[Any, str]] = [
    (Collect(), "Collect"),
    (CollectSet(), "CollectSet"),
    ({"n": Count(), "all": Collect()}, "Collect"),
    (frame_sums, "A frame"),
]


@pytest.mark.covers("K10", "one key with 90 % of the pairs for a reduce that wants all of them at once")
@pytest.mark.parametrize(("reduce", "named"), WANTS_ALL, ids=["Collect", "CollectSet", "together", "frames"])
def test_what_a_key_takes_at_once_is_refused_before_it_is_taken(
    reduce: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST", 40_000)
    monkeypatch.setattr(room, "LEAST", 4)
    monkeypatch.setattr(room.Room, "left", lambda self: 100_000)
    monkeypatch.setattr("mapreduce.worker.Room", lambda most: room.Room(256 * MB))
    job = Job("wants", Records(list(range(30_000))), numbered, reduce, JsonLines("out"), shards=3)
    with pytest.raises(MemoryExceeded) as caught:
        run(job, on="serial")
    assert re.search(
        rf"{named}.* of the key 'huge', (about )?\d+,\d{{3}} values( so far)? in shard [012], "
        r"takes about .* [KM]B, where 97\.7 KB are left of the 256 MB that the worker may hold\.",
        caught.value.message,
    ), caught.value.message
    assert "Reduce by a function (key, values)" in caught.value.hint


# ---------------------------------------------------------------- under a hard limit

needs_groups = pytest.mark.skipif(
    bool(reason := why_not()), reason=reason or "memory control groups are there"
)

KEYS, PAIRS = 600_011, 1_300_000
LARGE = """
import sys
import polars as pl
from mapreduce import Collect, Job, JsonLines, Text, frames, run

KEYS, PAIRS, reduce = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

@frames
def thousand_each(frame):
    first = pl.col("line").cast(pl.Int64) * 1_000
    numbers = frame.select(n=pl.int_ranges(first, first + 1_000).explode())
    return numbers.select(key=pl.col("n") * 7_919 % KEYS, value=pl.format("{}{}", pl.lit("x" * 190), "n"))

def numbers(key, values):
    found = [int(value[190:]) for value in values]
    yield key, (len(found), sum(found))

job = Job("large", Text("numbers", block_size=500), thousand_each,
          Collect() if reduce == "collect" else numbers, JsonLines("out"), shards=1, memory="256MB")
if __name__ == "__main__":
    result = run(job, workers=1)
    print(result.manifest.totals.bytes_shuffled)
    print([attempt.kind for attempt in result.manifest.attempts if attempt.error])
"""


def run_large(keys: int, pairs: int, reduce: str) -> Limited:
    Path("numbers").write_text("".join(f"{number}\n" for number in range(pairs // 1_000)))
    Path("large.py").write_text(LARGE)
    command = [sys.executable, "large.py", str(keys), str(pairs), reduce]
    limited = run_limited(command, (256 + 150) * MB, {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert not limited.killed
    assert limited.peaks.worker <= 256 * MB
    assert limited.peaks.others <= 150 * MB
    return limited


@needs_groups
@pytest.mark.covers("K11", "600,000 distinct keys, 280 MB in one shard, under a hard limit")
def test_a_shard_larger_than_all_memory_gives_the_same_bytes() -> None:
    limited = run_large(KEYS, PAIRS, "numbers")
    assert limited.code == 0, limited.output
    shuffled, failures = limited.output.splitlines()[-2:]
    assert int(shuffled) > 256 * MB
    assert failures == "[]", "the budget is kept, not enforced"
    found: list[list[int]] = [[] for _ in range(KEYS)]
    for number in range(PAIRS):
        found[number * 7_919 % KEYS].append(number)
    expected = sha256()
    for key, numbers in enumerate(found):
        if numbers:
            expected.update(f'{{"key":{key},"value":[{len(numbers)},{sum(numbers)}]}}\n'.encode())
    (part,) = JobResult.load(Path("out")).parts
    assert part.digest == expected.hexdigest()


@needs_groups
@pytest.mark.covers("K10", "a Collect of 1.3 * 10**6 values, under a hard limit")
def test_a_list_that_can_not_fit_is_refused_under_a_hard_limit() -> None:
    limited = run_large(1, PAIRS, "collect")
    assert limited.code != 0
    assert re.search(
        r"MemoryExceeded: Collect\(\) of the key 0, about 1,\d{3},\d{3} values in shard 0, "
        r"takes about .* [MG]B, where \d+ MB are left of the 256 MB that the worker may hold",
        limited.output,
    ), limited.output
    assert not list(Path().glob("out/part-*"))

"""What has changed since a run was begun is told by name."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Csv, Files, Input, Job, Parquet, Records, Sum, Text, TotalOrder
from mapreduce.changes import differences, only_reduce_changed
from mapreduce.cli.jobfile import load_job
from mapreduce.codec import canonical_json, from_plain, pack, unpack
from mapreduce.model import Cut, InputFile, Plan, Split
from mapreduce.plan import make_plan
from mapreduce.protocols import Block

Change = Callable[[Job], Job]


def words(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def pairs(line: str) -> Iterator[tuple[str, int]]:
    yield line, 1


def count(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield key, sum(values)


def longest(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield key, max(values)


@pytest.fixture
def job(own_folder: Path) -> Job:
    Path("in.log").write_text("a b c\n" * 200)
    return Job("words", "in.log", words, count, "out", shards=4)


def plan(job: Job, limit: int | None = None) -> Plan:
    return make_plan(job, "run", limit)


CHANGES: dict[str, tuple[Change, list[str]]] = {
    "nothing": (lambda job: replace(job), []),
    "what no result depends on": (lambda job: replace(job, max_attempts=9, allow_empty=True), []),
    "shards": (lambda job: replace(job, shards=8), ["shards: 4 → 8"]),
    "map": (lambda job: replace(job, map=pairs), ["map has changed"]),
    "reduce": (lambda job: replace(job, reduce=longest), ["reduce has changed"]),
    "an aggregate": (lambda job: replace(job, reduce=Sum()), ["reduce has changed"]),
    "combine": (lambda job: replace(job, combine=lambda key, values: sum(values)), ["combine was added"]),
    "no reduce": (lambda job: replace(job, reduce=None), ["reduce was removed"]),
    "partition": (
        lambda job: replace(job, partition=TotalOrder()),
        ["by_key: False → True", "partition was added"],
    ),
    "order": (lambda job: replace(job, order_values=lambda value: value), ["order_values was added"]),
    "key names": (lambda job: replace(job, key_names=("a", "b")), ["key_names: none → ('a', 'b')"]),
    "side": (lambda job: replace(job, side={"a": 1}), ["side has changed"]),
    "output": (lambda job: replace(job, output="other"), ["output paths: ['out'] → ['other']"]),
    "an option of the source": (
        lambda job: replace(job, source=Text("in.log", split_size=100)),
        ["source split_size: 33554432 → 100"],
    ),
    "two at once": (
        lambda job: replace(job, shards=2, map=pairs, reduce=longest),
        ["shards: 4 → 2", "map has changed", "reduce has changed"],
    ),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_job_is_told(job: Job, change: Change, told: list[str]) -> None:
    assert differences(plan(job), plan(change(job))) == told


def test_what_was_taken_away_is_told(job: Job) -> None:
    combining = replace(job, combine=lambda key, values: sum(values))
    assert differences(plan(combining), plan(job)) == ["combine was removed"]


def test_a_limit_is_told(job: Job) -> None:
    assert differences(plan(job), plan(job, limit=3)) == ["limit: none → 3"]


def test_one_of_several_maps_is_told(job: Job) -> None:
    def joined(second: Any) -> Job:
        return Job("join", [Input("in.log", words), Input("in.log", second)], reduce=Sum())

    assert differences(plan(joined(words)), plan(joined(pairs))) == ["map 1 has changed"]
    assert plan(joined(words)).functions.keys() == {"map 0", "map 1", "reduce"}


def test_changed_files_are_told(job: Job) -> None:
    for name in ("a.log", "c.log"):
        Path(name).write_text("a\n")
    before = plan(replace(job, source="*.log"))
    Path("in.log").write_text("a b c\n" * 300)
    Path("b.log").write_text("b\n")
    Path("c.log").unlink()
    os.utime("a.log", (1, 1))
    assert differences(before, plan(replace(job, source="*.log"))) == [
        "a.log has changed since (same size)",
        "c.log is gone",
        "in.log has changed (1,200 → 1,800 bytes)",
        "b.log is new",
    ]


def test_of_many_files_a_few_are_told(job: Job) -> None:
    before = plan(replace(job, source="*.log"))
    for number in range(17):
        Path(f"{number:02}.log").write_text("a\n")
    told = differences(before, plan(replace(job, source="*.log")))
    assert told == [*(f"0{number}.log is new" for number in range(5)), "… and 12 more files"]


def test_hostile_names_are_told_as_text(job: Job) -> None:
    before = plan(replace(job, source="*.log"))
    Path("\x1b[2J.log").write_text("a\n")
    assert differences(before, plan(replace(job, source="*.log"))) == [r"\x1b[2J.log is new"]


def test_a_file_that_is_read_twice_is_told(job: Job) -> None:
    before = plan(replace(job, source=["in.log"]))
    after = replace(plan(replace(job, source=["in.log", "in.log"])), settings=before.settings)
    assert differences(before, after) == ["in.log is read 2 times instead of 1 time"]


def test_versions_are_told(job: Job) -> None:
    now = plan(job)
    assert {"python", "polars", "mapreduce"} <= now.versions.keys()
    old = replace(now, versions={**now.versions, "polars": "2.1.0", "gone": "1"})
    new = replace(now, versions={**now.versions, "polars": "2.2.0"})
    assert differences(old, new) == ["polars 2.1.0 → 2.2.0", "gone 1 → none"]


def test_other_cuts_are_told_if_nothing_explains_them(job: Job) -> None:
    now = plan(job)
    first = now.splits[0]
    cut = replace(now, splits=(replace(first, stop=600), replace(first, index=1, start=600)))
    assert differences(now, cut) == ["the input is cut otherwise (1 → 2 map tasks)"]
    assert differences(now, replace(now, shards=5)) == ["the number of reduce tasks has changed (4 → 5)"]
    assert differences(now, replace(cut, versions={})) == [f"{a} {b} → none" for a, b in now.versions.items()]
    two = replace(now, inputs=(*now.inputs, replace(now.inputs[0], uri="b")))
    assert differences(two, replace(two, inputs=two.inputs[::-1])) == [
        "the files of the input have another order"
    ]


def test_items_in_memory_are_told(own_folder: Path) -> None:
    def of(*items: Any) -> Plan:
        return plan(Job("memory", Records(items), pairs, count))

    assert differences(of("a", "b"), of("a", "b")) == []
    assert differences(of("a", "b"), of("a", "c")) == ["source has changed"]
    assert differences(of("a", "b"), of("a")) == [
        "source has changed",
        "the input in memory has changed (2 → 1 records)",
    ]


# ---------------------------------------------------------------- only the reduce


@pytest.mark.parametrize(
    ("change", "only"),
    [
        (lambda job: replace(job), False),
        (lambda job: replace(job, reduce=longest), True),
        (lambda job: replace(job, reduce=Sum()), True),
        (lambda job: replace(job, reduce=None), False),
        (lambda job: replace(job, map=pairs), False),
        (lambda job: replace(job, map=pairs, reduce=longest), False),
        (lambda job: replace(job, shards=3, reduce=longest), False),
        (lambda job: replace(job, side={"a": 1}, reduce=longest), False),
        (lambda job: replace(job, combine=lambda key, values: 1, reduce=longest), False),
        (lambda job: replace(job, source=Text("in.log", split_size=100), reduce=longest), False),
    ],
    ids=["none", "reduce", "aggregate", "gone", "map", "both", "shards", "side", "combine", "cuts"],
)
def test_whether_only_the_reduce_has_changed(job: Job, change: Change, only: bool) -> None:
    old, new = plan(job), plan(change(job))
    assert only_reduce_changed(old, replace(new, run_id="another")) is only
    assert only_reduce_changed(new, old) is only


def test_a_changed_file_or_version_is_more_than_the_reduce(job: Job) -> None:
    old = plan(job)
    assert not only_reduce_changed(old, replace(plan(replace(job, reduce=longest)), versions={}))
    Path("in.log").write_text("a\n")
    assert not only_reduce_changed(old, plan(replace(job, reduce=longest)))


def test_a_plan_says_whether_the_map_side_combines(job: Job) -> None:
    assert not plan(job).combines
    assert plan(replace(job, reduce=Sum())).combines
    assert not plan(replace(job, reduce=Sum(), order_values=lambda value: value)).combines


# ---------------------------------------------------------------- the plan


def test_a_plan_comes_back_from_json(own_folder: Path) -> None:
    for number in range(7):
        Path(f"{number}.bin").write_bytes(b"x" * number)
    job = Job("odd", Files("*.bin", per_task=3), pairs, {"n": Sum()}, shards=2, side={"ä\ud800": {1}})
    made = plan(job)
    assert [len(split.more) for split in made.splits] == [2, 2, 0]
    assert from_plain(Plan, json.loads(canonical_json(made))) == made
    assert from_plain(Plan, unpack(pack(made))) == made


class Own:
    """A source as a user may write one: it remembers what it did, and has no text of its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.calls = 0

    def files(self) -> list[InputFile]:
        self.calls += 1
        return [InputFile("own:", 1, "x")]

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        self.calls += 1
        return [Cut(files[0], 0, 1)]

    def read(self, split: Split) -> Iterator[Block]:
        self.calls += 1
        yield from Records(["a"]).read(split)


class OwnText(Text):
    """A dataset of files that is read in a way of its own."""


def test_settings_say_what_was_asked_for_and_where_nothing_lies(own_folder: Path) -> None:
    assert differences(plan(Job("own", Own(1), pairs)), plan(Job("own", Own(1), pairs))) == []
    assert differences(plan(Job("own", Own(1), pairs)), plan(Job("own", Own(2), pairs))) == [
        "source has changed"
    ]
    Path("in.log").write_text("a\n")
    schema = {"key": str, "value": int}
    for source in (Text("in.log"), OwnText("in.log"), Csv("in.log", schema=schema), Own(1)):
        settings = plan(Job("own", source, pairs, Sum(), Parquet("out", schema=schema))).settings
        assert not [text for text in settings.values() if re.search(r"0x[0-9a-f]{6}", text)]
        assert settings["output schema"] == "{'key': str, 'value': int}"
    text, own = plan(Job("own", Text("in.log"), pairs)), plan(Job("own", OwnText("in.log"), pairs))
    assert differences(text, own)[0] == "source: Text → OwnText"


SCRIPT = """
from mapreduce import Job, Text, Csv, Parquet, Sum, Records
from mapreduce.plan import make_plan
def f(x):
    return [(x in {"a", "b", "c"}, 1)]
side = {"names": set("abcdefg"), "function": f}
job = Job("j", Csv("in.csv", header=True), f, {"n": Sum(), "m": Sum(of=f)}, "out", side=side, key_names=["k"])
plan = make_plan(job, "run")
print(plan.code, plan.options)
"""


STARTED = """
import enum, logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar
from mapreduce import Job, Records, Sum
T = TypeVar("T")
class Colour(enum.IntEnum):
    RED = 1
@dataclass
class Row(Generic[T]):
    x: T
    y: "int | None" = None
class Pair(NamedTuple):
    a: int
    b: str = "q"
@lru_cache(maxsize=3)
def parsed(x):
    return Row(Pair(x)), Colour.RED
def f(x):
    return [(parsed(x), 1)]
job = Job("j", Records([1]), f, Sum(of=lambda value: value))
"""


def test_it_does_not_matter_how_a_job_file_is_started(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a script it is `__main__`, imported it has its own name, and from the command line another one."""
    Path("begun.py").write_text(STARTED)
    monkeypatch.syspath_prepend(own_folder)
    monkeypatch.delitem(sys.modules, "begun", raising=False)
    script = runpy.run_path("begun.py", run_name="__main__")
    imported = importlib.import_module("begun")
    monkeypatch.delitem(sys.modules, "begun")
    jobs = [script["job"], imported.job, load_job("begun.py")]
    assert len({plan(job).code for job in jobs}) == 1


def test_a_plan_s_hashes_are_the_same_in_every_process(own_folder: Path) -> None:
    Path("in.csv").write_text("a,b\n1,2\n")
    found = set()
    for seed in ("0", "1", "random"):
        Path(f"job{seed}.py").write_text("\n" * len(seed) + SCRIPT)
        done = subprocess.run(
            [sys.executable, f"job{seed}.py"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            timeout=60,
        )
        found.add(done.stdout)
    assert len(found) == 1

"""Keys and values that are hard: one test for each row of the fault matrix, by the row's own injection."""

import datetime as dt
import enum
import os
import random
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from property.strategies import NAN, ODD_NAN, exact

from mapreduce import Collect, Identity, Job, JobResult, JsonLines, Records, Sum, Text, frames, run
from mapreduce.errors import KeyTypeError, RecordTooLarge
from mapreduce.executors import processes
from mapreduce.sinks.markdown import markdown
from mapreduce.sinks.news import news_of
from mapreduce.testing import run_sequential


def by_key(pairs: list[Any], *, shards: int = 1) -> list[tuple[Any, list[Any]]]:
    """Groups of pairs that come from several maps; the same as the reference's."""
    job = Job("keys", Records(pairs, split_size=2), Identity(), Collect(), shards=shards)
    result = run(job, on="serial")
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts
    return list(result)


def numbered(keys: list[Any]) -> list[Any]:
    return [(key, number) for number, key in enumerate(keys)]


def words(line: str, ctx: Any) -> Iterator[tuple[str, int]]:
    if ctx.location.offset == 0:  # the first map goes on when another process has begun to work
        while len(list(Path(ctx.side["seen"]).iterdir())) < 1:
            time.sleep(0.01)
    else:
        (Path(ctx.side["seen"]) / str(os.getpid())).touch()
    ctx.count(f"hash {hash('word')}")
    for word in line.split():
        yield word, 1


@pytest.mark.covers("K1", "every worker with another PYTHONHASHSEED")
def test_workers_with_different_hash_seeds(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    lines = [" ".join(f"w{rng.randrange(300)}" for _ in range(20)) for _ in range(400)]
    Path("words").write_text("\n".join(lines))
    Path("seen").mkdir()
    side = {"seen": str(Path("seen").resolve())}
    job = Job("seeds", Text("words", split_size=2_000), words, Sum(), shards=5, side=side)
    spawn, start = get_context("spawn"), processes.ProcessExecutor._add_worker

    def seeded(executor: Any) -> None:
        monkeypatch.setenv("PYTHONHASHSEED", str(rng.randrange(2**32)))
        start(executor)

    monkeypatch.setattr(processes, "get_context", lambda method: spawn)
    monkeypatch.setattr(processes.ProcessExecutor, "_add_worker", seeded)
    result = run(job, workers=3)
    assert len([name for name in result.counters if name.startswith("hash")]) > 1, "workers shared a seed"
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts


@pytest.mark.covers("K2", "True, 1, 1.0; 0.0, -0.0; 2**53 + 1 beside floats; 2**70")
@pytest.mark.parametrize("shards", [1, 4])
def test_equal_numbers_are_one_group(shards: int) -> None:
    given = [1.0, True, 1, -0.0, 0, 0.0, False, 2.0**53, 2**53, 2**53 + 1, 2**70, 2.0**70, 2**70 + 1]
    found = {repr(key): values for key, values in by_key(numbered(given), shards=shards)}
    assert found == {
        "-0.0": [3, 4, 5, 6],
        "1.0": [0, 1, 2],
        "9007199254740992.0": [7, 8],
        "9007199254740993": [9],
        str(2**70): [10, 11],
        str(2**70 + 1): [12],
    }


@pytest.mark.covers("K3", "two NaN objects, the same one twice, NaN in a tuple")
def test_all_nan_are_one_group_and_last() -> None:
    given = [3, NAN, 1, NAN, 2, ODD_NAN, float("inf"), (NAN,), (ODD_NAN,)]
    found = by_key(numbered(given))
    assert [repr(key) for key, _ in found] == ["1", "2", "3", "inf", "nan", "(nan,)"]
    assert [values for _, values in found][-2:] == [[1, 3, 5], [7, 8]]


@pytest.mark.covers("K4", "str and bytes, NFC and NFD, a lone surrogate, bytearray")
def test_text_and_bytes_are_never_the_same() -> None:
    given = ["a", b"a", "é", "e\u0301", "\ud800", "a", b"\xff", "\ud800"]
    found = by_key(numbered(given))
    assert exact([key for key, _ in found]) == exact(["a", "e\u0301", "é", "\ud800", b"a", b"\xff"])
    assert dict(found)["\ud800"] == [4, 7]
    with pytest.raises(KeyTypeError, match=r"bytearray.*\n.*Write bytes\(key\)") as caught:
        by_key([(bytearray(b"a"), 1)])
    assert "Identity" in str(caught.value)


@pytest.mark.covers("K5", "None, empty str, bytes and tuple")
def test_empty_keys() -> None:
    assert by_key(numbered(["", (), None, b"", None, ""])) == [
        (None, [2, 4]),
        ("", [0, 5]),
        (b"", [3]),
        ((), [1]),
    ]


@pytest.mark.covers("K6", "nested tuples with such keys inside, (1,) and 1, ('a', 'bc') and ('ab', 'c')")
@pytest.mark.parametrize("shards", [1, 3])
def test_tuples_come_back_as_tuples(shards: int) -> None:
    given = [
        (1,),
        1,
        ("a", "bc"),
        ("ab", "c"),
        (1.0,),
        ((True,), None),
        ((1,), None),
        ("a", (b"", ())),
        ("a", "bc"),
    ]
    found = {repr(key): values for key, values in by_key(numbered(given), shards=shards)}
    assert found == {
        "1": [1],
        "(1,)": [0, 4],
        "((True,), None)": [5, 6],
        "('a', 'bc')": [2, 8],
        "('a', (b'', ()))": [7],
        "('ab', 'c')": [3],
    }


@pytest.mark.covers("K7", "list, dict, set and object as keys")
@pytest.mark.parametrize(
    "key", [[1], {"a": 1}, {1}, object(), ("a", [1])], ids=lambda key: type(key).__name__
)
def test_keys_without_order_are_refused_with_their_record(key: Any) -> None:
    def emit(record: int) -> list[Any]:
        return [(key if record == 7 else "good", 1)]

    with pytest.raises(KeyTypeError, match=r"map `.*emit` .*, Records, item 7: A key of type") as caught:
        run(Job("keys", Records(range(9)), emit, Sum()), on="serial")
    assert "record: 7" in caught.value.message
    assert caught.value.hint


@pytest.mark.covers("K8", "all types of keys in one job")
def test_mixed_types_are_in_order() -> None:
    utc = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    ordered = [
        None,
        -1,
        0.5,
        True,
        2**80,
        NAN,
        "",
        "a",
        b"",
        dt.date(2024, 1, 1),
        dt.datetime(1999, 1, 1),
        utc,
        (),
    ]
    given = ordered[:]
    random.Random(1).shuffle(given)
    assert exact([key for key, _ in by_key(numbered(given))]) == exact(ordered)


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")
NEW_YEAR = dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.covers("K9", "numpy scalars, Decimal, datetime, Enum, a subclass of str, a namedtuple")
@pytest.mark.parametrize(
    ("key", "outcome"),
    [
        ("numpy int64", "Write key.item()."),
        ("numpy str", "Write key.item()."),
        (Decimal(1), "Write str(key) or float(key)."),
        (Colour.RED, "Write int(key)."),
        (Name("a"), "Write str(key)."),
        (Point(1, 2), "Write tuple(key)."),
        (dt.datetime(2024, 1, 1, fold=1), dt.datetime(2024, 1, 1)),
        (NEW_YEAR, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        (dt.date(2024, 1, 1), dt.date(2024, 1, 1)),
    ],
    ids=repr,
)
def test_other_types_are_converted_or_refused(key: Any, outcome: Any) -> None:
    import numpy

    key = (
        {"numpy int64": numpy.int64(1), "numpy str": numpy.str_("a")}.get(key, key)
        if type(key) is str
        else key
    )
    if type(outcome) is not str:
        assert exact([found for found, _ in by_key([(key, 1)])]) == exact([outcome])
        return
    with pytest.raises(KeyTypeError) as caught:
        by_key([(key, 1)])
    assert outcome in str(caught.value)


# ---------------------------------------------------------------- sizes

SKEWED = """
import sys
import polars as pl
from mapreduce import Job, Text, frames, run

@frames
def spread(frame):
    line = pl.col("line").cast(pl.Int64)
    key = pl.when(line % 10 == 0).then(pl.format("k{}", line)).otherwise(pl.lit("huge"))
    pairs = frame.select(key=key, value=line)
    return pairs.select(pl.col("key").repeat_by(100).explode(), pl.col("value").repeat_by(100).explode())

def total(key, values):
    number = added = 0
    for value in values:
        number += 1
        added += value
    yield key, (number, added)

result = run(Job("skew", Text("numbers", split_size="60KB"), spread, total, shards=1), on="serial")
print(dict(result)["huge"])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.covers("K10", "one key with 90 % of the pairs, 10**7 values")
def test_a_huge_key_is_streamed_and_named() -> None:
    """In memory the shard takes 1.3 GB."""
    numbers = range(112_000)
    Path("numbers").write_text("".join(f"{number}\n" for number in numbers))
    Path("job.py").write_text(SKEWED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "job.py"], capture_output=True, text=True, timeout=110, env=environment
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found, peak = done.stdout.splitlines()
    huge = [number for number in numbers if number % 10]
    assert len(huge) * 100 > 10**7
    assert found == str((100 * len(huge), 100 * sum(huge)))
    assert int(peak) < 500_000, f"{peak} KB"
    (kept,) = Path(".mapreduce/skew").glob("*/output")
    report = markdown(news_of(JobResult.load(kept)).report)
    assert "the key 'huge' has 10,080,000 pairs, 90 % of all, for one task" in report


@frames
def ten_thousand_each(frame: pl.DataFrame) -> pl.DataFrame:
    first = pl.col("line").cast(pl.Int64) * 10_000
    return frame.select(key=pl.int_ranges(first, first + 10_000).explode()).with_columns(value=pl.lit(1))


@frames
def how_many(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key=pl.lit("groups"), value=pl.len())


@pytest.mark.covers("K11", "10**7 distinct keys for eight reducers, 10**6 for one")
@pytest.mark.parametrize("shards", [1, 8])
def test_ten_million_keys(shards: int) -> None:
    numbers = 1_000 if shards == 8 else 100
    Path("numbers").write_text("".join(f"{number}\n" for number in range(numbers)))
    job = Job(
        "keys", Text("numbers", split_size=600), ten_thousand_each, how_many, JsonLines("out"), shards=shards
    )
    result = run(job, workers=2)
    assert sum(count for _, count in result) == result.manifest.totals.groups == numbers * 10_000
    assert len(result.parts) == shards


@pytest.mark.covers("K11", "50 reducers for two keys: empty ones")
@pytest.mark.parametrize("output", [None, JsonLines("out"), Text("out")], ids=["kept", "json", "text"])
def test_empty_parts_are_valid(output: Any) -> None:
    job = Job("few", Records(["a", "b", "a"]), lambda record: [(record, 1)], Sum(), output, shards=50)
    result = run(job, on="serial")
    assert [part.records for part in result.parts].count(0) == 48
    assert sorted(dict(result)) == ["a", "b"]
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts
    assert subprocess.run([sys.executable, "-m", "mapreduce", "verify", result.path]).returncode == 0


@pytest.mark.covers("K12", "a value of 100 MB, a key of 1 MB, values that look like separators")
def test_large_keys_and_values() -> None:
    key, separators = "k" * 2**20, ["\n", "\t", "\0", "\r\n", ",", '"', b"\n", ""]

    def large(record: int) -> list[Any]:
        return [(key, value) for value in separators] + [("value", "x" * 100_000_000)]

    result = dict(run(Job("large", Records([1]), large, Collect(), shards=2), on="serial"))
    assert exact(result[key]) == exact(separators)
    assert len(result["value"][0]) == 100_000_000
    Path("line").write_bytes(b"y" * 2**20 + b"y" + b"\nz\n")
    job = Job("lines", Text("line", max_record="1MB"), lambda line: [(line, 1)], Sum())
    with pytest.raises(RecordTooLarge, match=r"line: the record at byte 0 is longer than max_record"):
        run(job, on="serial")


def joined(key: Any, values: Iterator[float]) -> float:
    return sum(values)


def added(key: Any, values: Iterator[float]) -> list[Any]:
    return [(key, sum(values))]


@pytest.mark.covers("K13", "floats whose sum depends on the order of addition")
def test_float_sums_are_the_same_to_the_bit(rng: random.Random) -> None:
    pairs: list[tuple[str, float]] = []
    while sum(value for _, value in pairs) == sum(value for _, value in reversed(pairs)):
        pairs = [(rng.choice("abc"), rng.uniform(-1, 1) * 10 ** rng.randint(-18, 18)) for _ in range(30_000)]
    source = Records(pairs, split_size=1_000)
    plain = Job("sums", source, Identity(), added, shards=2)
    expected = exact(sorted(run_sequential(plain).records))
    for workers in (1, 3):
        assert exact(sorted(run(plain, workers=workers))) == expected
    combined = Job("sums", source, Identity(), added, shards=2, combine=joined)
    sums = {repr(sorted(run(combined, workers=workers))) for workers in (1, 2, 4)}
    assert len(sums) == 1, "where values are combined depends on time"
    exactly = Job("sums", source, Identity(), Sum(), shards=2)
    assert exact(sorted(run(exactly, workers=2))) == exact(sorted(run_sequential(exactly).records))

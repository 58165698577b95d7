"""The reference law: any job gives the part files of `run_sequential`, byte for byte.

Whatever the cuts of the input, the shards, the workers and PYTHONHASHSEED.
"""

import contextlib
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property.strategies import (
    EQUAL_NUMBERS,
    FUNCTIONS,
    LARGE_NUMBERS,
    TEXTS,
    Case,
    cases,
    each_of,
    exact,
    fields,
    rows,
    summable,
)

from mapreduce import (
    Collect,
    Count,
    CountDistinct,
    Job,
    JobResult,
    JsonLines,
    Max,
    Quantiles,
    Records,
    Sum,
    Text,
    TopK,
    blocks,
    ordering,
    room,
    run,
)
from mapreduce import mapper as mapper_module
from mapreduce.datasets import records as records_module
from mapreduce.shuffle import buffer, groups, segments, sorting
from mapreduce.testing import SequentialResult, reference, run_sequential

SCRIPT = Path(__file__).with_name("law_script.py")


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """Each example has a folder of its own, because results are kept in it."""
    with TemporaryDirectory() as name, contextlib.chdir(name):
        yield Path(name)


def check(job: Job, result: JobResult, expected: SequentialResult) -> None:
    """The result is the reference's, in every respect."""
    parts = [(result.path / part.name).read_bytes() for part in result.parts]
    if job.reduce is None:
        assert b"".join(parts) == b"".join(expected.parts)
    else:
        assert parts == expected.parts
    assert result.counters == expected.counters
    assert [part.digest for part in result.parts] == [hashlib.sha256(part).hexdigest() for part in parts]
    assert sum(part.records for part in result.parts) == len(expected.records)
    totals = result.manifest.totals
    assert (totals.records_in, totals.pairs) == (expected.records_in, expected.pairs)
    if job.output is None:
        assert exact(list(result)) == exact(expected.records)


def hold(job: Job, limit: int | None = None) -> None:
    """The law, for one job in this process."""
    check(job, run(job, on="serial", limit=limit), run_sequential(job, limit=limit))


# ---------------------------------------------------------------- random jobs


@given(cases())
def test_any_job(case: Case) -> None:
    with fresh_folder() as folder:
        hold(case.job(folder), case.limit)


@given(cases(), st.sampled_from([4, 60, 300, 1_000]), st.sampled_from([1, 120, 600]))
def test_any_job_with_small_thresholds(case: Case, at_once: int, run_bytes: int) -> None:
    """Where the engine groups, flushes, spills and cuts early, which small input never makes it do."""
    with fresh_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapper_module, "BATCH", 3)
        patch.setattr(mapper_module, "SETTLE_PAIRS", 4)
        patch.setattr(mapper_module, "SETTLE_BLOCKS", 2)
        patch.setattr(mapper_module, "BLOCK_PAIRS", 5)
        patch.setattr(buffer, "FLUSH_ROWS", 3)
        patch.setattr(buffer, "TALLY_KEYS", 2)
        patch.setattr(buffer, "TALLY_BYTES", 20)
        patch.setattr(buffer, "RUN_BYTES", run_bytes)
        patch.setattr(buffer, "STATE_BYTES", run_bytes)
        patch.setattr(groups, "BATCH", 2)
        patch.setattr(segments, "CHUNK_BYTES", 40)
        patch.setattr(records_module, "_BLOCK", 2)
        patch.setattr(segments, "READ_BYTES", 70)
        patch.setattr(room, "MOST", at_once)
        patch.setattr(sorting, "LEAST_CHUNK", 40)
        patch.setattr(sorting, "MOST_CHUNK", 40)
        patch.setattr(ordering, "PREFIX", 4)
        patch.setattr(ordering, "SAMPLES", 2)
        patch.setattr(reference, "SAMPLES", 2)
        hold(case.job(folder), case.limit)


def _keys(chance: random.Random, kind: str) -> Callable[[], Any]:
    mixed = [*EQUAL_NUMBERS, *LARGE_NUMBERS, *TEXTS, None, b"a", (), ("a", 1), ("a", 1.0), ("a", (True, b""))]
    kinds: dict[str, Callable[[], Any]] = {
        "few": lambda: chance.choice("abc"),
        "many": lambda: f"/page/{chance.randrange(4_000)}",
        "distinct": lambda: chance.getrandbits(63),
        "tuples": lambda: (f"10.0.0.{chance.randrange(50)}", chance.choice([200, 404, None])),
        "mixed": lambda: chance.choice(mixed),
    }
    return kinds[kind]


def _values(chance: random.Random, function: Any) -> Callable[[], Any]:
    def number() -> Any:
        large = chance.gauss(0, 1) * 10 ** chance.randint(-30, 30)
        return chance.choice([large, chance.getrandbits(62), None])

    def anything() -> Any:
        return chance.choice([chance.random(), chance.randrange(9), "x", None, (1, "y")])

    by_name: dict[str, Callable[[], Any]] = {
        "texts, combined": lambda: chance.choice("xyz"),
        "numbers, combined": lambda: chance.getrandbits(60),
    }
    by_kind: dict[int, Callable[[], Any]] = {
        id(summable): number,
        id(rows): lambda: (number(), anything()),
        id(fields): lambda: {"size": number(), "name": anything()},
    }
    return by_name.get(function.name) or by_kind.get(id(function.kinds), anything)


@pytest.mark.parametrize(
    "function", FUNCTIONS, ids=lambda function: function.name.replace(", ", "-").replace(" ", "-")
)
def test_larger_jobs(function: Any, rng: random.Random) -> None:
    """Thousands of pairs: batches fill, blocks settle, and groups grow beyond one batch."""
    kind = rng.choice(["few", "many", "distinct", "tuples", "mixed"])
    print(f"keys: {kind}")
    next_key = _keys(rng, kind)
    value = _values(rng, function)
    if function.wrap:
        value = lambda inner=value: [inner()]  # noqa: E731
    pairs = [[(next_key(), value()) for _ in range(rng.randrange(5))] for _ in range(1_200)]
    case = Case(pairs, function, each_of, shards=rng.randint(1, 7), split_size=rng.choice([200, 700, 10_000]))
    with fresh_folder() as folder:
        hold(case.job(folder))


# ---------------------------------------------------------------- workers and hash seeds


def _digests(folder: Path, seed: str, *hows: str) -> set[str]:
    """One line for each different result of each job."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(folder), *hows]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def test_workers_and_hash_seeds(own_folder: Path) -> None:
    expected = _digests(own_folder / "a", "0", "reference")
    assert len(expected) == 7
    assert _digests(own_folder / "b", "0", "serial", "1", "4") == expected
    assert _digests(own_folder / "c", "1", "reference", "2") == expected
    assert _digests(own_folder / "d", "random", "serial", "3") == expected


# ---------------------------------------------------------------- what users write


def log_fields(line: str) -> Iterator[Any]:
    parts = line.split(" ")
    if len(parts) > 9:
        yield parts[8], (parts[0], int(parts[9]) if parts[9].isdigit() else None, parts[6])


def hits(line: str, ctx: Any) -> Iterator[Any]:
    fields = line.split(" ")
    if len(fields) < 10:
        ctx.count("malformed")
        return
    yield fields[6].split("?", 1)[0], 1


def sizes(line: str) -> Iterator[Any]:
    fields = line.split(" ")
    if len(fields) > 9 and fields[9].isdigit():
        yield (fields[8], fields[0]), int(fields[9]) / 3


@blocks
def statuses(lines: list[str]) -> Iterator[Any]:
    for line in lines:
        yield line.split('" ', 1)[-1][:3], None


def sessions(key: Any, values: Iterator[Any]) -> Iterator[Any]:
    ordered = sorted(values)
    yield {"address": key, "first": ordered[0], "count": len(ordered)}


def clicks(line: str) -> Iterator[Any]:
    address, _, rest = line.partition(" ")
    yield address, rest[:40]


LOG_JOBS = {
    "hits": (hits, Sum(), None),
    "together": (
        log_fields,
        {
            "hits": Count(),
            "bytes": Sum(of=1),
            "p99": Quantiles([0.5, 0.99], of=1),
            "clients": CountDistinct(of=0),
            "largest": TopK(3, of=2, by=1),
        },
        "json",
    ),
    "sizes": (sizes, Sum(), None),
    "largest": (sizes, Max(), "json"),
    "statuses": (statuses, Count(), "json"),
    "sessions": (clicks, sessions, "json"),
    "collected": (clicks, Collect(), None),
}


def _log_job(name: str, path: Path, split_size: int) -> Job:
    function, reduce, output = LOG_JOBS[name]
    source = Text(path, split_size=split_size, block_size=10_000, errors="replace")
    return Job(name, source, function, reduce, JsonLines("out") if output else None, shards=3)


@pytest.mark.parametrize("name", LOG_JOBS)
def test_access_log(name: str, access_log: Path) -> None:
    hold(_log_job(name, access_log, 30_000))


@pytest.mark.parametrize("name", LOG_JOBS)
def test_real_access_log(name: str, real_logs: Path) -> None:
    hold(_log_job(name, real_logs / "apache_access.log", 600_000))


def first_and_rest(key: Any, values: Iterator[int]) -> Iterator[Any]:
    first = next(values)
    yield key, [first, *values]


def first_then_loop(key: Any, values: Iterator[int]) -> Iterator[Any]:
    for value in values:
        yield key, value
        break
    yield key, sum(values)


def paired(record: int) -> list[Any]:
    return [(record % 7, record)]


@pytest.mark.parametrize("reduce", [first_and_rest, first_then_loop])
def test_values_may_be_taken_in_steps(reduce: Any) -> None:
    """A group of one value too: nothing is left of it after the first, and that is no second pass."""
    hold(Job("steps", Records(range(10)), paired, reduce))


def test_a_list_may_be_returned_again() -> None:
    """A function may use one list for all its calls."""
    pairs: list[Any] = []

    def refilled(record: int) -> list[Any]:
        pairs[:] = [(record % 3, record)]
        return pairs

    hold(Job("refilled", Records(range(10)), refilled, Collect()))


def test_a_value_may_be_given_again() -> None:
    """And one list for all its values."""
    value: list[int] = []

    def refilled(record: int) -> list[Any]:
        value[:] = [record]
        return [(record % 3, value)]

    hold(Job("refilled", Records(range(10)), refilled, Collect()))


def test_the_context_goes_to_the_parameter_of_its_name() -> None:
    def first(ctx: Any, record: int) -> list[Any]:
        ctx.count("records")
        return [(record % 2, record)]

    def by_name(key: int, values: Iterator[int], *, ctx: Any) -> list[Any]:
        ctx.count("groups")
        return [(key, sum(values))]

    hold(Job("context", Records(range(10)), first, by_name))


def test_no_input_at_all() -> None:
    Path("empty").write_bytes(b"")
    for source in (Records([]), Text("empty")):
        for reduce in (None, Sum(), first_and_rest):
            hold(Job("nothing", source, paired, reduce, shards=2 if reduce else "auto"))

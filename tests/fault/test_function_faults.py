"""Functions that misbehave: each error names the function and the record, and nothing is visible."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Collect, Identity, Job, JsonLines, Max, Records, Sum, Text, blocks, room, run
from mapreduce.errors import (
    JobError,
    KeyTypeError,
    MapReduceError,
    PairError,
    RecordError,
    SerializationError,
    UserFunctionError,
    ValueTypeError,
    WorkerCrash,
)
from mapreduce.events import Failed, Succeeded, WorkerGone
from mapreduce.shuffle import sorting
from mapreduce.testing import run_sequential

from .attempts import attempts

OUT = Path("out")
LINES = [f"line {n}" for n in range(5_000)]
BAD = 3_217
OFFSET = sum(len(line) + 1 for line in LINES[:BAD])


class Color(IntEnum):
    """A key that looks like an int."""

    RED = 1


class Name(str):
    """A key that looks like a str."""


def on_bad(give: Callable[[str], Any]) -> Callable[[str], Iterator[Any]]:
    """A map that gives `give(line)` for one record, and good pairs for all others."""

    def mapper(line: str) -> Iterator[Any]:
        if line == LINES[BAD]:
            yield give(line)
        else:
            yield line, 1

    return mapper


def fails(kind: type[MapReduceError], on: Any = "serial", **options: Any) -> MapReduceError:
    Path("in.log").write_text("".join(line + "\n" for line in LINES))
    given = {"source": Text("in.log", split_size="20KB", block_size="4KB"), "reduce": Sum(), "output": OUT}
    with pytest.raises(kind) as caught:
        run(Job("faults", **(given | options)), on=on, workers=2, resume=False)
    assert not (OUT / "_manifest.json").exists()
    kept = any(Path().glob(".out.mapreduce/*/log/*"))
    assert kept == any(Path().glob(".*")), "the run's directory is there for what was accepted, or is gone"
    assert kept == any("What was done is kept" in note for note in getattr(caught.value, "__notes__", []))
    return caught.value


def divide(line: str) -> Any:
    return line, 1 // 0


def leave(line: str) -> Any:
    sys.exit(0)


def keyboard_interrupt(line: str) -> Any:
    raise KeyboardInterrupt


def generator_exit(line: str) -> Any:
    raise GeneratorExit


MAP_FAULTS: list[tuple[str, Callable[[str], Any], type[MapReduceError], str, str]] = [
    ("3-tuple", lambda line: (line, 1, 2), PairError, "a tuple of 3", "2-tuples"),
    ("1-tuple", lambda line: (line,), PairError, "a tuple of 1", "2-tuples"),
    ("str", lambda line: line, PairError, "a str where a pair belongs", "2-tuples"),
    ("2-character str", lambda line: "ab", PairError, "a str where a pair belongs", "2-tuples"),
    ("list of two", lambda line: [line, 1], PairError, "a list where a pair belongs", "2-tuples"),
    ("None", lambda line: None, PairError, "a NoneType", "2-tuples"),
    ("list key", lambda line: ([line], 1), KeyTypeError, "type list", "tuple(key)"),
    ("dict key", lambda line: ({}, 1), KeyTypeError, "type dict", "tuple(sorted"),
    ("set key", lambda line: ({1}, 1), KeyTypeError, "type set", "tuple(sorted"),
    ("bytearray key", lambda line: (bytearray(b"a"), 1), KeyTypeError, "type bytearray", "bytes(key)"),
    ("Decimal key", lambda line: (Decimal(1), 1), KeyTypeError, "type Decimal", "str(key)"),
    ("IntEnum key", lambda line: (Color.RED, 1), KeyTypeError, "type Color", "int(key)"),
    ("str subclass key", lambda line: (Name("a"), 1), KeyTypeError, "type Name", "str(key)"),
    ("list in a tuple key", lambda line: ((1, [2]), 1), KeyTypeError, "type list", "tuple(key)"),
    ("object key", lambda line: (object(), 1), KeyTypeError, "type object", "Keys are None"),
    ("str to Sum", lambda line: (line, "x"), ValueTypeError, "Sum can't add a value of type str", "int"),
    ("raises", divide, UserFunctionError, "ZeroDivisionError", "Mend the function"),
    ("sys.exit", leave, UserFunctionError, "SystemExit: 0", "Mend the function"),
    ("GeneratorExit", generator_exit, UserFunctionError, "GeneratorExit", "Mend the function"),
]


@pytest.mark.covers("U20", "a scalar, str, 3-tuple … where a pair belongs, halfway through a generator")
@pytest.mark.parametrize(
    ("give", "kind", "says", "hint"), [c[1:] for c in MAP_FAULTS], ids=[c[0] for c in MAP_FAULTS]
)
def test_a_map_that_misbehaves_on_one_record(
    give: Callable[[str], Any], kind: type[MapReduceError], says: str, hint: str
) -> None:
    error = fails(kind, map=on_bad(give))
    assert "on_bad.<locals>.mapper` (test_function_faults.py:" in error.message
    assert f"in.log, byte {OFFSET:,}" in error.message
    assert repr(LINES[BAD]) in error.message
    assert says in error.message
    assert hint in error.hint


@pytest.mark.covers("U20", "None, a scalar or a str where an iterable of pairs belongs")
@pytest.mark.parametrize("on", ["serial", "processes"])
@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        (3, UserFunctionError, "'int' object is not iterable"),
        ("ab", PairError, "a str where a pair belongs"),
        ("", None, ""),
        (None, None, ""),
    ],
)
def test_what_a_map_gives_must_be_an_iterable_of_pairs(on: Any, given: Any, kind: Any, says: str) -> None:
    def mapper(line: str) -> Any:
        return given if line == LINES[BAD] else [(line, 1)]

    if kind is None:
        assert len(list(run(Job("nothing", Records(LINES), mapper, Sum()), on=on))) == len(LINES) - 1
        return
    error = fails(kind, on=on, map=mapper)
    assert says in error.message
    assert f"in.log, byte {OFFSET:,}" in error.message
    assert repr(LINES[BAD]) in error.message


def raising_midway(line: str) -> Any:
    yield line, 1
    if line == LINES[BAD]:
        raise LookupError("midway")
    yield line, 2


@pytest.mark.covers("U20", "a generator that raises midway")
@pytest.mark.parametrize("reduce", [Sum(), None])
def test_nothing_of_a_generator_that_raises_midway_is_visible(reduce: Any) -> None:
    error = fails(UserFunctionError, on="processes", map=raising_midway, reduce=reduce)
    assert f"in.log, byte {OFFSET:,}: LookupError: midway" in error.message


def test_blocks_are_replayed_record_by_record_too() -> None:
    @blocks
    def mapper(lines: list[str]) -> list[tuple[str, int]]:
        return [(line, 1 // (line != LINES[BAD])) for line in lines]

    error = fails(UserFunctionError, map=mapper)
    assert f"in.log, byte {OFFSET:,}: ZeroDivisionError" in error.message


def test_a_block_that_fails_only_as_a_whole_is_named_as_a_whole() -> None:
    @blocks
    def mapper(lines: list[str]) -> list[tuple[str, int]]:
        if len(lines) > 1:
            raise ValueError("too many")
        return []

    assert "in.log, byte 0: ValueError: too many" in fails(UserFunctionError, map=mapper).message


def test_a_long_record_is_shown_by_its_first_200_characters() -> None:
    error = fails(UserFunctionError, map=divide, source=Records(["x" * 100_000]))
    assert repr("x" * 200) + "…" in error.message
    assert len(error.message) < 500


def test_stop_iteration_in_a_plain_function_is_an_error_not_an_end() -> None:
    def mapper(line: str) -> list[tuple[str, int]]:
        return [(next(iter([])) if line == LINES[BAD] else line, 1)]

    assert "StopIteration" in fails(UserFunctionError, map=mapper).message


class Hostile(Exception):
    """Can't be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.covers("U21", "an exception with a hostile __str__, which can't be pickled")
def test_an_exception_that_can_t_be_shown_is_still_reported() -> None:
    def mapper(line: str) -> Any:
        raise Hostile

    assert "Hostile: <its text can't be made>" in fails(UserFunctionError, on="processes", map=mapper).message


def base_exception(line: str) -> Any:
    raise BaseException("the base of all")


def stop_iteration(line: str) -> Any:
    raise StopIteration


RAISED = [leave, generator_exit, keyboard_interrupt, base_exception, stop_iteration]


@pytest.mark.covers("U21", "SystemExit, GeneratorExit, KeyboardInterrupt, BaseException, StopIteration")
@pytest.mark.parametrize("raises", RAISED, ids=lambda raises: raises.__name__)
@pytest.mark.parametrize("role", ["map", "plain map", "reduce", "combine"])
def test_whatever_a_function_raises_is_told_as_its_error(role: str, raises: Callable[[str], Any]) -> None:
    def plain(line: str) -> Any:
        return [raises(line) if line == LINES[BAD] else (line, 1)]

    def reduce(key: str, values: Iterator[int]) -> Any:
        if role == "reduce" and key == LINES[BAD]:
            raises(key)
        yield key, sum(values)

    def combine(key: str, values: Iterator[int]) -> int:
        return sum(values) if key != LINES[BAD] else raises(key)

    mapper = {"map": on_bad(raises), "plain map": plain}.get(role, twice)
    error = fails(
        UserFunctionError,
        on="processes",
        map=mapper,
        reduce=reduce,
        combine=combine if role == "combine" else None,
    )
    assert f"{role.removeprefix('plain ')} `" in error.message
    assert repr(LINES[BAD]) in error.message
    assert f"in {raises.__name__}" in error.details


def twice(line: str) -> Any:
    return [(line, 1), (line, 1)]


@pytest.mark.covers("U21", "an emit in __del__ and in atexit")
def test_what_is_emitted_when_all_is_over_is_not_taken() -> None:
    class Late:
        def __init__(self, ctx: Any) -> None:
            self.ctx = ctx

        def __del__(self) -> None:
            self.ctx.count("late")

    kept: list[Any] = []

    def mapper(line: str, ctx: Any) -> Any:
        ctx.count("calls")
        kept[:] = [Late(ctx)]
        atexit.register(ctx.count, "too late")
        yield line, 1

    result = run(Job("late", Records(["a", "b"], split_size=1), mapper, Sum()), workers=1)
    assert list(result) == [("a", 1), ("b", 1)]
    assert result.counters == {"calls": 2}


def nested(line: str) -> Any:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return line, value


def endless_recursion(line: str) -> Any:
    return endless_recursion(line)


@pytest.mark.covers("U22", "a list nested 100,000 deep, and endless recursion")
@pytest.mark.parametrize(
    ("give", "kind", "says"),
    [(nested, ValueTypeError, "nested more than"), (endless_recursion, UserFunctionError, "RecursionError")],
)
def test_depth_is_a_typed_error_and_the_worker_survives(give: Any, kind: Any, says: str) -> None:
    with attempts(Job("deep", Records(["good", LINES[BAD]], split_size=1), on_bad(give), Collect())) as tried:
        process = tried.process_of(tried.until(lambda: tried.ready, "a worker is ready")[0])
        event = tried.run(1)
        assert isinstance(event, Failed), "the worker has lived to tell"
        error = event.error
        assert type(error) is kind
        assert says in error.message
        assert "on_bad.<locals>.mapper` (test_function_faults.py:" in error.message
        assert isinstance(tried.run(0), Succeeded)
        # An exception is confirmed by another process; an error that is certain changes nobody.
        assert (tried.process_of(tried.ready[0]) == process) is (kind is ValueTypeError)
        assert [event for event in tried.events if isinstance(event, WorkerGone)] == []


def test_a_record_whose_repr_fails_is_still_reported() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    error = fails(UserFunctionError, map=divide, source=Records([Odd()]))
    assert "whose repr raises RuntimeError" in error.message


def reduce_raises(key: str, values: Iterator[int]) -> Any:
    if key == LINES[BAD]:
        raise LookupError("not there")


UNTIDY = {
    "reads some": lambda values: [next(values)],
    "reads none": lambda values: [],
    "changes what it read": lambda values: [listed := list(values), listed.clear(), [len(listed)]][2],
    "keeps them": lambda values: [KEPT.append(values), next(values)][1:],
}
KEPT: list[Any] = []


def stream_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a key with some hundred bytes of pairs be too large."""
    monkeypatch.setattr(room, "MOST", 1_000)
    monkeypatch.setattr(sorting, "LEAST_CHUNK", 100)
    monkeypatch.setattr(sorting, "MOST_CHUNK", 100)


@pytest.mark.covers("U15", "a reduce that does not exhaust its values, keeps them, or changes what it read")
@pytest.mark.parametrize("use", UNTIDY)
@pytest.mark.parametrize("large", [False, True], ids=["in memory", "streamed"])
def test_values_that_a_reduce_leaves_are_skipped(
    use: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        stream_all(monkeypatch)

    def reduce(key: int, values: Any) -> Any:
        yield key, UNTIDY[use](iter(values))

    job = Job("untidy", Records([(n % 7, n) for n in range(2_000)]), Identity(), reduce, shards=2)
    result = run(job, on="serial")
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job).parts


@pytest.mark.covers("U15", "a reduce that iterates its values twice: streamed")
def test_a_second_pass_over_streamed_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream_all(monkeypatch)
    with pytest.raises(UserFunctionError, match="iterated twice"):
        run(Job("twice", Records([(1, n) for n in range(2_000)]), Identity(), reduce_twice), on="serial")


def reduce_twice(key: str, values: Iterator[int]) -> Any:
    yield key, sum(values) + sum(values)


REDUCE_FAULTS: list[tuple[str, Any, type[MapReduceError], str]] = [
    ("raises", reduce_raises, UserFunctionError, f"for the key {LINES[BAD]!r}: LookupError: not there"),
    ("second pass", reduce_twice, UserFunctionError, "iterated twice"),
    ("returns a pair", lambda key, values: (key, 1), UserFunctionError, "returned a tuple; yield"),
    ("returns a dict", lambda key, values: {"a": 1}, UserFunctionError, "returned a dict; yield"),
    ("returns a str", lambda key, values: "ab", UserFunctionError, "returned a str; yield"),
    ("returns an int", lambda key, values: 3, UserFunctionError, "'int' object is not iterable"),
    ("gives a 3-tuple", lambda key, values: [(key, 1, 2)], RecordError, "type tuple"),
    (
        "gives an object",
        lambda key, values: [(key, object())],
        RecordError,
        "no form for a value of type object",
    ),
]


@pytest.mark.covers("U15", "a second pass over the values")
@pytest.mark.parametrize(
    ("reduce", "kind", "says"), [c[1:] for c in REDUCE_FAULTS], ids=[c[0] for c in REDUCE_FAULTS]
)
def test_a_reduce_that_misbehaves(reduce: Any, kind: type[MapReduceError], says: str) -> None:
    error = fails(kind, map=lambda line: [(line, 1)], reduce=reduce)
    assert says in error.message
    assert "reduce `" in error.message


def test_a_combine_that_raises_names_the_key() -> None:
    error = fails(
        UserFunctionError,
        map=lambda line: [("same", 1)],
        reduce=lambda key, values: [(key, sum(values))],
        combine=lambda key, values: 1 // 0,
    )
    assert "combine" in error.message
    assert "for the key 'same': ZeroDivisionError" in error.message


def test_max_of_values_without_order() -> None:
    error = fails(ValueTypeError, map=on_bad(lambda line: (line, [1])), reduce=Max())
    assert "Max can't compare a value of type list" in error.message


def test_a_value_that_would_not_come_back() -> None:
    error = fails(ValueTypeError, map=on_bad(lambda line: (line, [object()])), reduce=Collect())
    assert "type object can't be shipped" in error.message
    assert f"byte {OFFSET:,}" in error.message


def test_a_line_feed_in_text_output() -> None:
    error = fails(RecordError, map=on_bad(lambda line: "two\nlines"), reduce=None, output=Text(OUT))
    assert "would be read back as another" in error.message


def test_side_data_that_can_t_be_pickled_names_its_entry() -> None:
    error = fails(SerializationError, on="processes", map=divide, side={"good": 1, "bad": threading.Lock()})
    assert "side['bad']" in error.message


@pytest.mark.parametrize(
    ("mapper", "says"),
    [(lambda: [], "too many positional"), (lambda a, b: [], "missing a required argument: 'b'")],
)
def test_a_signature_that_does_not_fit_is_found_before_anything_runs(mapper: Any, says: str) -> None:
    assert says in fails(JobError, map=mapper, source="no-file-is-looked-for").message


# ---------------------------------------------------------------- functions that end their process


def crash(line: str) -> Any:
    ctypes.string_at(0)


def leave_at_once(line: str) -> Any:
    os._exit(0)


@pytest.mark.parametrize(
    ("mapper", "says", "hint"),
    [(crash, "was ended by SIGSEGV", "crashed"), (leave_at_once, "ended with exit code 0", "os._exit")],
)
def test_a_worker_that_a_function_ends(mapper: Any, says: str, hint: str) -> None:
    error = fails(WorkerCrash, on="processes", map=mapper, source=Records(["a"]))
    assert says in error.message
    assert "map 0, attempt 3, on Records, item 0" in error.message
    assert hint in error.hint
    if mapper is crash:
        assert "in crash" in error.details, "the stack of the function is shown"


def test_a_worker_that_leaves_once_is_replaced(tmp_path: Path) -> None:
    flag = tmp_path / "left"

    def mapper(line: str) -> Any:
        if not flag.exists():
            flag.touch()
            os._exit(0)
        yield line, 1

    result = run(Job("once", Records(["a", "b"]), mapper, Sum()), workers=1)
    assert sorted(result) == [("a", 1), ("b", 1)]
    assert [attempt.outcome for attempt in result.manifest.attempts if attempt.task == "map 0"] == [
        "lost",
        "succeeded",
    ]


def test_an_exception_that_happens_once_is_retried_and_counted_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def mapper(line: str, ctx: Any) -> Any:
        ctx.count("records")
        with open(calls, "a") as stream:
            stream.write("x")
        if line == "b" and calls.stat().st_size == 2:
            raise OSError("a passing fault")
        yield line, 1

    result = run(Job("flaky", Records(["a", "b"]), mapper, Sum(), JsonLines(OUT)), workers=1)
    assert list(result) == [("a", 1), ("b", 1)]
    assert result.counters == {"records": 2}


def test_a_failure_in_one_place_is_tried_twice_and_no_more(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def mapper(line: str) -> Any:
        with open(calls, "a") as stream:
            stream.write("x")
        raise ValueError

    fails(UserFunctionError, on="processes", map=mapper, source=Records(["a"]))
    assert calls.stat().st_size == 4, "two attempts, each replayed once to find the record"


def changing(line: str) -> Any:
    values = [1]
    yield "a", values
    values.append(2)
    yield "a", (7, values)
    values.append(3)


@pytest.mark.covers("U14", "the same list emitted again and again, and appended to in between")
@pytest.mark.parametrize("first", [[], ["plain"] * 5_000], ids=["at once", "after plain values"])
def test_later_changes_to_an_emitted_value_have_no_effect(first: list[str]) -> None:
    def mapper(line: str, ctx: Any) -> Any:
        ctx.count("calls")
        return [("a", 0)] if line == "plain" else changing(line)

    result = run(Job("mutating", Records([*first, "x"]), mapper, Collect()), on="serial")
    assert list(result) == [("a", [0] * len(first) + [[1], (7, [1, 2])])]
    assert result.counters == {"calls": len(first) + 1}


@pytest.mark.covers("U14", "a record that is changed after it was given: by a reduce, and without one")
def test_later_changes_to_a_record_have_no_effect() -> None:
    def mapper(line: str) -> Any:
        yield line, 1

    def reduce(key: str, values: Any) -> Any:
        record = {"n": 0}
        for _ in range(3):
            record["n"] += 1
            yield record

    def records(line: str) -> Any:
        return reduce(line, ())

    wanted = [{"n": 1}, {"n": 2}, {"n": 3}]
    assert list(run(Job("reduce", Records(["x"]), mapper, reduce), on="serial")) == wanted
    assert list(run(Job("map", Records(["x"]), records), on="serial")) == wanted


@pytest.mark.covers("U14", "a combine that gives one list again and again")
def test_a_combine_that_gives_one_list_again_and_again() -> None:
    shared: list[int] = []

    def combine(key: str, values: Any) -> list[int]:
        shared[:] = [sum(sum(value) for value in values)]
        return shared

    def reduce(key: str, values: Any) -> Any:
        yield key, sum(sum(value) for value in values)

    job = Job("shared", Records(range(10)), lambda n: [(n % 3, [n])], reduce, combine=combine)
    assert list(run(job, on="serial")) == [(0, 18), (1, 12), (2, 15)]

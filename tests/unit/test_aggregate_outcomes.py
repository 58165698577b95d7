"""What aggregates come to, by example; their options; and what they refuse, with the record's name."""

import math
from collections import namedtuple
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from property.strategies import NAN, ODD_NAN, exact

from mapreduce import (
    ApproxDistinct,
    BottomK,
    Collect,
    CollectSet,
    Count,
    CountDistinct,
    First,
    Histogram,
    Job,
    Last,
    Max,
    Mean,
    Min,
    Quantiles,
    Records,
    Stats,
    Sum,
    Text,
    TopK,
    blocks,
    run,
)
from mapreduce.aggregates import Aggregate, as_aggregate
from mapreduce.datasets import records as records_module
from mapreduce.errors import JobError, MapReduceError, UserFunctionError, ValueTypeError
from mapreduce.shuffle.columns import Pairs, input_columns, key_columns
from mapreduce.shuffle.states import finish_states, make_states, make_tally
from mapreduce.testing import meanings, run_sequential

INF = math.inf
HUGE = 10**400
BIG = 1.7976931348623157e308


def columnar(aggregate: Aggregate, chunks: list[list[Any]]) -> Any:
    """One group through the engine's columns."""
    states = []
    for chunk in filter(None, chunks):
        key_layout, keys = key_columns(["k"] * len(chunk))
        layout, series = input_columns(aggregate.take(chunk), wide=aggregate.wide, frozen=False)
        states.append(make_states(aggregate, Pairs(pl.DataFrame([*keys, *series]), key_layout, layout)))
    return finish_states(aggregate, states)[1][0] if states else aggregate.apply([])


OUTCOMES: list[tuple[Aggregate, list[Any], Any]] = [
    (Count(of=0), [(1,), (None,), (), None, (False,)], 2),
    (Mean(), [], None),
    (Mean(), [None], None),
    (Mean(), [1, 2], 1.5),
    (Mean(), [2, 2], 2.0),
    (Mean(), [True, False, None], 0.5),
    (Mean(), [2**53, 2**53 + 2], 9007199254740993.0),
    (Mean(), [BIG, BIG], BIG),
    (Mean(), [HUGE], INF),
    (Mean(), [-HUGE, 1.0], -INF),
    (Mean(), [INF, -INF], NAN),
    (Mean(), [INF, 1], INF),
    (Mean(), [NAN, 1], NAN),
    (Mean(), [-0.0], 0.0),
    (Mean(), [5e-324, 0.0], 0.0),
    (Mean(), [5e-324, 5e-324], 5e-324),
    (First(), [None, 0, 1], 0),
    (Last(), [0, [1], None], [1]),
    (First(), [None], None),
    (Last(of="a"), [{"a": 1}, {"a": None}, {}], 1),
    (TopK(2), [1, 3, None, 2], [3, 2]),
    (TopK(2), [1.0, True, 1], [1.0, True]),
    (TopK(3), [INF, NAN, "a"], ["a", NAN, INF]),
    (TopK(9), [-0.0, 0.0], [-0.0, 0.0]),
    (TopK(1), [], []),
    (BottomK(2), [3, NAN, 1, None, 2], [1, 2]),
    (BottomK(3), [0.0, -0.0, 0], [0.0, -0.0, 0]),
    (TopK(2, by=1, of=0), [("a", 1), ("b", 2), ("c", 2), ("d", None), (None, 9)], ["b", "c"]),
    (BottomK(1, by=len), ["aaa", "b", "c"], ["b"]),
    (Max(by=0), [(1, [2]), (1, [3]), None], (1, [2])),
    (Min(by="n", of="id"), [{"n": 2, "id": "x"}, {"n": 1, "id": "y"}, {"id": "z"}], "y"),
    (Min(by=0), [(None, 1)], None),
    (CountDistinct(), [1, 1.0, True, NAN, ODD_NAN, None, "1", b"1", 0.0, -0.0], 5),
    (CountDistinct(), [2**53, 2.0**53, 2**53 + 1, (1,), (1.0,)], 3),
    (CountDistinct(), [], 0),
    (CollectSet(), ["b", 2, "a", None, 1.0, 1, ODD_NAN, NAN], [1.0, 2, ODD_NAN, "a", "b"]),
    (CollectSet(), [-0.0, 0.0, 0], [-0.0]),
    (Histogram([0, 10]), [], [0, 0, 0]),
    (Histogram([0, 10]), [-1, -0.0, 0, 9.5, 10, NAN, None, INF, -INF], [2, 3, 3]),
    (Histogram([2**53 + 1]), [2**53, 2.0**53, 2**53 + 1, 2.0**53 + 2], [2, 2]),
    (Histogram([-HUGE, 0.5, HUGE]), [-INF, -HUGE, 0, 1, HUGE, INF, NAN], [1, 2, 1, 3]),
    (Histogram([True + 0, 2]), [True, False], [1, 1, 0]),
    (Quantiles([0, 1]), [], [None, None]),
    (Quantiles([0, 0.5, 1]), [0], [0.0, 0.0, 0.0]),
    (Quantiles([0, 0.5, 1]), [-0.0, INF, -INF], [-INF, 0.0, INF]),
    (Quantiles([0.75, 1]), [NAN, HUGE, -HUGE, 0], [INF, NAN]),
    (Quantiles([0.1, 0.11]), [1] + [0] * 0 + [2] * 9, [1 + 2**-8, 2 + 2**-7]),
    (Quantiles([0.5]), [-1], [-1 - 2**-8]),
    (ApproxDistinct(), [], 0),
    (ApproxDistinct(), [1, 1.0, True, "a", None, NAN, ODD_NAN], 3),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
def test_outcome(outcome: tuple[Aggregate, list[Any], Any]) -> None:
    aggregate, items, result = outcome
    assert exact(aggregate.apply(items)) == exact(result)
    assert exact(meanings.aggregated(aggregate, items)) == exact(result)
    assert exact(columnar(aggregate, [items])) == exact(result)
    assert exact(columnar(aggregate, [[item] for item in items])) == exact(result)


STATS: list[tuple[list[Any], tuple[Any, ...]]] = [
    ([], (0, 0, None, None, None, None)),
    ([None, 3], (1, 3, 3.0, 3, 3, None)),
    ([True, False], (2, 1, 0.5, False, True, math.sqrt(0.5))),
    ([1, 2, 3, 4], (4, 10, 2.5, 1, 4, math.sqrt(5 / 3))),
    ([1e16, 1e16 + 2], (2, 2e16 + 2, 1e16 + 1, 1e16, 1e16 + 2, math.sqrt(2))),
    ([0.0, -0.0], (2, 0.0, 0.0, 0.0, 0.0, 0.0)),
    ([INF, 1.0], (2, INF, INF, 1.0, INF, NAN)),
    ([ODD_NAN, 1.0], (2, NAN, NAN, 1.0, ODD_NAN, NAN)),
    ([BIG, -BIG], (2, 0.0, 0.0, -BIG, BIG, INF)),
    ([5e-324, 0.0], (2, 5e-324, 0.0, 0.0, 5e-324, 5e-324)),
    ([2**62, -(2**62)], (2, 0, 0.0, -(2**62), 2**62, math.sqrt(2**125))),
    ([HUGE, HUGE + 2], (2, 2 * HUGE + 2, INF, HUGE, HUGE + 2, math.sqrt(2))),
]


@pytest.mark.parametrize(("items", "result"), STATS, ids=repr)
def test_stats(items: list[Any], result: tuple[Any, ...]) -> None:
    named = dict(zip(("count", "sum", "mean", "min", "max", "stddev"), result, strict=True))
    assert exact(Stats().apply(items)) == exact(named)
    assert exact(meanings.aggregated(Stats(), items)) == exact(named)
    assert exact(columnar(Stats(), [items])) == exact(named)
    assert exact(columnar(Stats(), [[item] for item in items])) == exact(named)


def test_quantiles_are_near() -> None:
    numbers = [1.001**exponent for exponent in range(20_000)] + [-(1.001**exponent) for exponent in range(99)]
    ranked = sorted(numbers)
    qs = [step / 50 for step in range(51)]
    for q, found in zip(qs, Quantiles(qs).apply(numbers), strict=True):
        exact_one = ranked[max(1, math.ceil(round(q * len(ranked), 6))) - 1]
        assert abs(found - exact_one) <= abs(exact_one) / 256


@pytest.mark.parametrize("count", [0, 5, 100, 384, 385, 20_000])
def test_approx_distinct_is_near(count: int) -> None:
    found = ApproxDistinct(12).apply(f"value {index}" for index in range(count))
    assert abs(found - count) <= count * 5 * 1.04 / 64
    assert isinstance(found, int)


TALLIED = [Count(), Count(of=0), Sum(), Mean(), Histogram([0, 5]), Quantiles([0.5])]


@pytest.mark.parametrize("value", [0, 1, -7, 2**63 - 1])
@pytest.mark.parametrize("reduce", [*TALLIED, {"n": Count(), "sum": Sum()}, {"n": Count()}], ids=repr)
def test_tally_is_the_value_repeated(reduce: Any, value: int) -> None:
    aggregate = as_aggregate(reduce)
    assert aggregate
    value = (value,) if getattr(aggregate, "of", None) == 0 else value
    row = [column[0] for column in aggregate.take([value])]
    taken = (tuple(row) if not aggregate.counts_pairs else None) if aggregate.wide else row[0]
    assert aggregate.can_tally(taken)
    layout, keys = key_columns(["a", "b"])
    pairs, found = finish_states(
        aggregate, [make_tally(aggregate, taken, [1, 9], layout, pl.DataFrame(keys))]
    )
    assert exact(found) == exact([aggregate.apply([value] * 1), aggregate.apply([value] * 9)])
    assert len(pairs) == 2


# ---------------------------------------------------------------- of and by


def test_of_and_by_take_what_holds_elements_and_fields() -> None:
    point = namedtuple("point", "x y")
    assert Sum(of=1).apply([(1, 2), [3, 4], point(5, 6), (7,), None]) == 12
    assert Sum(of=-1).apply([(1, 2), (3,)]) == 5
    assert Collect(of="a").apply([{"a": [1]}, {}, None]) == [[1]]
    assert Sum(of=len).apply(["ab", None, "c"]) == 3


def size(value: Any) -> Any:
    return 1 // len(value)


NAMES = [
    (Sum(), "Sum()"),
    (Sum(of=1), "Sum(of=1)"),
    (Count(of="a"), "Count(of='a')"),
    (Mean(of=size), "Mean(of=size)"),
    (TopK(3), "TopK(3)"),
    (TopK(3, by="n", of="id"), "TopK(3, of='id', by='n')"),
    (Quantiles((0.5, 1), of=2), "Quantiles([0.5, 1], of=2)"),
    (Histogram([1]), "Histogram([1])"),
    (ApproxDistinct(), "ApproxDistinct(14)"),
    (as_aggregate({"n": Count(), "b": Sum(of=1)}), "{'n': Count(), 'b': Sum(of=1)}"),
]


@pytest.mark.parametrize(("aggregate", "name"), NAMES, ids=repr)
def test_repr_shows_the_options(aggregate: Aggregate, name: str) -> None:
    assert repr(aggregate) == name


WRONG_OPTIONS: list[tuple[Any, str]] = [
    (lambda: Sum(of=1.5), r"Sum: of=1.5. Give the index"),
    (lambda: Count(of=True), r"Count: of=True"),
    (lambda: Max(by=[1]), r"Max: by=\[1\]"),
    (lambda: TopK(0), r"TopK: k=0. Give a number from 1"),
    (lambda: BottomK(True), r"BottomK: k=True"),
    (lambda: Histogram([]), r"Histogram: edges=\[\]. Give finite numbers"),
    (lambda: Histogram(5), r"Histogram: edges=5"),
    (lambda: Histogram([0, 0.0]), r"the edge 0.0 follows 0"),
    (lambda: Histogram([2, 1]), r"the edge 1 follows 2"),
    (lambda: Histogram([NAN]), r"nan is no edge"),
    (lambda: Histogram([0, INF]), r"inf is no edge"),
    (lambda: Histogram([False]), r"False is no edge"),
    (lambda: Quantiles([]), r"Quantiles: qs=\[\]"),
    (lambda: Quantiles(0.5), r"Quantiles: qs=0.5. Give a list"),
    (lambda: Quantiles([1.01]), r"1.01 is no quantile"),
    (lambda: Quantiles([NAN]), r"nan is no quantile"),
    (lambda: ApproxDistinct(3), r"precision=3. Give a number from 4 to 21"),
]


@pytest.mark.parametrize(
    ("make", "says"), WRONG_OPTIONS, ids=lambda item: item if isinstance(item, str) else ""
)
def test_wrong_option(make: Any, says: str) -> None:
    with pytest.raises(JobError, match=says):
        make()


def test_approx_distinct_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapreduce.aggregates.sketches.find_spec", lambda name: None)
    with pytest.raises(JobError, match=r"pip install 'mapreduce\[sketches\]'"):
        ApproxDistinct()


WRONG_DICTS: list[tuple[Any, str]] = [
    ({}, r"reduce is an empty dict. Write reduce="),
    ({1: Count()}, r"reduce has the name 1"),
    ({"key": Count()}, r'reduce has the name "key". Choose another'),
    ({"n": Count}, r"reduce\['n'\] is the class Count. Write Count\(\)"),
    ({"n": len}, r"reduce\['n'\] is a builtin_function_or_method, not an aggregate"),
    ({"n": {"m": Count()}}, r"reduce\['n'\] is a dict, not an aggregate"),
    (Sum, r"reduce is the class Sum. Write Sum\(\)"),
]


@pytest.mark.parametrize(("reduce", "says"), WRONG_DICTS, ids=repr)
def test_wrong_dict(reduce: Any, says: str) -> None:
    with pytest.raises(JobError, match=says):
        Job("wrong", Records([1]), lambda record: [], reduce)


def test_combine_goes_with_functions_alone() -> None:
    with pytest.raises(JobError, match="combine goes with a reduce function"):
        Job("wrong", Records([1]), lambda record: [], {"n": Count()}, combine=lambda key, values: 1)


# ---------------------------------------------------------------- errors


def broken(value: Any) -> Any:
    raise StopIteration("no more")


BAD = 2_345
REFUSED: list[tuple[Any, Any, Any, type[MapReduceError], str]] = [
    (Mean(), 1, "x", ValueTypeError, "Mean can't add a value of type str"),
    (Stats(), 1, Decimal(1), ValueTypeError, "Stats can't add a value of type Decimal"),
    (Histogram([1]), 1, "x", ValueTypeError, "Histogram can't count a value of type str"),
    (Quantiles([1]), 1.5, b"", ValueTypeError, "Quantiles can't count a value of type bytes"),
    (TopK(1), 1, [1], ValueTypeError, "TopK can't compare a value of type list"),
    (
        CountDistinct(),
        (1,),
        (1, (Decimal(1),)),
        ValueTypeError,
        "CountDistinct can't compare a value of type Decimal",
    ),
    (CollectSet(), 1, {1}, ValueTypeError, "CollectSet can't compare a value of type set"),
    (ApproxDistinct(), 1, 1j, ValueTypeError, "ApproxDistinct can't compare a value of type complex"),
    (Min(), (1,), (1, Decimal(1)), ValueTypeError, "Min can't compare a value of type Decimal"),
    (First(), 1, object(), ValueTypeError, "A value of type object can't be shipped"),
    (Sum(of=1), (1, 2), (1, "x"), ValueTypeError, "Sum can't add a value of type str"),
    (
        Sum(of=1),
        (1, 2),
        "xy",
        ValueTypeError,
        "Sum(of=1) needs tuples or lists for its of, not a value of type str",
    ),
    (
        Last(of="a"),
        {"a": 1},
        [1],
        ValueTypeError,
        "Last(of='a') needs dicts for its of, not a value of type list",
    ),
    (
        Max(by="a"),
        {"a": 1},
        (1,),
        ValueTypeError,
        "Max(by='a') needs dicts for its by, not a value of type tuple",
    ),
    (Max(by=0), (1,), ([],), ValueTypeError, "Max can't compare a value of type list"),
    (Mean(of=size), "x", "", UserFunctionError, "Mean(of=size) failed in its of: ZeroDivisionError"),
    (TopK(2, by=size), "x", "", UserFunctionError, "TopK(2, by=size) failed in its by: ZeroDivisionError"),
    (Sum(of=broken), None, 1, UserFunctionError, "Sum(of=broken) failed in its of: StopIteration: no more"),
    ({"n": Count(), "s": Sum(of=0)}, (1,), ("x",), ValueTypeError, "Sum can't add a value of type str"),
    ({"n": Count(), "s": Max(of=size)}, "x", "", UserFunctionError, "Max(of=size) failed in its of"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]!r} {case[2]!r}".split(" at 0x")[0][:60])
def test_a_refused_value_names_the_record(case: Any) -> None:
    reduce, good, bad, kind, says = case
    Path("in").write_text("".join(f"{number}\n" for number in range(4_000)))

    def mapper(line: str) -> Any:
        return [(line[-1], bad if line == str(BAD) else good)]

    with pytest.raises(kind) as caught:
        run(Job("refused", Text("in", split_size=9_000, block_size=700), mapper, reduce), on="serial")
    message = str(caught.value)
    assert says in message
    assert f"byte {sum(len(str(number)) + 1 for number in range(BAD)):,}" in message
    assert repr(str(BAD)) in message


def test_the_traceback_of_a_failed_of_shows_the_function() -> None:
    with pytest.raises(UserFunctionError) as caught:
        run(Job("failed", Records([""]), lambda record: [(1, record)], Sum(of=size)), on="serial")
    assert "return 1 // len(value)" in caught.value.details
    assert caught.value.place.startswith("ZeroDivisionError:")


# ---------------------------------------------------------------- whole jobs


def test_a_dict_gives_records_with_names() -> None:
    lines = [("/a", (200, 10)), ("/b", (404, None)), ("/a", (500, 7))]
    reduce = {"hits": Count(), "bytes": Sum(of=1), "worst": Max(of=0)}
    job = Job("dict", Records(lines), lambda pair: [pair], reduce)
    records = list(run(job, on="serial"))
    assert records == run_sequential(job).records
    assert sorted(records, key=lambda record: record["key"]) == [
        {"key": "/a", "hits": 2, "bytes": 17, "worst": 500},
        {"key": "/b", "hits": 1, "bytes": 0, "worst": 404},
    ]


def test_values_that_change_later_are_kept_as_they_were() -> None:
    def mapper(number: int) -> Any:
        value: dict[str, Any] = {}
        for step in range(3):
            value["n"] = number + step
            yield number % 2, value

    for reduce in (First(), Last(), Max(by="n"), TopK(2, by="n"), {"all": Collect(), "n": Count(of="n")}):
        job = Job("changing", Records(range(5)), mapper, reduce)
        assert list(run(job, on="serial", overwrite=True)) == run_sequential(job).records, reduce


def test_what_never_travels_may_be_anything() -> None:
    """Only what `of` chooses is kept, so the rest of a value may be of any type."""
    job = Job(
        "odd", Records(range(5)), lambda number: [(1, (object(), number))], {"sum": Sum(of=1), "n": Count()}
    )
    assert list(run(job, on="serial")) == [{"key": 1, "sum": 10, "n": 5}]


def test_a_value_without_a_key_is_not_refused() -> None:
    """A block may repeat a value for no key at all, while others are counted."""

    @blocks
    def mapper(numbers: list[int]) -> Any:
        return zip(["a"] if numbers[0] % 9 else [], repeat(1 if numbers[0] % 9 else "x"))

    job = Job("empty", Records(range(600), split_size=600), mapper, Sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "_BLOCK", 1)
        assert list(run(job, on="serial")) == [("a", 533)]

"""The law of aggregates: the Python form, the columns and the reference agree, wherever values are cut.

Parts of the input become states as the map side makes them, are merged in any association, and give
what `apply` gives for the whole, which is what the reference says in its own words.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from property.strategies import a_share, binaries, exact, floats, integers, keys, numbers, plain_texts, values

from mapreduce import (
    ApproxDistinct,
    BottomK,
    Collect,
    CollectSet,
    Count,
    CountDistinct,
    First,
    Histogram,
    Identity,
    Job,
    Last,
    Max,
    Mean,
    Min,
    Quantiles,
    Records,
    Stats,
    Sum,
    TopK,
)
from mapreduce.aggregates import Aggregate, as_aggregate
from mapreduce.codec import dump_value, load_value
from mapreduce.shuffle.columns import Pairs, input_columns, key_columns, python_keys
from mapreduce.shuffle.states import finish_states, join_states, make_states
from mapreduce.testing import meanings, reference

ONE_SHARD = Job("one-shard", Records([]), Identity(), Count(), shards=1)

EDGES = [-(2**63) - 1, -1.5, 0, 0.1, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 1e300, 10**400]
QS = [0, 0.1, 0.5, 0.7, 0.99, 1]

columns = st.sampled_from([integers, floats, st.booleans(), st.none(), numbers])
NUMBERS = columns.map(lambda kind: st.none() | kind)
"""Strategies of numbers of one column: of one type, or mixed."""
few = st.sampled_from([0, 1, 1.0, True, -0.0, 0.0, float("nan"), 2, "a", b"a", (1, "a"), (1.0, "a"), None])
ORDERED = st.sampled_from(
    [integers, st.integers(0, 3), floats, st.booleans(), plain_texts, binaries, st.none(), keys, numbers, few]
).map(lambda kind: st.none() | kind)
ANY = ORDERED | st.just(values)

Make = Callable[..., Aggregate]
FORMS: dict[str, tuple[Make, Any]] = {
    "Count": (Count, ANY),
    "Sum": (Sum, NUMBERS),
    "Mean": (Mean, NUMBERS),
    "Stats": (Stats, NUMBERS),
    "Min": (Min, ORDERED),
    "Max": (Max, ORDERED),
    "First": (First, ANY),
    "Last": (Last, ANY),
    "TopK": (lambda **of: TopK(3, **of), ORDERED),
    "BottomK": (lambda **of: BottomK(2, **of), ORDERED),
    "CountDistinct": (CountDistinct, ORDERED),
    "ApproxDistinct": (ApproxDistinct, ORDERED),
    "Collect": (Collect, ANY),
    "CollectSet": (CollectSet, ORDERED),
    "Histogram": (lambda **of: Histogram(EDGES, **of), NUMBERS),
    "Quantiles": (lambda **of: Quantiles(QS, **of), NUMBERS),
}
COMPARING = ("Min", "Max", "TopK", "BottomK")


def second(value: Any) -> Any:
    return value[1]


def states_of(aggregate: Aggregate, rows: list[tuple[Any, Any]]) -> Pairs:
    """As the map side makes them of pairs."""
    key_layout, key_series = key_columns([key for key, _ in rows])
    taken = aggregate.take([value for _, value in rows])
    layout, series = input_columns(taken, wide=aggregate.wide, frozen=False)
    return make_states(aggregate, Pairs(pl.DataFrame([*key_series, *series]), key_layout, layout))


def merged_anyhow(
    data: st.DataObject, merge: Callable[[Any, Any], Any], parts: list[Any], least: int
) -> list[Any]:
    """Neighbours merged in any order until few are left."""
    while len(parts) > least:
        place = data.draw(st.integers(0, len(parts) - 2))
        parts[place : place + 2] = [merge(parts[place], parts[place + 1])]
    return parts


def python_form(data: st.DataObject, aggregate: Aggregate, chunks: list[list[Any]]) -> Any:
    """States of the chunks, as they travel, merged."""

    def state_of(chunk: list[Any]) -> bytes:
        state, taken = aggregate.empty(), aggregate.take(chunk)
        for value in zip(*taken, strict=True) if aggregate.wide else taken[0]:
            state = aggregate.add(state, value)
        return dump_value(state)

    def merge(one: bytes, two: bytes) -> bytes:
        return dump_value(aggregate.merge(load_value(one), load_value(two)))

    (state,) = merged_anyhow(data, merge, list(map(state_of, chunks)) or [state_of([])], 1)
    return aggregate.result(load_value(state))


def meaning(reduce: Any, items: list[Any]) -> Any:
    if isinstance(reduce, dict):
        return {name: meanings.aggregated(member, items) for name, member in reduce.items()}
    return meanings.aggregated(reduce, items)


def hold(data: st.DataObject, reduce: Any, rows: list[tuple[Any, Any]]) -> None:
    """The law, for one random cut and one random tree of merges."""
    aggregate = as_aggregate(reduce)
    assert aggregate
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=4))})
    chunks = [rows[start:stop] for start, stop in pairwise(cuts)]
    (expected,) = reference._grouped(ONE_SHARD, rows)
    results = [meaning(reduce, items) for _, items in expected]
    assert exact([aggregate.apply(items) for _, items in expected]) == exact(results)
    whole = [[value for _, value in chunk] for chunk in chunks]
    everything = [value for _, value in rows]
    assert exact(python_form(data, aggregate, whole)) == exact(meaning(reduce, everything))
    if not rows:
        return
    states = [states_of(aggregate, chunk) for chunk in chunks]
    least = data.draw(st.integers(1, 3))
    parts = merged_anyhow(data, lambda a, b: join_states(aggregate, [a, b]), states, least)
    pairs, found = finish_states(aggregate, parts)
    assert exact(python_keys(pairs.frame, pairs.keys)) == exact([key for key, _ in expected])
    assert exact(found) == exact(results)


def rows_of(data: st.DataObject, kinds: SearchStrategy[Any]) -> list[tuple[Any, Any]]:
    """Pairs of few keys. The type of the values may change on the way."""
    names = data.draw(
        st.sampled_from([st.integers(0, 3), st.sampled_from([1, 1.0, True, "a", None, 0.0, -0.0])])
    )
    rows = []
    for _ in range(data.draw(st.sampled_from([1, 1, 2, 3]))):
        rows += data.draw(st.lists(st.tuples(names, data.draw(kinds)), max_size=12))
    return rows


@pytest.mark.parametrize("name", FORMS)
@a_share(4)
@given(data=st.data())
def test_of_values(name: str, data: st.DataObject) -> None:
    make, kinds = FORMS[name]
    hold(data, make(), rows_of(data, kinds))


def tuples(kinds: SearchStrategy[Any], others: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Strategies of (other, item), some short, some None."""
    return st.tuples(kinds, others).map(
        lambda pair: st.one_of(
            st.none(), st.tuples(pair[1], pair[0]), st.tuples(pair[1], pair[0]), st.tuples(pair[1])
        )
    )


@pytest.mark.parametrize("form", ["index", "field", "function"])
@pytest.mark.parametrize("name", FORMS)
@a_share(8)
@given(data=st.data())
def test_of_parts_of_values(name: str, form: str, data: st.DataObject) -> None:
    make, kinds = FORMS[name]
    of: Any = {"index": 1, "field": "item", "function": lambda value: value[1:2] and value[1]}[form]
    kinds = kinds.map(lambda kind: kind.filter(lambda value: value != ())) if form == "function" else kinds
    rows = rows_of(data, tuples(kinds, ORDERED))
    if form == "field":
        rows = [(key, value and dict(zip(("other", "item"), value, strict=False))) for key, value in rows]
    if form == "function":  # a missing one is an error of the function's own
        rows = [(key, value) for key, value in rows if value is None or len(value) == 2]
        of = second
    hold(data, make(of=of), rows)


@pytest.mark.parametrize("returned", [None, 1])
@pytest.mark.parametrize("name", COMPARING)
@a_share(4)
@given(data=st.data())
def test_by(name: str, returned: int | None, data: st.DataObject) -> None:
    make, _ = FORMS[name]
    hold(data, make(of=returned, by=0), rows_of(data, tuples(ANY, ORDERED)))


def member(data: st.DataObject) -> Aggregate:
    """An aggregate of an element: 0 is a number, 1 is ordered, 2 is anything."""
    name = data.draw(st.sampled_from(sorted(FORMS)))
    make, kinds = FORMS[name]
    if name == "Count" and data.draw(st.booleans()):
        return Count()
    if name in COMPARING and data.draw(st.booleans()):
        return make(by=data.draw(st.integers(0, 1)), of=data.draw(st.none() | st.integers(0, 2)))
    least = {id(NUMBERS): 0, id(ORDERED): 1}.get(id(kinds), 2)
    return make(of=data.draw(st.integers(0, least)))


@given(data=st.data())
def test_dicts(data: st.DataObject) -> None:
    reduce = {f"{index}": member(data) for index in range(data.draw(st.integers(1, 5)))}
    kinds = st.tuples(NUMBERS, ORDERED, ANY).map(lambda three: st.tuples(*three) | st.none())
    hold(data, reduce, rows_of(data, kinds))


@given(data=st.data())
def test_dicts_of_whole_values(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=5, unique=True))
    hold(data, {name: FORMS[name][0]() for name in names}, rows_of(data, NUMBERS))


@given(data=st.data(), precision=st.integers(4, 13), number=st.integers(0, 3_000))
def test_approx_distinct_depends_on_the_set_alone(data: st.DataObject, precision: int, number: int) -> None:
    """Whatever the order, the repetitions, the cuts and the merges."""
    aggregate = ApproxDistinct(precision)
    items: list[Any] = [index * 7919 % 100_003 for index in range(number)]
    expected = aggregate.apply(items)
    assert abs(expected - number) <= 6 * 1.04 / 2 ** (precision / 2) * number + 1
    again = items + items[: number // 3]
    again = data.draw(st.permutations(again)) if number < 100 else again[::-1]
    cuts = sorted({0, len(again), *data.draw(st.lists(st.integers(0, len(again)), max_size=5))})
    chunks = [[float(item) for item in again[start:stop]] for start, stop in pairwise(cuts)]
    assert python_form(data, aggregate, chunks) == expected

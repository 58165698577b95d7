"""Aggregates: the Python form against the meaning, and the columnar form against the Python form."""

import math
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.strategies import (
    NAN,
    ODD_NAN,
    binaries,
    exact,
    integers,
    key_kinds,
    keys,
    numbers,
    plain_texts,
    values,
)

from mapreduce.aggregates import Aggregate, Collect, Count, Grouping, Max, Min, Stats, Sum
from mapreduce.datasets import Records
from mapreduce.errors import ValueTypeError
from mapreduce.functions import Identity
from mapreduce.job import Job
from mapreduce.shuffle.columns import Pairs, key_columns, python_keys, value_columns
from mapreduce.shuffle.states import finish_states, join_states, make_states
from mapreduce.testing import meanings, reference

ONE_SHARD = Job("one-shard", Records([]), Identity(), Count(), shards=1)

BIG = 1.7976931348623157e308
TINY = 5e-324
awkward_floats = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.1, 1e16, -1e16, 1e308, -1e308, BIG, -BIG, TINY, -TINY, 2.2250738585072014e-308]
)
wild_floats = st.sampled_from([NAN, ODD_NAN, math.inf, -math.inf])
any_floats = awkward_floats | awkward_floats | st.floats() | wild_floats
tame_floats = awkward_floats | st.floats(allow_nan=False, allow_infinity=False)
summable = st.none() | st.booleans() | integers | numbers | any_floats

AGGREGATES = [Count(), Sum(), Min(), Max(), Collect()]
COMBINING = [Count(), Sum(), Min(), Max()]


def name_of(aggregate: Aggregate) -> str:
    return aggregate.name


def values_for(aggregate: Aggregate) -> st.SearchStrategy[Any]:
    if isinstance(aggregate, Sum):
        return summable
    return st.none() | keys if isinstance(aggregate, (Min, Max)) else values


def meaning(aggregate: Aggregate, items: list[Any]) -> Any:
    return meanings.MEANINGS[type(aggregate)](aggregate, items)


# ---------------------------------------------------------------- the meaning, by example

SUMS: list[tuple[list[Any], Any]] = [
    ([], 0),
    ([None, None], 0),
    ([None, 1, None], 1),
    ([True, True, False], 2),
    ([False], 0),
    ([1.5], 1.5),
    ([1, 1.0], 2.0),
    ([0, 0.0], 0.0),
    ([-0.0], 0.0),
    ([-0.0, -0.0, None], 0.0),
    ([1.0, -1.0], 0.0),
    ([2**62] * 4, 2**64),
    ([-(2**63)] * 3, -3 * 2**63),
    ([2**63 - 1, 1, 10**30], 10**30 + 2**63),
    ([1e16, 1.0, -1e16], 1.0),
    ([1e308, 1e308, -1e308], 1e308),
    ([BIG, BIG], math.inf),
    ([-BIG, -BIG, 5], -math.inf),
    ([BIG, BIG, -math.inf], -math.inf),
    ([TINY, TINY], 1e-323),
    ([TINY, -TINY], 0.0),
    ([1.0, TINY], 1.0),
    ([1.0, 2.0**-53], 1.0),
    ([1.0, 2.0**-53, TINY], 1.0000000000000002),
    ([0.1] * 10, 1.0),
    ([2**53, 1, 0.0], 9007199254740992.0),
    ([2**53, 1, 1.0], 9007199254740994.0),
    ([10**400, -(10**400), 0.5], 0.5),
    ([10**400, 0.5], math.inf),
    ([-(10**400), 0.5], -math.inf),
    ([10**400, 1], 10**400 + 1),
    ([math.inf, 1], math.inf),
    ([math.inf, math.inf], math.inf),
    ([math.inf, -math.inf], NAN),
    ([math.inf, -math.inf, math.inf], NAN),
    ([NAN, 1], NAN),
    ([NAN, math.inf], NAN),
    ([ODD_NAN], NAN),
]


def test_sums() -> None:
    for items, total in SUMS:
        assert exact(Sum().apply(items)) == exact(total), items
        assert exact(meaning(Sum(), items)) == exact(total), items
        assert exact(columnar(Sum(), [items])) == exact(total), items
        assert exact(columnar(Sum(), [[item] for item in items])) == exact(total), items


EXTREMES: list[tuple[list[Any], Any, Any]] = [
    ([], None, None),
    ([None], None, None),
    ([None, 2, 1, None, 3], 1, 3),
    ([1.0, 1, True], 1.0, 1.0),
    ([True, 1.0], True, True),
    ([0.0, -0.0], 0.0, 0.0),
    ([-0.0, 0.0], -0.0, -0.0),
    ([NAN, 1.0, math.inf], 1.0, NAN),
    ([1.0, ODD_NAN, NAN], 1.0, ODD_NAN),
    ([NAN, ODD_NAN], NAN, NAN),
    ([2.0**53, 2**53 + 1, 2**53], 2.0**53, 2**53 + 1),
    (["b", "a", "", "é"], "", "é"),
    (["a", b"", 5, (), None], 5, ()),
    ([b"\xff", b"a", b"a\0"], b"a", b"\xff"),
    ([(1, "b"), (1, "a"), (1,)], (1,), (1, "b")),
    (
        [date(2024, 1, 1), datetime(2024, 1, 1), datetime(1, 1, 1, tzinfo=UTC)],
        date(2024, 1, 1),
        datetime(1, 1, 1, tzinfo=UTC),
    ),
    ([True, False], False, True),
]


def test_extremes() -> None:
    for items, smallest, largest in EXTREMES:
        for aggregate, result in ((Min(), smallest), (Max(), largest)):
            assert exact(aggregate.apply(items)) == exact(result), (aggregate, items)
            assert exact(columnar(aggregate, [items])) == exact(result), (aggregate, items)
            assert exact(columnar(aggregate, [[item] for item in items])) == exact(result), (aggregate, items)


def test_count_counts_none_and_collect_skips_it() -> None:
    assert Count().apply([None, 1, None]) == 3
    assert Collect().apply([None, 1, None, [2], 1]) == [1, [2], 1]
    assert (Count().apply([]), Collect().apply([])) == (0, [])


def test_values_come_back_as_they_were() -> None:
    east = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=UTC)
    assert exact(Max().apply([east])) == exact(east)


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=name_of)
@given(data=st.data())
def test_python_form_is_the_meaning(aggregate: Aggregate, data: st.DataObject) -> None:
    items = data.draw(st.lists(values_for(aggregate), max_size=8))
    assert exact(aggregate.apply(items)) == exact(meaning(aggregate, items))


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=name_of)
@given(data=st.data())
def test_states_merge_wherever_they_are_cut(aggregate: Aggregate, data: st.DataObject) -> None:
    chunks = data.draw(st.lists(st.lists(values_for(aggregate), max_size=4), max_size=5))
    merged = aggregate.empty()
    for chunk in chunks:
        state = aggregate.empty()
        for item in chunk:
            state = aggregate.add(state, item)
        merged = aggregate.merge(merged, state)
    assert exact(aggregate.result(merged)) == exact(meaning(aggregate, list(chain.from_iterable(chunks))))


@given(st.lists(tame_floats, max_size=30))
def test_sum_of_floats_is_the_exact_sum_rounded_once(items: list[float]) -> None:
    total = Sum().apply(items)
    if items and math.isfinite(total):
        assert total == float(sum(map(Fraction, items)))
        assert exact(Sum().apply(items[::-1])) == exact(total)


# ---------------------------------------------------------------- refused values


@pytest.mark.parametrize("value", ["1", b"1", 1j, [1], (1,), date(2024, 1, 1)], ids=repr)
def test_sum_refuses(value: Any) -> None:
    with pytest.raises(ValueTypeError, match=f"Sum can't add a value of type {type(value).__name__}"):
        Sum().check({int, type(value)})


@pytest.mark.parametrize("aggregate", [Min(), Max()], ids=name_of)
@pytest.mark.parametrize("value", [1j, [1], {1}, {"a": 1}, bytearray()], ids=repr)
def test_extremes_refuse(aggregate: Aggregate, value: Any) -> None:
    with pytest.raises(ValueTypeError, match=f"{aggregate.name} can't compare"):
        aggregate.check({int, type(value)})
    with pytest.raises(ValueTypeError, match=f"{aggregate.name} can't compare"):
        aggregate.apply([(1,), (value,)])


def test_others_take_everything() -> None:
    for aggregate in AGGREGATES:
        aggregate.check({type(None), bool, int, float})
    Count().check({list, complex})
    Collect().check({list, complex})


# ---------------------------------------------------------------- columns

KEY = Grouping(("k0",))


def pairs_of(names: list[Any], items: list[Any]) -> Pairs:
    key_layout, key_series = key_columns(names)
    layout, series = value_columns(items)
    return Pairs(pl.DataFrame(key_series + series), key_layout, layout)


def columnar(aggregate: Aggregate, chunks: list[list[Any]]) -> Any:
    """One group through the engine's columns, the values cut into chunks."""
    states = [make_states(aggregate, pairs_of(["k"] * len(chunk), chunk)) for chunk in chunks if chunk]
    return finish_states(aggregate, states)[1][0] if states else aggregate.apply([])


NATIVE = {
    "ints": st.none() | integers,
    "floats": st.none() | any_floats,
    "bools": st.none() | st.booleans(),
    "texts": st.none() | plain_texts,
    "bytes": st.none() | binaries,
    "nones": st.none(),
}


@pytest.mark.parametrize("kind", NATIVE)
@pytest.mark.parametrize("aggregate", COMBINING, ids=name_of)
@given(data=st.data())
def test_columns_give_what_python_gives(aggregate: Aggregate, kind: str, data: st.DataObject) -> None:
    """`partial` of random chunks, some joined by `merge_rows`, then `results`."""
    rows = data.draw(st.lists(st.tuples(st.integers(0, 3), NATIVE[kind]), min_size=1, max_size=25))
    frame = pairs_of([key for key, _ in rows], [value for _, value in rows])
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=4))})
    partials = [aggregate.partial(frame.frame[a:b], KEY, frame.values) for a, b in pairwise(cuts)]
    if None in partials:
        assert aggregate.name in ("Sum", "Min", "Max")
        return
    layouts = {partial[0] for partial in partials if partial}
    assert len(layouts) == 1
    layout = layouts.pop()
    states = pl.concat([partial[1] for partial in partials if partial])
    joined = data.draw(st.integers(0, states.height))
    states = pl.concat([aggregate.merge_rows(states[:joined], KEY, layout), states[joined:]])
    merged, results = aggregate.results(states, KEY, layout)
    expected = by_key(rows, aggregate)
    assert exact(dict(zip(merged["k0"].to_list(), list(results), strict=True))) == exact(expected)
    merged_states: dict[int, Any] = {}
    for key, state in zip(states["k0"].to_list(), aggregate.to_states(states, layout), strict=True):
        merged_states[key] = aggregate.merge(merged_states.get(key, aggregate.empty()), state)
    assert exact({key: aggregate.result(s) for key, s in merged_states.items()}) == exact(expected)


def by_key(rows: list[tuple[Any, Any]], aggregate: Aggregate) -> dict[Any, Any]:
    """The meaning, keys in the order of their first rows."""
    groups: dict[Any, list[Any]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return {key: meaning(aggregate, items) for key, items in groups.items()}


@pytest.mark.parametrize("aggregate", COMBINING, ids=name_of)
@given(data=st.data())
def test_chunks_of_different_types(aggregate: Aggregate, data: st.DataObject) -> None:
    """Each chunk has columns of its own types; states widen, or become the packed Python state."""
    kinds = [integers, any_floats, st.booleans(), st.none(), summable]
    if not isinstance(aggregate, Sum):
        kinds += [plain_texts, binaries, keys]
    key_kind = data.draw(key_kinds)
    chunks = data.draw(
        st.lists(
            st.sampled_from(kinds).flatmap(
                lambda kind: st.lists(st.tuples(key_kind, st.none() | kind), min_size=1, max_size=8)
            ),
            min_size=1,
            max_size=5,
        )
    )
    states = [make_states(aggregate, pairs_of([k for k, _ in c], [v for _, v in c])) for c in chunks]
    joined = data.draw(st.integers(0, len(states)))
    if joined:
        states = [join_states(aggregate, states[:joined]), *states[joined:]]
    pairs, results = finish_states(aggregate, states)
    (expected,) = reference._grouped(ONE_SHARD, list(chain.from_iterable(chunks)))
    assert exact(python_keys(pairs.frame, pairs.keys)) == exact([key for key, _ in expected])
    assert exact(results) == exact([meaning(aggregate, items) for _, items in expected])


@pytest.mark.parametrize("aggregate", COMBINING, ids=name_of)
@given(value=st.none() | integers | numbers | any_floats, counts=st.lists(st.integers(1, 2**40), min_size=1))
@example(value=2**63 - 1, counts=[2**40])
@example(value=True, counts=[3])
def test_tally_is_the_value_repeated(aggregate: Aggregate, value: Any, counts: list[int]) -> None:
    if not aggregate.can_tally(value):
        assert not isinstance(aggregate, Count)
        return
    layout, columns = aggregate.tally(value, counts)
    frame = pl.DataFrame([pl.Series("k0", range(len(counts))), *columns])
    merged, results = aggregate.results(frame, KEY, layout)
    expected = counts if isinstance(aggregate, Count) else [value * count for count in counts]
    if isinstance(aggregate, (Min, Max)):
        expected = [value] * len(counts)
    assert exact(list(results)) == exact(expected)
    assert merged["k0"].to_list() == list(range(len(counts)))


def test_bools_and_ones_stay_apart_in_columns() -> None:
    assert exact(columnar(Max(), [[True], [1], [1.0]])) == exact(True)
    assert exact(columnar(Min(), [[1.0], [1], [True]])) == exact(1.0)
    assert exact(columnar(Sum(), [[True], [True]])) == exact(2)


def test_first_form_of_a_key_stays() -> None:
    for names in (
        [1, True, 1.0],
        [True, 1, 1.0],
        [1.0, 1, True],
        [-0.0, 0, 0.0],
        [0.0, -0.0],
        [ODD_NAN, NAN],
    ):
        states = [make_states(Count(), pairs_of([name], [None])) for name in names]
        for parts in (states, [join_states(Count(), states[:2]), *states[2:]]):
            pairs, results = finish_states(Count(), parts)
            assert exact(python_keys(pairs.frame, pairs.keys)) == exact(names[:1])
            assert results == [len(names)]


# ---------------------------------------------------------------- a standard deviation


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1e-200, 3e-200], 1.4142135623730951e-200),  # whose squares are no floats
        ([1e200, -1e200], 1.4142135623730951e200),
        ([2**600, -(2**600)], math.sqrt(2) * 2.0**600),
        ([BIG, -BIG], math.inf),
        ([TINY, 3 * TINY], TINY),
        ([7, 7.0, True + 6], 0.0),
    ],
)
def test_a_deviation_is_that_of_the_exact_variance(given, expected):
    assert Stats().apply(given)["stddev"] == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | integers, min_size=2, max_size=8))
def test_a_deviation_is_rounded_once(given):
    assert Stats().apply(given)["stddev"] == meanings.deviation(given)

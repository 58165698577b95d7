"""The columns law: what is true of one key or value is true of whole columns of them."""

from typing import Any

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from property.strategies import NAN, ODD_FLOATS, ODD_NAN, exact, key_kinds, value_kinds

from mapreduce.codec import MutableValues
from mapreduce.keys import hash_key, normal_key, order_bytes
from mapreduce.shuffle.columns import Pairs, concat, key_columns, python_keys, python_values, value_columns
from mapreduce.shuffle.groups import grouped
from mapreduce.shuffle.hashing import places

key_columns_of = key_kinds.flatmap(lambda kind: st.lists(kind, min_size=1, max_size=8))
value_columns_of = value_kinds.flatmap(lambda kind: st.lists(kind, min_size=1, max_size=8))


def pairs_of(keys: list[Any], values: list[Any]) -> Pairs:
    key_layout, key_series = key_columns(keys)
    value_layout, value_series = value_columns(values)
    return Pairs(pl.DataFrame([*key_series, *value_series]), key_layout, value_layout)


@given(key_columns_of)
@example(ODD_FLOATS)
@example([NAN, ODD_NAN, None])
@example([value for value in ODD_FLOATS if repr(value) != "-0.0"])  # which has no native column
@example([(value, None) for value in ODD_FLOATS if repr(value) != "-0.0"])
@example([("", 2**63 - 1), ("", -(2**63))])
def test_keys_come_back_and_have_their_places(keys: list[Any]) -> None:
    layout, series = key_columns(keys)
    frame = pl.DataFrame(series)
    assert exact(python_keys(frame, layout)) == exact([normal_key(key) for key in keys])
    assert places(frame, layout).to_list() == [hash_key(key) for key in keys]


@given(value_columns_of)
def test_values_come_back(values: list[Any]) -> None:
    try:
        layout, series = value_columns(values)
    except MutableValues:  # they are packed one by one, when they are given
        assert any(map(_has_mutable, values))
        return
    assert exact(python_values(pl.DataFrame(series), layout)) == exact(values)


def _has_mutable(value: Any) -> bool:
    kind = type(value)
    if kind in (tuple, frozenset):
        return any(map(_has_mutable, value))
    return kind in (list, dict, set, bytearray)


@given(st.lists(key_columns_of, min_size=1, max_size=3), st.data())
def test_columns_of_different_types_follow_one_another(parts: list[list[Any]], data: st.DataObject) -> None:
    """Joined, whatever their layouts, they hold the same pairs; and groups come in key order."""
    rows = [[(key, data.draw(st.integers(0, 9) | st.text(max_size=1))) for key in keys] for keys in parts]
    joined = concat([pairs_of([k for k, _ in part], [v for _, v in part]) for part in rows])
    flat = [row for part in rows for row in part]
    assert exact(python_keys(joined.frame, joined.keys)) == exact([normal_key(key) for key, _ in flat])
    assert exact(python_values(joined.frame, joined.values)) == exact([value for _, value in flat])
    expected: dict[bytes, tuple[Any, list[Any]]] = {}
    for key, value in flat:
        expected.setdefault(order_bytes(key), (normal_key(key), []))[1].append(value)
    found = [group for batch in grouped(joined) for group in batch]
    assert exact(found) == exact([expected[order] for order in sorted(expected)])

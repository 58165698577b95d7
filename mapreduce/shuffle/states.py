"""Rows of aggregate states: made from pairs, joined, finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from mapreduce.aggregates import Aggregate
from mapreduce.codec import dump_values, load_value
from mapreduce.shuffle.columns import Pairs, concat_keys, python_values

PACKED = "P"


def make_states(aggregate: Aggregate, pairs: Pairs) -> Pairs:
    """One row or more a key, with the aggregate's state of the key's values."""
    made = aggregate.partial(pairs.frame, pairs.grouping, pairs.values)
    if made:
        return Pairs(made[1], pairs.keys, made[0])
    values = python_values(pairs.frame, pairs.values)
    states = [aggregate.add(aggregate.empty(), value) for value in values]
    return _join_packed(aggregate, _with_states(pairs, states))


def join_states(aggregate: Aggregate, parts: Sequence[Pairs]) -> Pairs:
    """The states of all parts, merged by key in the order of the parts."""
    joined = _concat(aggregate, parts)
    if joined.values == PACKED:
        return _join_packed(aggregate, joined)
    merged = aggregate.merge_rows(joined.frame, joined.grouping, joined.values)
    return Pairs(merged, joined.keys, joined.values)


def finish_states(aggregate: Aggregate, parts: Sequence[Pairs]) -> tuple[Pairs, list[Any]]:
    """Rows in key order, one a key, and the results of their groups."""
    joined = _concat(aggregate, parts)
    if joined.values == PACKED:
        merged = _join_packed(aggregate, joined)
        frame = merged.frame
        results = [aggregate.result(load_value(state)) for state in frame["s0"].to_list()]
    else:
        frame, results = aggregate.results(joined.frame, joined.grouping, joined.values)
    order = frame.select(joined.grouping.columns).with_row_index("row")
    rows = order.sort(joined.grouping.columns, nulls_last=False)["row"]
    ordered = rows.to_list()
    return Pairs(frame[rows], joined.keys, joined.values), [results[row] for row in ordered]


def _with_states(pairs: Pairs, states: list[Any]) -> Pairs:
    rest = pairs.frame.drop(pairs.value_columns)
    packed = pl.Series("s0", dump_values(states), dtype=pl.Binary)
    return Pairs(rest.with_columns(packed), pairs.keys, PACKED)


def _join_packed(aggregate: Aggregate, pairs: Pairs) -> Pairs:
    def merged(states: Iterable[bytes]) -> Any:
        joined = aggregate.empty()
        for state in states:
            joined = aggregate.merge(joined, load_value(state))
        return joined

    keys = pairs.grouping
    frame = keys.by(pairs.frame, pl.col("s0"))
    states = [merged(group) for group in frame["s0"].to_list()]
    return _with_states(Pairs(frame, pairs.keys, PACKED), states)


def _concat(aggregate: Aggregate, parts: Sequence[Pairs]) -> Pairs:
    """One after another, under the narrowest layout of states that holds them all."""
    parts = concat_keys(parts)
    layouts = sorted({part.values for part in parts})
    if len(layouts) > 1:
        parts = _same_states(aggregate, parts, layouts)
    columns = parts[0].frame.columns
    frame = pl.concat([part.frame.select(columns) for part in parts])
    return Pairs(frame, parts[0].keys, parts[0].values)


def _same_states(aggregate: Aggregate, parts: Sequence[Pairs], layouts: list[str]) -> list[Pairs]:
    for wide in layouts:
        widened = [_widen(aggregate, part, wide) for part in parts]
        if all(widened):
            return [part for part in widened if part]
    return [_pack_states(aggregate, part) for part in parts]


def _widen(aggregate: Aggregate, part: Pairs, layout: str) -> Pairs | None:
    if part.values == layout:
        return part
    frame = aggregate.widen(part.frame, part.values, layout)
    return None if frame is None else Pairs(frame, part.keys, layout)


def _pack_states(aggregate: Aggregate, part: Pairs) -> Pairs:
    if part.values == PACKED:
        return part
    return _with_states(part, aggregate.to_states(part.frame, part.values))

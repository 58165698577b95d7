"""Rows of aggregate states: made from pairs, joined, finished.

The states of several aggregates together stand side by side, one row a key: the columns of the
first are s0_0, s0_1, …, under a layout such as {I;F;P}. Of a member whose groups have several
rows, each column holds lists of what these rows have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import polars as pl

from mapreduce.aggregates import Aggregate, Together
from mapreduce.codec import dump_values, load_value
from mapreduce.shuffle.columns import Pairs, concat_keys, python_values

PACKED = "P"


def make_states(aggregate: Aggregate, pairs: Pairs, *, ordered: bool = False) -> Pairs:
    """One row or more a key, with the aggregate's state of the key's values; with `ordered` groups come
    in the order of their first rows.
    """
    if isinstance(aggregate, Together):
        parts = zip(aggregate.members.values(), _member_values(aggregate, pairs), strict=True)
        return _beside(aggregate, [make_states(member, part, ordered=True) for member, part in parts])
    made = aggregate.partial(pairs.frame, replace(pairs.grouping, ordered=ordered), pairs.values)
    if made:
        return Pairs(made[1], pairs.keys, made[0])
    return _python_states(aggregate, pairs)


def make_tally(
    aggregate: Aggregate, value: Any, counts: Sequence[int], keys: str, frame: pl.DataFrame
) -> Pairs:
    """The states of one value, repeated for each row of a frame of keys as often as `counts` says."""
    if isinstance(aggregate, Together):
        tallies = aggregate.tallies(value, counts)
        made = [Pairs(frame.with_columns(states), keys, layout) for layout, states in tallies]
        return _beside(aggregate, made)
    layout, states = aggregate.tally(value, counts)
    return Pairs(frame.with_columns(states), keys, layout)


def join_states(aggregate: Aggregate, parts: Sequence[Pairs], *, ordered: bool = False) -> Pairs:
    """The states of all parts, merged by key in the order of the parts; `ordered` as above."""
    if isinstance(aggregate, Together):
        each = members(aggregate, concat_keys(parts))
        return _beside(aggregate, [join_states(member, own, ordered=True) for member, own in each])
    joined = _concat(aggregate, parts)
    if joined.values == PACKED:
        return _with_states(*_merged(aggregate, joined))
    merged = aggregate.merge_rows(joined.frame, replace(joined.grouping, ordered=ordered), joined.values)
    return Pairs(merged, joined.keys, joined.values)


def finish_states(aggregate: Aggregate, parts: Sequence[Pairs]) -> tuple[Pairs, list[Any]]:
    """Rows in key order, one a key, and the results of their groups."""
    merged, results = finish_columns(aggregate, parts)
    return merged, results.to_list() if isinstance(results, pl.Series) else results


def finish_columns(aggregate: Aggregate, parts: Sequence[Pairs]) -> tuple[Pairs, list[Any] | pl.Series]:
    """The same; results may be a column of integers."""
    if isinstance(aggregate, Together):
        done = [finish_states(member, own) for member, own in members(aggregate, concat_keys(parts))]
        rows = zip(*(results for _, results in done), strict=True)
        return done[0][0], [dict(zip(aggregate.members, row, strict=True)) for row in rows]
    joined = _concat(aggregate, parts)
    results: list[Any] | pl.Series
    if joined.values == PACKED:
        merged, states = _merged(aggregate, joined)
        frame, results = merged.frame, list(map(aggregate.result, states))
    else:
        frame, results = aggregate.results(joined.frame, joined.grouping, joined.values)
    order = frame.select(joined.grouping.columns).with_row_index("row")
    rows_in_order = joined.grouping.in_order(order)["row"]
    done_in_order = (
        results[rows_in_order] if isinstance(results, pl.Series) else [results[row] for row in rows_in_order]
    )
    return Pairs(frame[rows_in_order], joined.keys, joined.values), done_in_order


# ---------------------------------------------------------------- Python states


def _python_states(aggregate: Aggregate, pairs: Pairs) -> Pairs:
    names = pairs.value_columns
    frame = pairs.grouping.by(pairs.frame, *map(pl.col, names), pl.len().alias("rows"))
    flat = iter(python_values(frame.select(names).explode(names), pairs.values))
    states = [_state(aggregate, islice(flat, rows)) for rows in frame["rows"].to_list()]
    return _with_states(Pairs(frame.drop("rows"), pairs.keys, pairs.values), states)


def _state(aggregate: Aggregate, values: Iterable[Any]) -> Any:
    state = aggregate.empty()
    for value in values:
        state = aggregate.add(state, value)
    return state


def _with_states(pairs: Pairs, states: list[Any]) -> Pairs:
    rest = pairs.frame.drop(pairs.value_columns)
    packed = pl.Series("s0", dump_values(states), dtype=pl.Binary)
    return Pairs(rest.with_columns(packed), pairs.keys, PACKED)


def _merged(aggregate: Aggregate, pairs: Pairs) -> tuple[Pairs, list[Any]]:
    """One row a key, and their states."""
    frame = pairs.grouping.by(pairs.frame, pl.col("s0"))
    return Pairs(frame, pairs.keys, PACKED), [_joined(aggregate, group) for group in frame["s0"].to_list()]


def _joined(aggregate: Aggregate, packed: list[bytes]) -> Any:
    joined = load_value(packed[0])
    for state in packed[1:]:
        joined = aggregate.merge(joined, load_value(state))
    return joined


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


# ---------------------------------------------------------------- several aggregates


def _member_values(together: Together, pairs: Pairs) -> Iterator[Pairs]:
    """For each member the pairs with its own values."""
    keys = pairs.frame.select(name for name in pairs.frame.columns if name.startswith("k"))
    for member, places in together.parts:
        columns = [pairs.frame[f"v{place}"].alias(f"v{index}") for index, place in enumerate(places)]
        codes = "".join(pairs.values[1 + place] for place in places)
        yield Pairs(keys.with_columns(columns), pairs.keys, f"({codes})" if member.wide else codes)


def _beside(together: Together, made: list[Pairs]) -> Pairs:
    """States of all members, side by side: groups are in the same order in all of them."""
    frames = []
    for index, (member, part) in enumerate(zip(together.members.values(), made, strict=True)):
        frame = part.frame
        if not member.single(part.values):
            frame = part.grouping.by(frame, *map(pl.col, part.value_columns))
        states = {name: f"s{index}_{name[1:]}" for name in part.value_columns}
        frames.append(frame.rename(states) if not index else frame.select(*states).rename(states))
    layouts = ";".join(part.values for part in made)
    return Pairs(pl.concat(frames, how="horizontal"), made[0].keys, f"{{{layouts}}}")


def members(together: Together, parts: Sequence[Pairs]) -> Iterator[tuple[Aggregate, list[Pairs]]]:
    """Each member with its states of all parts."""
    for index, member in enumerate(together.members.values()):
        yield member, [_member_states(member, index, part) for part in parts]


def _member_states(member: Aggregate, index: int, part: Pairs) -> Pairs:
    layout = part.values[1:-1].split(";")[index]
    prefix = f"s{index}_"
    states = {name: f"s{name.removeprefix(prefix)}" for name in part.frame.columns if name.startswith(prefix)}
    keys = [name for name in part.frame.columns if name.startswith("k")]
    frame = part.frame.select(*keys, *states).rename(states)
    return Pairs(frame if member.single(layout) else frame.explode(*states.values()), part.keys, layout)

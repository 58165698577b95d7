"""What a map attempt holds of its pairs: columns, grouped early where the job allows it.

Three buffers for three kinds of reduce. All are fed with lists of keys and values in emit order,
are told to settle while the blocks of input that the pairs came from are still at hand (a key or
value may be refused only then), and finish as one `Pairs`. When they group depends on the number
of rows alone.
"""

from __future__ import annotations

from collections import _count_elements  # type: ignore[attr-defined]
from collections.abc import Callable, Iterator
from itertools import islice
from operator import countOf
from typing import Any, Protocol

import polars as pl

from mapreduce.aggregates import Aggregate, as_aggregate
from mapreduce.codec import PLAIN, MutableValues, dump_value, load_value
from mapreduce.errors import UserCodeError
from mapreduce.job import Job
from mapreduce.keys import normal_key
from mapreduce.shuffle.columns import (
    Pairs,
    concat,
    input_columns,
    key_columns,
    nulls,
    packed_series,
    python_keys,
    python_values,
    value_columns,
)
from mapreduce.shuffle.groups import grouped
from mapreduce.shuffle.states import join_states, make_states, make_tally

FLUSH_ROWS = 2**18
"""Rows that are grouped at once on the map side."""
TALLY_KEYS = 2**20
"""Distinct keys that a tally holds."""


class Buffer(Protocol):
    """Takes the pairs of one map attempt."""

    @property
    def keeps_values(self) -> bool:
        """Values stay as they are beyond `add`, so one that changes later must be packed first."""

    def add(self, keys: list[Any], values: list[Any]) -> None:
        """Take pairs. Raises ValueTypeError for values that the aggregate does not take."""

    def add_repeated(self, keys: list[Any], value: Any) -> None:
        """Take pairs that all have one value."""

    def count_stream(self, keys: Iterator[Any], value: Any) -> bool:
        """Take pairs that all have one value, as they are given; False if none were taken.

        How many they were is known when the buffer has finished. Raises MutableValues if another
        way must be gone.
        """

    @property
    def streamed(self) -> int:
        """After `finish`: how many pairs `count_stream` took."""

    def pack(self, value: Any) -> bytes:
        """What the buffer needs of a value, as it is now. Raises as `add`."""

    def add_packed(self, keys: list[Any], packed: list[bytes]) -> None:
        """Take pairs whose values `pack` packed when they were given."""

    def add_frame(self, pairs: Pairs) -> None:
        """Take pairs that are columns already. Raises ValueTypeError as `add` does."""

    def waiting(self) -> int:
        """Pairs that may yet be refused."""

    def settle(self) -> None:
        """Make columns of what was added.

        Raises KeyTypeError or ValueTypeError, and MutableValues if `add_packed` must be used.
        """

    def finish(self) -> Pairs | None:
        """All that was added, in order; None for nothing. The buffer is used up."""


class PlainBuffer:
    """Keeps every pair."""

    streamed = 0

    def __init__(self) -> None:
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._parts: list[Pairs] = []

    @property
    def keeps_values(self) -> bool:
        return True

    def add(self, keys: list[Any], values: list[Any]) -> None:
        self._keys += keys
        self._values += values

    def add_repeated(self, keys: list[Any], value: Any) -> None:
        self.add(keys, [value] * len(keys))

    def count_stream(self, keys: Iterator[Any], value: Any) -> bool:
        return False

    def pack(self, value: Any) -> bytes:
        return dump_value(value)

    def add_packed(self, keys: list[Any], packed: list[bytes]) -> None:
        PlainBuffer.settle(self)
        if keys:
            layout, series = key_columns(keys)
            self._parts.append(Pairs(pl.DataFrame([*series, packed_series(packed)]), layout, "*"))

    def add_frame(self, pairs: Pairs) -> None:
        PlainBuffer.settle(self)
        self._parts.append(pairs)

    def settle(self) -> None:
        if self._keys:
            keys, key_series = key_columns(self._keys)
            values, value_series = value_columns(self._values)
            self._parts.append(Pairs(pl.DataFrame(key_series + value_series), keys, values))
            self._keys, self._values = [], []

    def waiting(self) -> int:
        return len(self._keys)

    def finish(self) -> Pairs | None:
        return concat(self._parts) if self._parts else None


class CombineBuffer(PlainBuffer):
    """Joins the values of equal keys by the job's `combine` whenever enough rows have come."""

    def __init__(self, combine: Callable[[Any, list[Any]], Any]) -> None:
        super().__init__()
        self._combine = combine
        self._rows = 0

    def add_frame(self, pairs: Pairs) -> None:
        super().add_frame(pairs)
        self._rows += len(pairs)

    def settle(self) -> None:
        self._rows += len(self._keys)
        super().settle()
        if self._rows >= FLUSH_ROWS:
            self._parts = [self._combined()]
            self._rows = 0

    def finish(self) -> Pairs | None:
        return self._combined() if self._parts else None

    def _combined(self) -> Pairs:
        joined = PlainBuffer()
        for batch in grouped(concat(self._parts)):
            odd: dict[str, list[Any]] = {"keys": [], "packed": []}
            for key, group in batch:
                value = self._combine(key, group) if len(group) > 1 else group[0]
                if type(value) in PLAIN:
                    joined.add([key], [value])
                else:
                    odd["keys"].append(key)
                    odd["packed"].append(dump_value(value))
            joined.settle()
            joined.add_packed(odd["keys"], odd["packed"])
        return concat(joined._parts)


class StateBuffer(PlainBuffer):
    """Holds the aggregate's states instead of the values, and until then what it takes of them.

    Pairs of one repeated value whose keys are plain str, int or bytes are counted in a dict, at
    C speed and without making columns: the pattern of most counting jobs. That keeps neither
    the order of pairs nor of keys, so only aggregates with a `tally` take part, and keys of
    another type end the counting first.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        super().__init__()
        self._aggregate = aggregate
        self._as_given = aggregate.of is None and not aggregate.wide
        self._columns: list[list[Any]] = []
        self._rows = 0
        self._states: list[Pairs] = []
        self._tally: dict[Any, int] = {}
        self._tallied: tuple[type, Any] | None = None
        self.streamed = 0

    @property
    def keeps_values(self) -> bool:
        return self._aggregate.keeps_values

    def add(self, keys: list[Any], values: list[Any]) -> None:
        if self._aggregate.counts_pairs:
            self._add_one(keys, None)
            return
        if self._as_given and _one_int(values):
            self._add_one(keys, self._taken(values[0]))
            return
        columns = self._aggregate.take(values)
        if not self._as_given and not self._aggregate.wide and _one_int(columns[0]):
            self._add_one(keys, columns[0][0])
        else:
            self._add_columns(keys, columns)

    def add_repeated(self, keys: list[Any], value: Any) -> None:
        self._add_one(keys, self._taken(value))

    def _taken(self, value: Any) -> Any:
        """What the aggregate takes of one value."""
        if self._aggregate.counts_pairs:
            return None
        columns = self._aggregate.take([value])
        return tuple(column[0] for column in columns) if self._aggregate.wide else columns[0][0]

    def _add_one(self, keys: list[Any], taken: Any) -> None:
        kind = type(keys[0])
        countable = kind is str or (kind in (int, bytes) and countOf(map(type, keys), kind) == len(keys))
        if countable and self._aggregate.can_tally(taken):
            if self._tallied != (kind, taken):
                self._end_tally()
                self._tallied = (kind, taken)
            if self._count(keys, kind):
                return
        row = taken if self._aggregate.wide and not self._aggregate.counts_pairs else (taken,)
        self._add_columns(keys, [[item] * len(keys) for item in row])

    def _count(self, keys: list[Any], kind: type) -> bool:
        """Count keys of one type. Of str only the keys that are new to the tally are looked at, for
        speed; if one is no str, the keys are not counted.
        """
        before = len(self._tally)
        try:
            _count_elements(self._tally, keys)
        except TypeError:  # a key that can't be hashed
            for key in keys:
                normal_key(key)
            raise
        new = len(self._tally) - before
        if new and countOf(map(type, islice(reversed(self._tally), new)), kind) != new:
            self._uncount(keys)
            return False
        self.streamed -= len(keys)  # `_end_tally` adds them again, with those that were streamed
        if len(self._tally) > TALLY_KEYS:
            self._end_tally()
        return True

    def count_stream(self, keys: Iterator[Any], value: Any) -> bool:
        if self._tallied is None:
            return False
        try:
            taken = self._taken(value)
        except UserCodeError:  # if there is a key for it, `add_repeated` will tell
            return False
        if self._tallied != (str, taken) or not self._aggregate.can_tally(taken):
            return False
        before = len(self._tally)
        try:
            _count_elements(self._tally, keys)
        except TypeError:  # a key that can't be hashed, or the function's own: one by one it is told
            raise MutableValues from None
        new = len(self._tally) - before
        if new and countOf(map(type, islice(reversed(self._tally), new)), str) != new:
            raise MutableValues
        if len(self._tally) > TALLY_KEYS:
            self._end_tally()
        return True

    def add_frame(self, pairs: Pairs) -> None:
        column = self._column_of(pairs)
        self._end_tally()
        self._make_columns()
        if column is None:  # of objects that nobody else holds, and may change
            keys = python_keys(pairs.frame, pairs.keys)
            columns = self._aggregate.take(python_values(pairs.frame, pairs.values))
            self._parts.append(self._as_pairs(keys, columns, frozen=False))
        else:
            code, series = column
            self._aggregate.examine(series.drop_nulls().head(1).to_list())
            keys_alone = [one for one in pairs.frame.iter_columns() if one.name.startswith("k")]
            self._parts.append(Pairs(pl.DataFrame([*keys_alone, series.alias("v0")]), pairs.keys, code))
        self._rows += len(pairs)
        if self._rows >= FLUSH_ROWS:
            self._group()

    def _column_of(self, pairs: Pairs) -> tuple[str, pl.Series] | None:
        """The native column that the aggregate takes of a frame's values, and its layout."""
        aggregate, layout = self._aggregate, pairs.values
        if aggregate.counts_pairs:
            return "n", nulls("v0", len(pairs))
        if aggregate.wide or type(aggregate).take is not Aggregate.take:
            return None
        if aggregate.of is None and len(layout) == 1 and layout != "*":
            return layout, pairs.frame["v0"]
        of = aggregate.of
        if type(of) is int and layout.startswith("(") and 0 <= of < len(layout) - 2:
            return layout[1:-1][of], pairs.frame[f"v{of}"]
        return None

    def _uncount(self, keys: list[Any]) -> None:
        for key in keys:
            self._tally[key] -= 1
            if not self._tally[key]:
                del self._tally[key]

    def pack(self, value: Any) -> bytes:
        return dump_value(self._taken(value))

    def add_packed(self, keys: list[Any], packed: list[bytes]) -> None:
        self._make_columns()
        if keys:
            taken = list(map(load_value, packed))
            wide = self._aggregate.wide and not self._aggregate.counts_pairs
            columns = list(map(list, zip(*taken, strict=True))) if wide else [taken]
            self._parts.append(self._as_pairs(keys, columns, frozen=False))

    def _add_columns(self, keys: list[Any], columns: list[list[Any]]) -> None:
        self._end_tally()
        self._keys += keys
        if not self._columns:
            self._columns = [[] for _ in columns]
        for column, more in zip(self._columns, columns, strict=True):
            column += more

    def settle(self) -> None:
        self._rows += len(self._keys)
        self._make_columns()
        if self._rows >= FLUSH_ROWS:
            self._group()

    def _make_columns(self) -> None:
        if self._keys:
            self._parts.append(self._as_pairs(self._keys, self._columns, frozen=True))
            self._keys, self._columns = [], []

    def _as_pairs(self, keys: list[Any], columns: list[list[Any]], *, frozen: bool) -> Pairs:
        key_layout, key_series = key_columns(keys)
        layout, series = input_columns(columns, wide=self._aggregate.wide, frozen=frozen)
        return Pairs(pl.DataFrame([*key_series, *series]), key_layout, layout)

    def finish(self) -> Pairs | None:
        self._end_tally()
        self._group()
        if len(self._states) > 1:
            return join_states(self._aggregate, self._states)
        return self._states[0] if self._states else None

    def _end_tally(self) -> None:
        if self._tallied is None or not self._tally:
            return
        self._group()
        self.streamed += sum(self._tally.values())
        keys, key_series = key_columns(list(self._tally))
        counts, frame = list(self._tally.values()), pl.DataFrame(key_series)
        self._states.append(make_tally(self._aggregate, self._tallied[1], counts, keys, frame))
        self._tally, self._tallied = {}, None
        self._join_states()

    def _group(self) -> None:
        """Turn the rows so far into states; they come before everything that is added later."""
        self._make_columns()
        if self._parts:
            self._states.append(make_states(self._aggregate, concat(self._parts)))
            self._parts, self._rows = [], 0
            self._join_states()

    def _join_states(self) -> None:
        """Join states when they would double, so that the work stays linear."""
        rows = sum(map(len, self._states))
        if len(self._states) > 1 and rows > 4 * max(FLUSH_ROWS, len(self._states[0])):
            self._states = [join_states(self._aggregate, self._states)]


def _one_int(values: list[Any]) -> bool:
    """Whether all values are the same int."""
    return values.count(values[0]) == len(values) == countOf(map(type, values), int)


def make_buffer(job: Job, combine: Callable[[Any, list[Any]], Any] | None) -> Buffer:
    """The buffer for a job's reduce; `combine` is the job's, guarded."""
    aggregate = as_aggregate(job.reduce)
    if job.combines and aggregate:
        return StateBuffer(aggregate)
    return CombineBuffer(combine) if combine else PlainBuffer()

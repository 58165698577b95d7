"""What a map attempt holds of its pairs: columns, grouped early where the job allows it.

Three buffers for three kinds of reduce. All are fed with lists of keys and values in emit order, and
are told to settle while the blocks of input that the pairs came from are still at hand (a key or
value may be refused only then). What they hold goes to `keep` in runs, in emit order: as a rule one,
when they finish, and one whenever they hold too much. When they group and hand over depends on the
pairs alone, never on the machine, because a job's `combine` may give other bits where it is called
for other neighbours.
"""

from __future__ import annotations

from collections import _count_elements  # type: ignore[attr-defined]
from collections.abc import Callable, Iterator
from itertools import chain, islice
from operator import countOf
from sys import getsizeof
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
FRAMES = 3
"""Frames that are grouped at once, where each has more rows than that."""
RUN_BYTES = 48 * 2**20
"""Bytes of pairs that are held before they are handed over. Ordering and writing them takes as much
again, which fits into the least budget that a worker can have."""
STATE_BYTES = 24 * 2**20
"""Bytes of states that are held: joining them takes several times as much."""
TALLY_KEYS = 2**19
TALLY_BYTES = 48 * 2**20
"""Distinct keys that a tally holds, and bytes of them."""
_IN_TUPLES = frozenset({str, int, bytes, bool, type(None)})
"""Types whose objects a dict tells apart as keys are."""

Keep = Callable[[Pairs], None]
"""Takes a run of pairs, which came after those of all earlier runs."""


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

    def finish(self) -> None:
        """Hand over what is left. The buffer is used up."""


class PlainBuffer:
    """Keeps every pair."""

    streamed = 0

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._parts: list[Pairs] = []
        self._held = 0

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
            self._hold(Pairs(pl.DataFrame([*series, packed_series(packed)]), layout, "*"))

    def add_frame(self, pairs: Pairs) -> None:
        PlainBuffer.settle(self)
        self._hold(pairs)

    def _hold(self, pairs: Pairs) -> None:
        self._parts.append(pairs)
        self._held += pairs.size

    def settle(self) -> None:
        if self._keys:
            keys, key_series = key_columns(self._keys)
            values, value_series = value_columns(self._values)
            self._keys, self._values = [], []
            self._hold(Pairs(pl.DataFrame(key_series + value_series), keys, values))
        if self._held > RUN_BYTES:
            self._relieve()

    def _relieve(self) -> None:
        """There is much: hold less."""
        self._hand_over()

    def _hand_over(self) -> None:
        parts, self._parts, self._held = self._parts, [], 0
        if parts:
            for run in _runs(concat(parts)):
                self._keep(run)

    def waiting(self) -> int:
        return len(self._keys)

    def finish(self) -> None:
        self._hand_over()


def _runs(pairs: Pairs) -> Iterator[Pairs]:
    """One after another, none much larger than a run should be: a frame of the job's may be."""
    rows = len(pairs) if pairs.size <= 2 * RUN_BYTES else max(1, RUN_BYTES * len(pairs) // pairs.size)
    for start in range(0, len(pairs), max(1, rows)):
        yield Pairs(pairs.frame.slice(start, rows), pairs.keys, pairs.values)


class CombineBuffer(PlainBuffer):
    """Joins the values of equal keys by the job's `combine` whenever enough rows have come."""

    def __init__(self, keep: Keep, combine: Callable[[Any, list[Any]], Any]) -> None:
        super().__init__(keep)
        self._combine = combine
        self._rows = 0

    def add_frame(self, pairs: Pairs) -> None:
        super().add_frame(pairs)
        self._rows += len(pairs)

    def settle(self) -> None:
        self._rows += len(self._keys)
        super().settle()
        if self._rows >= FLUSH_ROWS:
            self._join()

    def _relieve(self) -> None:
        self._join()
        if self._held > RUN_BYTES // 2:
            self._hand_over()

    def finish(self) -> None:
        if self._parts:
            self._join()
        super().finish()

    def _join(self) -> None:
        joined = PlainBuffer(self._keep)
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
        self._parts, self._held, self._rows = joined._parts, joined._held, 0


class StateBuffer(PlainBuffer):
    """Holds the aggregate's states instead of the values, and until then what it takes of them.

    Pairs of one repeated value whose keys are plain str, int or bytes, or tuples of these, are
    counted in a dict, at C speed and without making columns: the pattern of most counting jobs.
    That keeps neither the order of pairs nor of keys, so only aggregates with a `tally` take part,
    and keys of another type end the counting first.
    """

    def __init__(self, keep: Keep, aggregate: Aggregate) -> None:
        super().__init__(keep)
        self._aggregate = aggregate
        self._as_given = aggregate.of is None and not aggregate.wide
        self._columns: list[list[Any]] = []
        self._rows = 0
        self._states: list[Pairs] = []
        self._state_bytes = 0
        self._tally: dict[Any, int] = {}
        self._tallied: tuple[type, Any] | None = None
        self._measured = self._tally_bytes = 0
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
        if _countable(keys, kind) and self._aggregate.can_tally(taken):
            if self._tallied != (kind, taken):
                self._end_tally()
                self._tallied = (kind, taken)
            if self._count(keys, kind):
                return
        row = taken if self._aggregate.wide and not self._aggregate.counts_pairs else (taken,)
        self._add_columns(keys, [[item] * len(keys) for item in row])

    def _count(self, keys: list[Any], kind: type) -> bool:
        """Count keys of one type. Of str and tuples only the keys that are new to the tally are looked
        at, for speed; if one is something else, the keys are not counted.
        """
        before = len(self._tally)
        try:
            _count_elements(self._tally, keys)
        except TypeError:  # a key that can't be hashed
            for key in keys:
                normal_key(key)
            raise
        new = len(self._tally) - before
        if new and not _are_plain(list(islice(reversed(self._tally), new)), kind):
            self._uncount(keys)
            return False
        self.streamed -= len(keys)  # `_end_tally` adds them again, with those that were streamed
        if len(self._tally) > TALLY_KEYS:
            self._end_tally()
        return True

    def count_stream(self, keys: Iterator[Any], value: Any) -> bool:
        if self._tallied is None or self._tallied[0] not in (str, tuple):
            return False
        kind, tallied = self._tallied
        try:
            taken = self._taken(value)
        except UserCodeError:  # if there is a key for it, `add_repeated` will tell
            return False
        if tallied != taken or not self._aggregate.can_tally(taken):
            return False
        before = len(self._tally)
        try:
            _count_elements(self._tally, keys)
        except TypeError:  # a key that can't be hashed, or the function's own: one by one it is told
            raise MutableValues from None
        new = len(self._tally) - before
        if new and not _are_plain(list(islice(reversed(self._tally), new)), kind):
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
            self._hold(self._as_pairs(keys, columns, frozen=False))
        else:
            code, series = column
            self._aggregate.examine(series.drop_nulls().head(1).to_list())
            keys_alone = [one for one in pairs.frame.iter_columns() if one.name.startswith("k")]
            self._hold(Pairs(pl.DataFrame([*keys_alone, series.alias("v0")]), pairs.keys, code))
        self._rows += len(pairs)
        if self._rows >= FLUSH_ROWS and (len(self._parts) >= FRAMES or self._held > RUN_BYTES):
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
            self._hold(self._as_pairs(keys, columns, frozen=False))

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
        if self._rows >= FLUSH_ROWS or self._held > STATE_BYTES:
            self._group()
        self._measure_tally()

    def _measure_tally(self) -> None:
        """End the tally if its keys, which may be long, take much."""
        if self._tallied is None or self._tallied[0] is int:
            return
        new = list(islice(reversed(self._tally), len(self._tally) - self._measured))
        self._measured += len(new)
        inner = chain.from_iterable(new) if self._tallied[0] is tuple else ()
        self._tally_bytes += sum(map(getsizeof, chain(new, inner)))
        if self._tally_bytes > TALLY_BYTES:
            self._end_tally()

    def _make_columns(self) -> None:
        if self._keys:
            self._hold(self._as_pairs(self._keys, self._columns, frozen=True))
            self._keys, self._columns = [], []

    def _as_pairs(self, keys: list[Any], columns: list[list[Any]], *, frozen: bool) -> Pairs:
        key_layout, key_series = key_columns(keys)
        layout, series = input_columns(columns, wide=self._aggregate.wide, frozen=frozen)
        return Pairs(pl.DataFrame([*key_series, *series]), key_layout, layout)

    def finish(self) -> None:
        self._end_tally()
        self._group()
        self._hand_over_states()

    def _hand_over_states(self) -> None:
        states, self._states, self._state_bytes = self._states, [], 0
        if states:
            self._keep(join_states(self._aggregate, states) if len(states) > 1 else states[0])

    def _end_tally(self) -> None:
        if self._tallied is None or not self._tally:
            return
        self._group()
        self.streamed += sum(self._tally.values())
        keys, key_series = key_columns(list(self._tally))
        counts, frame = list(self._tally.values()), pl.DataFrame(key_series)
        made = make_tally(self._aggregate, self._tallied[1], counts, keys, frame)
        self._tally, self._tallied, self._measured, self._tally_bytes = {}, None, 0, 0
        self._add_states(made)

    def _group(self) -> int:
        """Turn the rows so far into states; they come before everything that is added later. How many
        rows of states they make.
        """
        self._make_columns()
        if not self._parts:
            return 0
        made = make_states(self._aggregate, concat(self._parts))
        self._parts, self._held, self._rows = [], 0, 0
        self._add_states(made)
        return len(made)

    def _add_states(self, made: Pairs) -> None:
        """Join states when they would double, so that the work stays linear, or are many; hand them
        over if they are many even so.
        """
        self._states.append(made)
        self._state_bytes += made.size
        rows = sum(map(len, self._states))
        many = rows > 4 * max(FLUSH_ROWS, len(self._states[0])) or self._state_bytes > STATE_BYTES
        if many and len(self._states) > 1:
            self._states = [join_states(self._aggregate, self._states)]
            self._state_bytes = self._states[0].size
        if many and self._state_bytes > STATE_BYTES // 2:
            self._hand_over_states()


def _countable(keys: list[Any], kind: type) -> bool:
    """Whether keys that begin with one of this type should be tallied."""
    if kind is tuple:
        return _IN_TUPLES.issuperset(map(type, keys[0]))
    return kind is str or (kind in (int, bytes) and _are_plain(keys, kind))


def _are_plain(keys: list[Any], kind: type) -> bool:
    """Whether all keys are of this type, and tuples hold nothing but what a dict tells apart as keys are."""
    if countOf(map(type, keys), kind) != len(keys):
        return False
    return kind is not tuple or _IN_TUPLES.issuperset(map(type, chain.from_iterable(keys)))


def _one_int(values: list[Any]) -> bool:
    """Whether all values are the same int."""
    return values.count(values[0]) == len(values) == countOf(map(type, values), int)


def make_buffer(job: Job, combine: Callable[[Any, list[Any]], Any] | None, keep: Keep) -> Buffer:
    """The buffer for a job's reduce; `combine` is the job's, guarded."""
    aggregate = as_aggregate(job.reduce)
    if job.combines and aggregate:
        return StateBuffer(keep, aggregate)
    return CombineBuffer(keep, combine) if combine else PlainBuffer(keep)

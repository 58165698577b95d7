"""Aggregates: what a reduce often is, as a value that knows three forms of itself.

- *Python*: `empty`, `add`, `merge`, `result`, one value at a time. It defines the meaning.
- *columns*: `partial` turns rows of values into rows of states, `merge_rows` joins rows of
  states, `results` gives the values. A property test holds it equal to the Python form.
- *repeated*: `tally` gives states for one value that came n times, where order does not matter.

A row of states has the key's columns and the state's own, s0, s1, …. States travel in segments
under a layout, one capital for a form of their own ("I" integers, "F" exact binary fractions), a
small letter for a native value, and "P" for the packed Python state, which every other can become.

polars is imported inside the functions that use it: a job is made in processes that never do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mapreduce.errors import KeyTypeError, ValueTypeError
from mapreduce.keys import SCALARS, order_bytes

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Grouping:
    """The key's columns in a frame: those that decide equality, and one that comes along.

    `original`, where the key needs it, holds keys as they were given; the first of a group stays.
    """

    columns: tuple[str, ...]
    original: str | None = None

    def by(self, frame: pl.DataFrame, *states: pl.Expr, also: Sequence[str] = ()) -> pl.DataFrame:
        """One row a group, groups in the order of their first rows, with the given states."""
        import polars as pl

        first = [pl.col(self.original).first()] if self.original else []
        return frame.group_by(*self.columns, *also, maintain_order=True).agg(*first, *states)


INT64 = range(-(2**63), 2**63)
NUMBERS = frozenset({bool, int, float})


class Aggregate(ABC):
    """What a group of values comes to. Stateless: it may be used by many jobs at once."""

    combines: ClassVar[bool] = True
    """States are smaller than the values, so the map side makes them."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def name(self) -> str:
        """The class's name, as messages and manifests show it."""
        return type(self).__name__

    def check(self, kinds: set[type]) -> None:  # noqa: B027 - most take every value
        """Raise ValueTypeError if a value of one of these exact types can't be aggregated."""

    @abstractmethod
    def empty(self) -> Any:
        """The state of no values. States are plain data."""

    @abstractmethod
    def add(self, state: Any, value: Any) -> Any:
        """The state with one more value; may change and return `state`."""

    @abstractmethod
    def merge(self, state: Any, other: Any) -> Any:
        """The state of `state`'s values followed by `other`'s."""

    @abstractmethod
    def result(self, state: Any) -> Any:
        """What the values come to."""

    def apply(self, values: Iterable[Any]) -> Any:
        """What these values come to: the Python form from end to end."""
        state = self.empty()
        for value in values:
            state = self.add(state, value)
        return self.result(state)

    counts_pairs: ClassVar[bool] = False
    """The values do not matter, only how many there are."""

    def can_tally(self, value: Any) -> bool:
        """Whether `tally` takes this value."""
        return False

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        """Layout and columns of states: `value`, repeated as often as each of `counts` says."""
        raise TypeError(f"{self.name} has no tally")

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        """States, a group each or more, of a frame of native values in the column `value`.

        `layout` is the value column's, as in `shuffle.columns`. None: use the Python form.
        Rows of equal keys keep their order.
        """
        return None

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        """Join rows of states; they are in input order."""
        raise TypeError(f"{self.name} has no states of layout {layout}")

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        """Merge, and give a frame with one row a group and the groups' results."""
        raise TypeError(f"{self.name} has no states of layout {layout}")

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        """The rows of states in a layout other than "P" as Python states."""
        raise TypeError(f"{self.name} has no states of layout {layout}")

    def widen(self, frame: pl.DataFrame, layout: str, other: str) -> pl.DataFrame | None:
        """Rows of `layout` as rows of the wider layout `other`, or None."""
        return None


class Count(Aggregate):
    """The number of pairs, those with the value None included."""

    counts_pairs = True

    def can_tally(self, value: Any) -> bool:
        return True

    def empty(self) -> int:
        return 0

    def add(self, state: int, value: Any) -> int:
        return state + 1

    def merge(self, state: int, other: int) -> int:
        return state + other

    def result(self, state: int) -> int:
        return state

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        return "I", [pl.Series("s0", counts, dtype=pl.Int128)]

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame]:
        import polars as pl

        return "I", group.by(frame, pl.len().cast(pl.Int128).alias("s0"))

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        return group.by(frame, pl.col("s0").sum())

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        merged = self.merge_rows(frame, group, layout)
        return merged, merged["s0"].to_list()

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        return frame["s0"].to_list()


_INT_BUCKET, _PLUS, _MINUS, _NAN = -1, 1001, 1002, 1003
_SCALE = 1074
"""Every finite float is an integer multiple of 2**-1074."""


class Sum(Aggregate):
    """The exact sum, rounded once; an int if all values are ints, a float if any is one.

    Overflow gives ±inf, inf - inf NaN, no values 0. None is skipped. Takes bool, int, float.

    Floats are added as integers (after Neal, "Fast exact summation using small and large
    superaccumulators", 2015): the value v with biased exponent e is the integer
    v * 2**(1075 - 32 * b) in the bucket b = e // 32, and integers add exactly in any order.
    """

    def check(self, kinds: set[type]) -> None:
        wrong = kinds - NUMBERS - {type(None)}
        if wrong:
            raise ValueTypeError(
                f"Sum can't add a value of type {_names(wrong)}.", hint="Give int, float, bool or None."
            )

    def empty(self) -> list[Any]:
        return [0, None, 0, 0, 0]  # ints, floats * 2**1074 (None: no float), +inf, -inf, NaN

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is None:
            return state
        if type(value) is not float:
            state[0] += value
            return state
        state[1] = state[1] or 0
        if value != value:
            state[4] += 1
        elif value in (_INF, -_INF):
            state[2 if value > 0 else 3] += 1
        else:
            numerator, denominator = value.as_integer_ratio()
            state[1] += numerator << (_SCALE + 1 - denominator.bit_length())
        return state

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        floats = None if state[1] is None and other[1] is None else (state[1] or 0) + (other[1] or 0)
        return [state[0] + other[0], floats, *(a + b for a, b in zip(state[2:], other[2:], strict=True))]

    def result(self, state: list[Any]) -> int | float:
        ints, floats, plus, minus, nan = state
        if floats is None:
            return int(ints)
        if nan or (plus and minus):
            return float("nan")
        if plus or minus:
            return _INF if plus else -_INF
        return _rounded(floats + (ints << _SCALE), _SCALE)

    def can_tally(self, value: Any) -> bool:
        return type(value) is int and value in INT64

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        return "I", [pl.Series("s0", [value * count for count in counts], dtype=pl.Int128)]

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        import polars as pl

        if layout in ("i", "o", "n"):
            return "I", group.by(frame, pl.col("v0").cast(pl.Int128).sum().alias("s0"))
        if layout == "f":
            return "F", group.by(_buckets(frame), pl.col("s1").sum(), also=["s0"])
        return None

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        if layout == "I":
            return group.by(frame, pl.col("s0").sum())
        return group.by(frame, pl.col("s1").sum(), also=["s0"])

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        import polars as pl

        merged = self.merge_rows(frame, group, layout)
        if layout == "I":
            return merged, merged["s0"].to_list()
        merged = group.by(merged, pl.col("s0"), pl.col("s1"))
        rows = zip(merged["s0"].to_list(), merged["s1"].to_list(), strict=True)
        return merged, [_add_buckets(buckets, parts) for buckets, parts in rows]

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        if layout == "I":
            return [[total, None, 0, 0, 0] for total in frame["s0"].to_list()]
        return [
            _bucket_state(b, part)
            for b, part in zip(frame["s0"].to_list(), frame["s1"].to_list(), strict=True)
        ]

    def widen(self, frame: pl.DataFrame, layout: str, other: str) -> pl.DataFrame | None:
        import polars as pl

        if (layout, other) != ("I", "F"):
            return None
        return frame.with_columns(s0=pl.lit(_INT_BUCKET, pl.Int16), s1=pl.col("s0"))


_INF = float("inf")


def _names(kinds: set[type]) -> str:
    return ", ".join(sorted(kind.__qualname__ for kind in kinds))


def _rounded(numerator: int, shift: int) -> float:
    """numerator / 2**shift, correctly rounded."""
    try:
        return numerator / (1 << shift)
    except OverflowError:
        return _INF if numerator > 0 else -_INF


def _buckets(frame: pl.DataFrame) -> pl.DataFrame:
    """The float column v0 as a bucket s0 and an integer s1, as `Sum` explains."""
    import polars as pl

    def u64(number: int) -> pl.Expr:
        return pl.lit(number, dtype=pl.UInt64)

    bits = pl.col("bits")
    frame = frame.with_columns(bits=pl.col("v0").reinterpret(dtype=pl.UInt64))
    frame = frame.with_columns(
        e=(bits // u64(2**52)) % u64(2**11), m=bits % u64(2**52), neg=bits >= u64(2**63)
    )
    special = pl.col("e") == 2047
    frame = frame.with_columns(
        x=pl.max_horizontal(pl.col("e"), u64(1)),
        m=pl.when(pl.col("e") > 0).then(pl.col("m") + 2**52).otherwise(pl.col("m")),
    )
    power = ((pl.col("x") % 32 + 1023) * u64(2**52)).reinterpret(dtype=pl.Float64).cast(pl.Int128)
    size = pl.col("m").cast(pl.Int128) * power
    infinite = pl.when(pl.col("neg")).then(_MINUS).otherwise(_PLUS)
    return frame.with_columns(
        s0=pl.when(pl.col("v0").is_null())
        .then(_INT_BUCKET)
        .when(special)
        .then(pl.when(pl.col("m") == 2**52).then(infinite).otherwise(_NAN))
        .otherwise(pl.col("x") // 32)
        .cast(pl.Int16),
        s1=pl.when(pl.col("v0").is_null())
        .then(pl.lit(0, pl.Int128))
        .when(special)
        .then(pl.lit(1, pl.Int128))
        .otherwise(pl.when(pl.col("neg")).then(pl.lit(0, pl.Int128) - size).otherwise(size)),
    ).drop("bits", "e", "m", "neg", "x")


def _bucket_state(bucket: int, part: int) -> list[Any]:
    if bucket == _INT_BUCKET:
        return [part, None, 0, 0, 0]
    if bucket >= _PLUS:
        return [0, 0, *(part if bucket == kind else 0 for kind in (_PLUS, _MINUS, _NAN))]
    return [0, part << 32 * bucket >> 1, 0, 0, 0]


def _add_buckets(buckets: list[int], parts: list[int]) -> int | float:
    total = Sum()
    state = total.empty()
    for bucket, part in zip(buckets, parts, strict=True):
        state = total.merge(state, _bucket_state(bucket, part))
    return total.result(state)


class _Extreme(Aggregate):
    """The first value that no other one precedes in the key order. None is skipped; no values: None."""

    _largest: ClassVar[bool]

    def check(self, kinds: set[type]) -> None:
        wrong = kinds - SCALARS - {tuple}
        if wrong:
            raise ValueTypeError(
                f"{self.name} can't compare a value of type {_names(wrong)}.",
                hint="Give None, bool, int, float, str, bytes, date, datetime or tuples of these.",
            )

    def empty(self) -> list[Any]:
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        return state if value is None else self.merge(state, [value])

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        if not other:
            return state
        try:
            new = order_bytes(other[0])
            if not state:
                return other
            kept = order_bytes(state[0])
        except KeyTypeError as error:
            raise ValueTypeError(f"{self.name} can't compare: {error.message}", hint=error.hint) from None
        return other if (new > kept if self._largest else new < kept) else state

    def result(self, state: list[Any]) -> Any:
        return state[0] if state else None

    def _best(self, column: str, layout: str) -> pl.Expr:
        import polars as pl

        values = pl.col(column)
        if layout != "f":
            return (values.max() if self._largest else values.min()).alias("s0")
        best = values.nan_max() if self._largest else values.min()
        return values.filter(values == best).first().alias("s0")

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        if layout not in ("i", "f", "s", "b", "o"):
            return None
        return layout, group.by(frame, self._best("v0", layout))

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        return group.by(frame, self._best("s0", layout))

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        merged = self.merge_rows(frame, group, layout)
        return merged, merged["s0"].to_list()

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        return [[] if value is None else [value] for value in frame["s0"].to_list()]


class Min(_Extreme):
    """The smallest value in the key order; of equal ones the first. None is skipped; no values: None."""

    _largest = False


class Max(_Extreme):
    """The largest value in the key order (NaN is last); of equal ones the first. None is skipped."""

    _largest = True


class Collect(Aggregate):
    """A list of the values in input order. None is skipped."""

    combines = False

    def empty(self) -> list[Any]:
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            state.append(value)
        return state

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        return state + other

    def result(self, state: list[Any]) -> list[Any]:
        return state

    def apply(self, values: Iterable[Any]) -> list[Any]:
        return [value for value in values if value is not None]

"""What an aggregate is: a value that knows three forms of itself.

- *Python*: `empty`, `add`, `merge`, `result`, one value at a time. It defines the meaning.
- *columns*: `partial` turns rows of values into rows of states, `merge_rows` joins rows of
  states, `results` gives the values. A property test holds it equal to the Python form.
- *repeated*: `tally` gives states for one value that came n times, where order does not matter.

All three work on what `take` makes of the values that a map gave: the columns that `of` and `by`
choose. `take` is called when the values are given, and refuses those that can't be aggregated.

A row of states has the key's columns and the state's own, s0, s1, …. States travel in segments
under a layout, one capital for a form of their own ("I" integers, "F" exact binary fractions,
"B" counts of buckets), the layout of the values they hold ("i", "(fs)"), and "P" for the packed
Python state, which every other can become.

polars is imported inside the functions that use it: a job is made in processes that never do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from mapreduce.aggregates.choice import Choice, choose, shown
from mapreduce.codec import dump_value, load_value

if TYPE_CHECKING:
    import polars as pl

INT64 = range(-(2**63), 2**63)
ORDERED = ("i", "f", "s", "b", "o")
"""Layouts whose columns polars compares as keys are compared."""
STREAMED_ROWS = 2**15
"""From here on polars' streaming engine groups faster: its tables are small."""
PACKED_NONE = dump_value(None)
_NONE = type(None)


@dataclass(frozen=True)
class Grouping:
    """The key's columns in a frame: those that decide equality, and one that comes along.

    `original`, where the key needs it, holds keys as they were given; the first of a group stays.
    `ordered`: groups must come in the order of their first rows, whatever is asked of them.
    """

    columns: tuple[str, ...]
    original: str | None = None
    ordered: bool = False

    def by(self, frame: pl.DataFrame, *states: pl.Expr, also: Sequence[str] = ()) -> pl.DataFrame:
        """One row a group, groups in the order of their first rows, with the given states."""
        import polars as pl

        first = [pl.col(self.original).first()] if self.original else []
        return frame.group_by(*self.columns, *also, maintain_order=True).agg(*first, *states)

    def in_order(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows in key order, those of equal keys as they are.

        Text is compared as the bytes of its row: sorting the frame by it takes two to three times as long.
        """
        import polars as pl

        columns = self.columns
        if not frame.height or (len(columns) == 1 and frame.schema[columns[0]] not in (pl.String, pl.Binary)):
            return frame.sort(columns, nulls_last=False, maintain_order=True)
        keys = frame.select(columns).with_row_index("row")
        return frame[keys.select(pl.arg_sort_by(*columns, "row")).to_series()]

    def sums(self, frame: pl.DataFrame, *states: pl.Expr) -> pl.DataFrame:
        """The same for states that don't depend on the order of rows; groups may come in any order."""
        floats = any(frame.schema[name].is_float() for name in self.columns)  # NaN has many forms
        if self.ordered or self.original or floats or frame.height < STREAMED_ROWS:
            return self.by(frame, *states)
        return frame.lazy().group_by(*self.columns).agg(*states).collect(engine="streaming")


class Aggregate(ABC):
    """What a group of values comes to. Stateless: it may be used by many jobs at once."""

    combines: ClassVar[bool] = True
    """States are smaller than the values, so the map side makes them."""
    of: Choice = None
    """What of a value is aggregated; None: the value."""
    by: Choice = None
    """What of a value is compared, where it is not what is aggregated."""

    def __repr__(self) -> str:
        given = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        chosen = [f"{name}={shown(given.pop(name))}" for name in ("of", "by") if given.get(name) is not None]
        options = [shown(value) for name, value in given.items() if name not in ("of", "by")]
        return f"{self.name}({', '.join(options + chosen)})"

    @property
    def name(self) -> str:
        """The class's name, as messages and manifests show it."""
        return type(self).__name__

    @property
    def counts_pairs(self) -> bool:
        """The values do not matter, only how many there are."""
        return False

    @property
    def keeps_values(self) -> bool:
        """States may hold values that can still change, so these must be packed when they are given."""
        return True

    @property
    def wide(self) -> bool:
        """What `take` gives are several columns, and `add` gets tuples of their elements."""
        return self.by is not None

    # ------------------------------------------------------------ what is aggregated

    def take(self, values: list[Any]) -> list[list[Any]]:
        """Columns of what is aggregated, checked. Raises ValueTypeError and UserFunctionError.

        With `by` they are two, what is compared and what is returned. Where one has None, both have:
        the pair is skipped.
        """
        if self.by is not None:
            return self._take_pairs(values)
        column = choose(self, "of", self.of, values)
        self.examine(column)
        return [column]

    def _take_pairs(self, values: list[Any]) -> list[list[Any]]:
        compared = choose(self, "by", self.by, values)
        returned = list(choose(self, "of", self.of, values))
        self.examine(compared)
        if _NONE in set(map(type, compared)) or _NONE in set(map(type, returned)):
            for index, pair in enumerate(zip(compared, returned, strict=True)):
                if pair[0] is None or pair[1] is None:
                    compared[index] = returned[index] = None
        return [compared, returned]

    def examine(self, column: Sequence[Any]) -> None:
        """Raise ValueTypeError if one of these can't be aggregated."""
        self.check(set(map(type, column)))

    def check(self, kinds: set[type]) -> None:  # noqa: B027 - most take every value
        """Raise ValueTypeError if a value of one of these exact types can't be aggregated."""

    # ------------------------------------------------------------ the Python form

    @abstractmethod
    def empty(self) -> Any:
        """The state of no values. States are plain data."""

    @abstractmethod
    def add(self, state: Any, value: Any) -> Any:
        """The state with one more value, as `take` gave it; may change and return `state`."""

    @abstractmethod
    def merge(self, state: Any, other: Any) -> Any:
        """The state of `state`'s values followed by `other`'s; may change and return `state`."""

    @abstractmethod
    def result(self, state: Any) -> Any:
        """What the values come to."""

    def apply(self, values: Iterable[Any]) -> Any:
        """What these values, as a map gave them, come to: the Python form from end to end."""
        columns = self.take(list(values))
        state = self.empty()
        for value in zip(*columns, strict=True) if self.wide else columns[0]:
            state = self.add(state, value)
        return self.result(state)

    def record(self, key: Any, result: Any) -> Any:
        """What the output gets for a group."""
        return key, result

    # ------------------------------------------------------------ the repeated form

    def can_tally(self, value: Any) -> bool:
        """Whether `tally` takes this value."""
        return False

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        """Layout and columns of states: `value`, repeated as often as each of `counts` says."""
        raise TypeError(f"{self.name} has no tally")

    # ------------------------------------------------------------ the columnar form

    def single(self, layout: str) -> bool:
        """Whether groups have one row each in states that were merged."""
        return True

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        """States, a group each or more, of a frame of native values in the columns v0, v1, ….

        `layout` is the value columns', as in `shuffle.columns`. None: use the Python form.
        Rows of equal keys keep their order, and keys that of their first rows.
        """
        return None

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        """Join rows of states; they are in input order."""
        raise TypeError(f"{self.name} has no states of layout {layout}")

    def results(
        self, frame: pl.DataFrame, group: Grouping, layout: str
    ) -> tuple[pl.DataFrame, list[Any] | pl.Series]:
        """Merge, and give a frame with one row a group and the groups' results, which may be a column of
        integers.
        """
        raise TypeError(f"{self.name} has no states of layout {layout}")

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        """The rows of states in a layout other than "P" as Python states."""
        raise TypeError(f"{self.name} has no states of layout {layout}")

    def widen(self, frame: pl.DataFrame, layout: str, other: str) -> pl.DataFrame | None:
        """Rows of `layout` as rows of the wider layout `other`, or None."""
        return None


def unpacked(objects: Iterable[Any], code: str) -> list[Any]:
    """What a column of one code of a layout holds, as Python objects."""
    if code != "*":
        return list(objects)
    return [data if data is None else load_value(data) for data in objects]


def python_lists(series: pl.Series, code: str) -> list[list[Any]]:
    """A column of lists as Python objects, without the nulls in them."""
    series = series.list.drop_nulls()
    stops = accumulate(series.list.len().to_list())
    flat = unpacked(series.explode(empty_as_null=False).to_list(), code)
    return [flat[start:stop] for start, stop in pairwise(chain([0], stops))]


def without_none(column: str, code: str) -> pl.Expr:
    """The column with null for None, which in a packed column is a value."""
    import polars as pl

    values = pl.col(column)
    return pl.when(values != pl.lit(PACKED_NONE)).then(values) if code == "*" else values

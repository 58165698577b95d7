"""CountDistinct and CollectSet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import ORDERED, Aggregate, Grouping, python_lists
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.comparing import check_column, check_kinds, order_of

if TYPE_CHECKING:
    import polars as pl


class _Distinct(Aggregate):
    """Values that differ as keys do: 1, 1.0 and True are one, and all NaN are.

    The Python state is a dict from the order of a value to its first form. Rows of states are the
    distinct values, a row each, null for None.
    """

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid(self.name, "of", of)

    @property
    def keeps_values(self) -> bool:
        return False

    def examine(self, column: Sequence[Any]) -> None:
        check_column(self.name, column)

    def check(self, kinds: set[type]) -> None:
        check_kinds(self.name, kinds)

    def empty(self) -> dict[bytes, Any]:
        return {}

    def add(self, state: dict[bytes, Any], value: Any) -> dict[bytes, Any]:
        if value is not None:
            state.setdefault(order_of(self.name, value), value)
        return state

    def merge(self, state: dict[bytes, Any], other: dict[bytes, Any]) -> dict[bytes, Any]:
        for order, value in other.items():
            state.setdefault(order, value)
        return state

    def single(self, layout: str) -> bool:
        return layout == "P"

    def _distinct(self, frame: pl.DataFrame, group: Grouping, column: str) -> pl.DataFrame:
        import polars as pl

        return group.by(frame, pl.col(column).unique(maintain_order=True).alias("s0"))

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        if layout not in ORDERED:
            return None
        return layout, self._distinct(frame, group, "v0").explode("s0")

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        return self._distinct(frame, group, "s0").explode("s0")

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        return [self.add({}, value) for value in frame["s0"].to_list()]


class CountDistinct(_Distinct):
    """The exact number of values that differ as keys do. None is skipped. Takes what can be a key."""

    def result(self, state: dict[bytes, Any]) -> int:
        return len(state)

    def results(
        self, frame: pl.DataFrame, group: Grouping, layout: str
    ) -> tuple[pl.DataFrame, list[Any] | pl.Series]:
        merged = self._distinct(frame, group, "s0")
        return merged, merged["s0"].list.drop_nulls().list.len()


class CollectSet(_Distinct):
    """A list of the values that differ as keys do, in key order, each in its first form.

    None is skipped. Takes what can be a key.
    """

    def result(self, state: dict[bytes, Any]) -> list[Any]:
        return [value for _, value in sorted(state.items())]

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        merged = self._distinct(frame, group, "s0")
        lists = python_lists(merged["s0"], layout)
        for values in lists:  # faster than the sort of a column of lists, if these are short
            values.sort(key=_nan_last if layout == "f" else None)
        return merged, lists


def _nan_last(value: float) -> tuple[bool, float]:
    return value != value, value

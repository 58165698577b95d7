"""TopK and BottomK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mapreduce.aggregates.base import ORDERED, Aggregate, Grouping, python_lists, unpacked
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.comparing import check_column, check_kinds, order_of
from mapreduce.errors import JobError

if TYPE_CHECKING:
    import polars as pl


class _Ranked(Aggregate):
    """The k values that come first in the key order, or from its end.

    The Python state is a list of at most k [order, value], best first. Rows of states are such
    lists too, a row an element, and perhaps rows of nulls after them.
    """

    _largest: ClassVar[bool]

    def __init__(self, k: int, *, of: Choice = None, by: Choice = None) -> None:
        if type(k) is not int or k < 1:
            raise JobError(f"{self.name}: k={k!r}.", hint="Give a number from 1.")
        self.k = k
        self.of = valid(self.name, "of", of)
        self.by = valid(self.name, "by", by)

    @property
    def keeps_values(self) -> bool:
        return self.wide

    def examine(self, column: Sequence[Any]) -> None:
        check_column(self.name, column)

    def check(self, kinds: set[type]) -> None:
        check_kinds(self.name, kinds)

    def empty(self) -> list[Any]:
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        compared, returned = value if self.wide else (value, value)
        return state if compared is None else self._put(state, order_of(self.name, compared), returned)

    def _put(self, state: list[Any], order: bytes, value: Any) -> list[Any]:
        place = len(state)
        while place and (order > state[place - 1][0] if self._largest else order < state[place - 1][0]):
            place -= 1
        if place < self.k:
            state.insert(place, [order, value])
            del state[self.k :]
        return state

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        for order, value in other:
            state = self._put(state, order, value)
        return state

    def result(self, state: list[Any]) -> list[Any]:
        return [value for _, value in state]

    def single(self, layout: str) -> bool:
        return layout == "P"

    def _ranked(self, frame: pl.DataFrame, group: Grouping, prefix: str) -> pl.DataFrame:
        import polars as pl

        compared = pl.col(f"{prefix}0")
        lists = [
            pl.col(f"{prefix}{index}")
            .sort_by(compared, descending=self._largest, nulls_last=True, maintain_order=True)
            .head(self.k)
            .alias(f"s{index}")
            for index in range(1 + self.wide)
        ]
        return group.by(frame, *lists)

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        if (layout[1:2] if self.wide else layout) not in ORDERED:
            return None
        return layout, self._rows(self._ranked(frame, group, "v"))

    def _rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.explode([f"s{index}" for index in range(1 + self.wide)])

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        return self._rows(self._ranked(frame, group, "s"))

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        merged = self._ranked(frame, group, "s")
        if not self.wide:
            return merged, python_lists(merged["s0"], layout)
        lists = zip(merged["s0"].to_list(), merged["s1"].to_list(), strict=True)
        present = [
            [item for rank, item in zip(ranks, items, strict=True) if rank is not None]
            for ranks, items in lists
        ]
        return merged, [unpacked(items, layout[2]) for items in present]

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        compared = frame["s0"].to_list()
        returned = unpacked(frame["s1"].to_list(), layout[2]) if self.wide else compared
        return [self.add([], row if self.wide else row[0]) for row in zip(compared, returned, strict=True)]


class TopK(_Ranked):
    """The k largest values in the key order (NaN is the largest number), largest first; of equal ones
    those that came first. None is skipped.

    With `by`, what `of` says of the values whose `by` is the largest.
    """

    _largest = True


class BottomK(_Ranked):
    """The k smallest values in the key order, smallest first; of equal ones those that came first.
    None is skipped.

    With `by`, what `of` says of the values whose `by` is the smallest.
    """

    _largest = False

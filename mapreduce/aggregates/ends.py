"""First and Last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mapreduce.aggregates.base import ORDERED, Aggregate, Grouping, unpacked, without_none
from mapreduce.aggregates.choice import Choice, valid

if TYPE_CHECKING:
    import polars as pl


class _End(Aggregate):
    """A value by its place in the input. The Python state is empty, or holds the value."""

    _last: ClassVar[bool]

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid(self.name, "of", of)

    def empty(self) -> list[Any]:
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        return state if value is None or (state and not self._last) else [value]

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        return (other or state) if self._last else (state or other)

    def result(self, state: list[Any]) -> Any:
        return state[0] if state else None

    def _end(self, values: pl.Expr) -> pl.Expr:
        present = values.drop_nulls()
        return (present.last() if self._last else present.first()).alias("s0")

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        if layout not in (*ORDERED, "*"):
            return None
        return layout, group.by(frame, self._end(without_none("v0", layout)))

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        return group.by(frame, self._end(pl.col("s0")))

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        merged = self.merge_rows(frame, group, layout)
        return merged, unpacked(merged["s0"].to_list(), layout)

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        return [[] if value is None else [value] for value in unpacked(frame["s0"].to_list(), layout)]


class First(_End):
    """The first value in input order that is not None; no values: None."""

    _last = False


class Last(_End):
    """The last value in input order that is not None; no values: None."""

    _last = True

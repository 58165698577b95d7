"""Collect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import ORDERED, Aggregate, Grouping, python_lists, unpacked, without_none
from mapreduce.aggregates.choice import Choice, valid

if TYPE_CHECKING:
    import polars as pl


class Collect(Aggregate):
    """A list of the values in input order. None is skipped.

    Rows of states are the values, a row a value, null for None.
    """

    combines = False

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid("Collect", "of", of)

    def empty(self) -> list[Any]:
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            state.append(value)
        return state

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        state.extend(other)
        return state

    def result(self, state: list[Any]) -> list[Any]:
        return state

    def single(self, layout: str) -> bool:
        return layout == "P"

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        if layout not in (*ORDERED, "*"):
            return None
        return layout, frame.with_columns(s0=without_none("v0", layout)).drop("v0")

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        return frame

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        import polars as pl

        merged = group.by(frame, pl.col("s0"))
        return merged, python_lists(merged["s0"], layout)

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        return [[] if value is None else [value] for value in unpacked(frame["s0"].to_list(), layout)]

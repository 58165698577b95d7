"""Count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import Aggregate, Grouping
from mapreduce.aggregates.choice import Choice, choose, valid

if TYPE_CHECKING:
    import polars as pl


class Count(Aggregate):
    """The number of pairs, those with the value None included; with `of`, of what is not None."""

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid("Count", "of", of)

    @property
    def counts_pairs(self) -> bool:
        return self.of is None

    @property
    def keeps_values(self) -> bool:
        return False

    def take(self, values: list[Any]) -> list[list[Any]]:
        """Whether each value counts; all do without `of`."""
        if self.of is None:
            return [[True] * len(values)]
        return [[item is not None for item in choose(self, "of", self.of, values)]]

    def empty(self) -> int:
        return 0

    def add(self, state: int, value: Any) -> int:
        return state + (1 if self.of is None else value)

    def merge(self, state: int, other: int) -> int:
        return state + other

    def result(self, state: int) -> int:
        return state

    def can_tally(self, value: Any) -> bool:
        return True

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        counted = counts if self.of is None or value else [0] * len(counts)
        return "I", [pl.Series("s0", counted, dtype=pl.Int128)]

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame]:
        import polars as pl

        number = pl.len() if self.of is None else pl.col("v0").sum()
        return "I", group.sums(frame, number.cast(pl.Int128).alias("s0"))

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        return group.sums(frame, pl.col("s0").sum())

    def results(
        self, frame: pl.DataFrame, group: Grouping, layout: str
    ) -> tuple[pl.DataFrame, list[Any] | pl.Series]:
        merged = self.merge_rows(frame, group, layout)
        return merged, merged["s0"]

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        return frame["s0"].to_list()

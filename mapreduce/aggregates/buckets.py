"""What counts numbers by buckets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import Aggregate, Grouping
from mapreduce.aggregates.exact import check_numbers

if TYPE_CHECKING:
    import polars as pl

_NO_BUCKET = -(2**30)
"""Of rows of states for None; their count is 0."""


class Bucketed(Aggregate):
    """Counts by buckets. The Python state is a dict from bucket to count; rows are (bucket, count)."""

    @property
    def keeps_values(self) -> bool:
        return False

    def check(self, kinds: set[type]) -> None:
        check_numbers(self.name, "count", kinds)

    @abstractmethod
    def bucket(self, value: Any) -> int:
        """The number of a value's bucket."""

    @abstractmethod
    def buckets(self, layout: str) -> pl.Expr:
        """`bucket` of the column v0 of the layout i, o or f; of null anything."""

    @abstractmethod
    def summary(self, counts: dict[int, int]) -> Any:
        """What counts by buckets, in any order, come to."""

    def empty(self) -> dict[int, int]:
        return {}

    def add(self, state: dict[int, int], value: Any) -> dict[int, int]:
        if value is not None:
            bucket = self.bucket(value)
            state[bucket] = state.get(bucket, 0) + 1
        return state

    def merge(self, state: dict[int, int], other: dict[int, int]) -> dict[int, int]:
        for bucket, count in other.items():
            state[bucket] = state.get(bucket, 0) + count
        return state

    def result(self, state: dict[int, int]) -> Any:
        return self.summary(state)

    def can_tally(self, value: Any) -> bool:
        return type(value) is int

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        buckets = pl.Series("s0", [self.bucket(value)] * len(counts), dtype=pl.Int32)
        return "B", [buckets, pl.Series("s1", counts, dtype=pl.Int64)]

    def single(self, layout: str) -> bool:
        return layout == "P"

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        import polars as pl

        if layout not in ("i", "o", "f", "n"):
            return None
        null = pl.lit(_NO_BUCKET, pl.Int32)
        buckets = pl.when(pl.col("v0").is_not_null()).then(self.buckets(layout)) if layout != "n" else null
        frame = frame.with_columns(s0=buckets.cast(pl.Int32).fill_null(_NO_BUCKET))
        return "B", group.by(frame, pl.col("v0").count().cast(pl.Int64).alias("s1"), also=["s0"])

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        return group.by(frame, pl.col("s1").sum(), also=["s0"])

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        import polars as pl

        merged = group.by(self.merge_rows(frame, group, layout), pl.col("s0", "s1").sort_by("s0"))
        return merged, list(map(self.result, self.to_states(merged, layout)))

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        rows = zip(frame["s0"].to_list(), frame["s1"].to_list(), strict=True)
        return [_counts(*row) if isinstance(row[0], list) else _counts([row[0]], [row[1]]) for row in rows]


def _counts(buckets: list[int], counts: list[int]) -> dict[int, int]:
    return {bucket: count for bucket, count in zip(buckets, counts, strict=True) if count}

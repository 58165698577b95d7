"""Sum and Mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import INT64, Aggregate, Grouping
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.exact import (
    INT_BUCKET,
    add_buckets,
    add_number,
    bucket_state,
    bucketed,
    check_numbers,
    mean,
    merge_numbers,
    no_numbers,
    quotient,
    total,
)

if TYPE_CHECKING:
    import polars as pl


class Sum(Aggregate):
    """The exact sum, rounded once; an int if all values are ints, a float if any is one.

    Overflow gives ±inf, inf - inf NaN, no values 0. None is skipped. Takes bool, int, float.
    """

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid("Sum", "of", of)

    @property
    def keeps_values(self) -> bool:
        return False

    def check(self, kinds: set[type]) -> None:
        check_numbers(self.name, "add", kinds)

    def empty(self) -> list[Any]:
        return no_numbers()

    def add(self, state: list[Any], value: Any) -> list[Any]:
        return state if value is None else add_number(state, value)

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        return merge_numbers(state, other)

    def result(self, state: list[Any]) -> int | float:
        return total(state)

    def can_tally(self, value: Any) -> bool:
        return type(value) is int and value in INT64

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        return "I", [pl.Series("s0", [value * count for count in counts], dtype=pl.Int128)]

    def single(self, layout: str) -> bool:
        return layout != "F"

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        import polars as pl

        if layout in ("i", "o", "n"):
            return "I", group.sums(frame, pl.col("v0").cast(pl.Int128).sum().alias("s0"))
        if layout == "f":
            return "F", group.by(bucketed(frame), pl.col("s1").sum(), also=["s0"])
        return None

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        if layout == "I":
            return group.sums(frame, pl.col("s0").sum())
        return group.by(frame, pl.col("s1").sum(), also=["s0"])

    def results(
        self, frame: pl.DataFrame, group: Grouping, layout: str
    ) -> tuple[pl.DataFrame, list[Any] | pl.Series]:
        import polars as pl

        merged = self.merge_rows(frame, group, layout)
        if layout == "I":
            return merged, merged["s0"]
        merged = group.by(merged, pl.col("s0"), pl.col("s1"))
        rows = zip(merged["s0"].to_list(), merged["s1"].to_list(), strict=True)
        return merged, [total(add_buckets(buckets, parts)) for buckets, parts in rows]

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        if layout == "I":
            return [[number, None, 0, 0, 0] for number in frame["s0"].to_list()]
        rows = zip(frame["s0"].to_list(), frame["s1"].to_list(), strict=True)
        return [bucket_state(bucket, part) for bucket, part in rows]

    def widen(self, frame: pl.DataFrame, layout: str, other: str) -> pl.DataFrame | None:
        import polars as pl

        if (layout, other) != ("I", "F"):
            return None
        return frame.with_columns(s0=pl.lit(INT_BUCKET, pl.Int16), s1=pl.col("s0"))


class Mean(Aggregate):
    """The exact mean, rounded once: a float; None of no values.

    Infinities, NaN and overflow as `Sum` has them. None is skipped. Takes bool, int, float.
    """

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid("Mean", "of", of)

    @property
    def keeps_values(self) -> bool:
        return False

    def check(self, kinds: set[type]) -> None:
        check_numbers(self.name, "add", kinds)

    def empty(self) -> list[Any]:
        return [no_numbers(), 0]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            add_number(state[0], value)
            state[1] += 1
        return state

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        return [merge_numbers(state[0], other[0]), state[1] + other[1]]

    def result(self, state: list[Any]) -> float | None:
        return mean(*state)

    def can_tally(self, value: Any) -> bool:
        return type(value) is int and value in INT64

    def tally(self, value: Any, counts: Sequence[int]) -> tuple[str, list[pl.Series]]:
        import polars as pl

        sums = pl.Series("s0", [value * count for count in counts], dtype=pl.Int128)
        return "I", [sums, pl.Series("s1", counts, dtype=pl.Int64)]

    def single(self, layout: str) -> bool:
        return layout != "F"

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        import polars as pl

        number = pl.col("v0").count().cast(pl.Int64)
        if layout in ("i", "o", "n"):
            return "I", group.sums(frame, pl.col("v0").cast(pl.Int128).sum().alias("s0"), number.alias("s1"))
        if layout == "f":
            return "F", group.by(bucketed(frame), pl.col("s1").sum(), number.alias("s2"), also=["s0"])
        return None

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        if layout == "I":
            return group.sums(frame, pl.col("s0", "s1").sum())
        return group.by(frame, pl.col("s1", "s2").sum(), also=["s0"])

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        import polars as pl

        merged = self.merge_rows(frame, group, layout)
        if layout == "I":
            rows = merged.select("s0", "s1").iter_rows()
            return merged, [quotient(sums, number) if number else None for sums, number in rows]
        merged = group.by(merged, pl.col("s0", "s1"), pl.col("s2").sum())
        rows = merged.select("s0", "s1", "s2").iter_rows()
        return merged, [mean(add_buckets(buckets, parts), number) for buckets, parts, number in rows]

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        if layout == "I":
            return [[[sums, None, 0, 0, 0], number] for sums, number in frame.select("s0", "s1").iter_rows()]
        rows = frame.select("s0", "s1", "s2").iter_rows()
        return [[bucket_state(bucket, part), number] for bucket, part, number in rows]

    def widen(self, frame: pl.DataFrame, layout: str, other: str) -> pl.DataFrame | None:
        import polars as pl

        if (layout, other) != ("I", "F"):
            return None
        return frame.with_columns(s0=pl.lit(INT_BUCKET, pl.Int16), s1=pl.col("s0"), s2=pl.col("s1"))

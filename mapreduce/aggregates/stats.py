"""Stats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import Aggregate, Grouping
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.exact import (
    SCALE,
    add_buckets,
    add_number,
    bucket_state,
    check_numbers,
    mean,
    merge_numbers,
    no_numbers,
    root,
    scaled,
    total,
)
from mapreduce.aggregates.extremes import Max, Min
from mapreduce.aggregates.squares import WIDTH, bucket_squares, float_parts, int_parts, int_squares

if TYPE_CHECKING:
    import polars as pl

_MIN, _MAX = Min(), Max()
_SUMS, _ENDS = [f"s{index}" for index in range(1, 6)], ["s6", "s7"]


class Stats(Aggregate):
    """A dict of count, sum, mean, min, max and stddev, all exact and rounded once.

    `sum` and `mean` are those of `Sum` and `Mean`, `min` and `max` those of `Min` and `Max`.
    `stddev` is the sample's, the square root of (n Σx² − (Σx)²) / (n (n − 1)): None of less than two
    values, NaN if there is an infinity or NaN. None is skipped. Takes bool, int, float.

    The Python state is [numbers as `Sum` has them, Σx² of the ints, Σx² * 2**2148 of the floats,
    count, `Min`'s state, `Max`'s].
    """

    def __init__(self, *, of: Choice = None) -> None:
        self.of = valid("Stats", "of", of)

    @property
    def keeps_values(self) -> bool:
        return False

    def check(self, kinds: set[type]) -> None:
        check_numbers(self.name, "add", kinds)

    def empty(self) -> list[Any]:
        return [no_numbers(), 0, 0, 0, [], []]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is None:
            return state
        add_number(state[0], value)
        if type(value) is not float:
            state[1] += value * value
        elif math.isfinite(value):
            state[2] += scaled(value) ** 2
        state[3] += 1
        state[4], state[5] = _MIN.add(state[4], value), _MAX.add(state[5], value)
        return state

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        sums = [a + b for a, b in zip(state[1:4], other[1:4], strict=True)]
        ends = [_MIN.merge(state[4], other[4]), _MAX.merge(state[5], other[5])]
        return [merge_numbers(state[0], other[0]), *sums, *ends]

    def result(self, state: list[Any]) -> dict[str, Any]:
        numbers, ints, floats, number, smallest, largest = state
        return {
            "count": number,
            "sum": total(numbers),
            "mean": mean(numbers, number),
            "min": _MIN.result(smallest),
            "max": _MAX.result(largest),
            "stddev": _deviation(numbers, ints, floats, number),
        }

    # ------------------------------------------------------------ columns

    def single(self, layout: str) -> bool:
        return not layout.startswith("F")

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        """Layouts of states: F, a row a bucket, where s0 is; else I or O, where s0 is 0.

        s1 to s4 are sums: of values, and of the parts of their squares; s5 the count; s6, s7 the ends.
        """
        import polars as pl

        if layout not in ("i", "o", "f"):
            return None
        parts = float_parts(frame) if layout == "f" else int_parts(frame)
        ends = [_MIN.best(frame, "v0").alias("s6"), _MAX.best(frame, "v0").alias("s7")]
        count = pl.col("v0").count().cast(pl.Int64).alias("s5")
        made = group.by(parts, pl.col(_SUMS[:4]).sum(), count, *ends, also=["s0"])
        return {"i": "I", "o": "O", "f": "F"}[layout], made

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        import polars as pl

        return group.by(frame, pl.col(_SUMS).sum(), *_ends(frame), also=["s0"])

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        import polars as pl

        merged = self.merge_rows(frame, group, layout)
        if layout == "F":  # of equal values all are in one bucket, so it does not matter which is first
            columns = [pl.col("s0"), pl.col(_SUMS[:4]), pl.col("s5").sum()]
            merged = group.by(merged, *columns, *_ends(merged))
        return merged, list(map(self.result, self.to_states(merged, layout)))

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        rows = frame.select("s0", *_SUMS, *_ENDS).iter_rows()
        if layout != "F":
            return [_int_state(*row) for row in rows]
        return [_float_state(*row) for row in rows]


def _ends(frame: pl.DataFrame) -> list[pl.Expr]:
    return [_MIN.best(frame, "s6").alias("s6"), _MAX.best(frame, "s7").alias("s7")]


def _int_state(_: int, sums: int, high: int, middle: int, low: int, count: int, *ends: Any) -> list[Any]:
    return [[sums, None, 0, 0, 0], int_squares(high, middle, low), 0, count, *_wrapped(ends)]


def _float_state(
    bucket: Any, sums: Any, high: Any, middle: Any, low: Any, count: int, *ends: Any
) -> list[Any]:
    """The state of a row, whose sums are those of one bucket, or lists of those of several."""
    if isinstance(bucket, list):
        numbers = add_buckets(bucket, sums, WIDTH)
        squares = sum(map(bucket_squares, bucket, high, middle, low))
    else:
        numbers = bucket_state(bucket, sums, WIDTH)
        squares = bucket_squares(bucket, high, middle, low)
    return [numbers, 0, squares, count, *_wrapped(ends)]


def _wrapped(ends: Any) -> list[list[Any]]:
    return [[] if end is None else [end] for end in ends]


def _deviation(numbers: list[Any], ints: int, floats: int, number: int) -> float | None:
    if number < 2:
        return None
    if any(numbers[2:]):
        return math.nan
    shift = 0 if numbers[1] is None else SCALE
    sums = (int(numbers[0]) << shift) + (numbers[1] or 0)
    squares = (ints << 2 * shift) + floats
    spread = number * squares - sums * sums
    return root(spread, number * (number - 1) << 2 * shift)

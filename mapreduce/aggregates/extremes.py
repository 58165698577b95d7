"""Min and Max."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mapreduce.aggregates.base import ORDERED, Aggregate, Grouping, unpacked
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.comparing import check_column, check_kinds, order_of

if TYPE_CHECKING:
    import polars as pl


class _Extreme(Aggregate):
    """The first value that no other one precedes in the key order. None is skipped; no values: None.

    The Python state is empty, or holds the value; with `by` the pair (compared, returned).
    """

    _largest: ClassVar[bool]

    def __init__(self, *, of: Choice = None, by: Choice = None) -> None:
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
        compared = value[0] if self.wide else value
        return state if compared is None else self.merge(state, [value])

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        if not state or not other:
            return state or other
        new, kept = self._order(other), self._order(state)
        return other if (new > kept if self._largest else new < kept) else state

    def _order(self, state: list[Any]) -> bytes:
        return order_of(self.name, state[0][0] if self.wide else state[0])

    def result(self, state: list[Any]) -> Any:
        if not state:
            return None
        return state[0][1] if self.wide else state[0]

    def best(self, frame: pl.DataFrame, column: str) -> pl.Expr:
        """The first of the best values of a column."""
        import polars as pl

        values = pl.col(column)
        if frame[column].dtype != pl.Float64 or _all_differ(frame[column]):
            return values.max() if self._largest else values.min()
        return values.filter(values == self._extreme(values, "f")).first()

    def _extreme(self, values: pl.Expr, code: str) -> pl.Expr:
        if self._largest:
            return values.nan_max() if code == "f" else values.max()
        return values.min()

    def _chosen(self, frame: pl.DataFrame, prefix: str, layout: str) -> list[pl.Expr]:
        import polars as pl

        if not self.wide:
            return [self.best(frame, f"{prefix}0").alias("s0")]
        values = pl.col(f"{prefix}0")
        best = values == self._extreme(values, layout[1])
        return [pl.col(f"{prefix}{index}").filter(best).first().alias(f"s{index}") for index in range(2)]

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        if (layout[1:2] if self.wide else layout) not in ORDERED:
            return None
        return layout, group.by(frame, *self._chosen(frame, "v", layout))

    def merge_rows(self, frame: pl.DataFrame, group: Grouping, layout: str) -> pl.DataFrame:
        return group.by(frame, *self._chosen(frame, "s", layout))

    def results(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[pl.DataFrame, list[Any]]:
        merged = self.merge_rows(frame, group, layout)
        if self.wide:
            return merged, list(map(self.result, self.to_states(merged, layout)))
        return merged, merged["s0"].to_list()

    def to_states(self, frame: pl.DataFrame, layout: str) -> list[Any]:
        compared: list[Any] = frame["s0"].to_list()
        if not self.wide:
            return [[] if value is None else [value] for value in compared]
        rows = zip(compared, unpacked(frame["s1"].to_list(), layout[2]), strict=True)
        return [[] if row[0] is None else [row] for row in rows]


def _all_differ(series: pl.Series) -> bool:
    """Whether equal floats of a column are the same bits, so that it does not matter which is first."""
    import polars as pl

    return not ((series.reinterpret(dtype=pl.UInt64) == 2**63) | series.is_nan()).any()


class Min(_Extreme):
    """The smallest value in the key order; of equal ones the first. None is skipped; no values: None.

    With `by`, what `of` says of the value whose `by` is the smallest.
    """

    _largest = False


class Max(_Extreme):
    """The largest value in the key order (NaN is last); of equal ones the first. None is skipped.

    With `by`, what `of` says of the value whose `by` is the largest. No values: None.
    """

    _largest = True

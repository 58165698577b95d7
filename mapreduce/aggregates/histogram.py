"""Histogram."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.buckets import Bucketed
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.exact import INF
from mapreduce.errors import JobError

if TYPE_CHECKING:
    import polars as pl


class Histogram(Bucketed):
    """How many values are below edges[0], from there to below edges[1], …, from the last edge on.

    A list of len(edges) + 1 counts. Edges are finite numbers, strictly ascending. Comparison is
    exact, and NaN is the largest number. None is skipped. Takes bool, int, float.
    """

    def __init__(self, edges: Sequence[float], *, of: Choice = None) -> None:
        self.edges = _valid_edges(edges)
        self.of = valid("Histogram", "of", of)

    def bucket(self, value: Any) -> int:
        return len(self.edges) if value != value else bisect_right(self.edges, value)

    def buckets(self, layout: str) -> pl.Expr:
        import polars as pl

        if layout == "f":
            edges, below, dtype = [_float_from(edge) for edge in self.edges], 0, pl.Float64
        else:
            whole = [math.ceil(edge) for edge in self.edges]
            below = sum(edge < -(2**63) for edge in whole)
            edges, dtype = [edge for edge in whole if -(2**63) <= edge < 2**63], pl.Int64  # type: ignore[assignment]
        bounds = pl.lit(pl.Series(edges, dtype=dtype))
        return bounds.search_sorted(pl.col("v0").cast(dtype), side="right").cast(pl.Int32) + below

    def summary(self, counts: dict[int, int]) -> list[int]:
        return [counts.get(bucket, 0) for bucket in range(len(self.edges) + 1)]


def _valid_edges(edges: Any) -> list[float]:
    hint = "Give finite numbers in ascending order, such as [0, 10, 100]."
    if not isinstance(edges, (list, tuple)) or not edges:
        raise JobError(f"Histogram: edges={edges!r}.", hint=hint)
    for edge in edges:
        if type(edge) not in (int, float) or (type(edge) is float and not math.isfinite(edge)):
            raise JobError(f"Histogram: {edge!r} is no edge.", hint=hint)
    for low, high in pairwise(edges):
        if low >= high:
            raise JobError(f"Histogram: the edge {high!r} follows {low!r}.", hint=hint)
    return list(edges)


def _float_from(edge: float) -> float:
    """The smallest float that is not below an edge."""
    try:
        near = float(edge)
    except OverflowError:
        return INF if edge > 0 else math.nextafter(-INF, 0.0)
    return near if near >= edge else math.nextafter(near, INF)

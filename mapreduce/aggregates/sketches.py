"""ApproxDistinct."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import xxhash

from mapreduce.aggregates.base import ORDERED, Aggregate, Grouping, python_lists
from mapreduce.aggregates.choice import Choice, valid
from mapreduce.aggregates.comparing import check_column, check_kinds, order_of
from mapreduce.codec import dump_values
from mapreduce.errors import JobError

if TYPE_CHECKING:
    import polars as pl

_PENDING = 2**12
"""Hashes that a state holds before it becomes a sketch."""
_LISTED = 8
"""Below so many different hashes a sketch lists them, and estimates their number."""


class ApproxDistinct(Aggregate):
    """About how many values differ as keys do: an int, with a relative standard error of
    1.04 / sqrt(2**precision), 0.8 % of 14. None is skipped. Takes what can be a key.

    A HyperLogLog sketch (Flajolet, Fusy, Gandouet and Meunier, 2007) of 2**precision bytes, by the
    package datasketches (the extra `sketches`). The result depends on the set of the values alone:
    the registers do, but the estimate of a sketch that values were put into (HIP, Ting 2014) also
    depends on their order. A union of two sketches with registers drops that estimate and computes
    one from the registers, so the result is read from the union of the sketch with itself.

    The Python state is [sketch or None, hashes that are not in it yet].
    """

    def __init__(self, precision: int = 14, *, of: Choice = None) -> None:
        if type(precision) is not int or not 4 <= precision <= 21:
            raise JobError(f"ApproxDistinct: precision={precision!r}.", hint="Give a number from 4 to 21.")
        if find_spec("datasketches") is None:
            raise JobError(
                "ApproxDistinct needs the package datasketches.",
                hint="Install it with: pip install 'mapreduce[sketches]'",
            )
        self.precision = precision
        self.of = valid("ApproxDistinct", "of", of)

    @property
    def keeps_values(self) -> bool:
        return False

    def examine(self, column: Sequence[Any]) -> None:
        check_column(self.name, column)

    def check(self, kinds: set[type]) -> None:
        check_kinds(self.name, kinds)

    def empty(self) -> list[Any]:
        return [None, []]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            state[1].append(self._identity(value))
        return self._settled(state)

    def _identity(self, value: Any) -> int:
        """Equal for values that are one; signed, as datasketches takes integers."""
        return xxhash.xxh3_64_intdigest(order_of(self.name, value)) - 2**63

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        sketch, pending = state
        if sketch and other[0]:
            union = self._union(sketch)
            union.update(self._loaded(other[0]))
            sketch = self._dumped(union)
        return self._settled([sketch or other[0], pending + other[1]])

    def result(self, state: list[Any]) -> int:
        if state[0] is None and len(different := set(state[1])) < _LISTED:
            return len(different)
        sketch = self._loaded(self._filled(state))
        union = self._union(sketch.serialize_compact())
        union.update(sketch)
        estimate: float = union.get_estimate()
        return round(estimate)

    def partial(self, frame: pl.DataFrame, group: Grouping, layout: str) -> tuple[str, pl.DataFrame] | None:
        """Python states, made of the different values of a group; each is hashed once."""
        import polars as pl

        if layout not in ORDERED:
            return None
        made = group.by(frame, pl.col("v0").unique(maintain_order=True).alias("s0"))
        known: dict[Any, int] = {}
        states = []
        for values in python_lists(made["s0"], layout):
            known |= {value: self._identity(value) for value in values if value not in known}
            states.append(self._settled([None, [known[value] for value in values]]))
        return "P", made.with_columns(s0=pl.Series(dump_values(states), dtype=pl.Binary))

    def _settled(self, state: list[Any]) -> list[Any]:
        return state if len(state[1]) < _PENDING else [self._filled(state), []]

    def _filled(self, state: list[Any]) -> bytes:
        import datasketches

        sketch = datasketches.hll_sketch(self.precision, datasketches.tgt_hll_type.HLL_8)
        for identity in dict.fromkeys(state[1]):
            sketch.update(identity)
        union = self._union(state[0])
        union.update(sketch)
        return self._dumped(union)

    def _union(self, sketch: bytes | None) -> Any:
        import datasketches

        union = datasketches.hll_union(self.precision)
        if sketch:
            union.update(self._loaded(sketch))
        return union

    def _loaded(self, sketch: bytes) -> Any:
        import datasketches

        return datasketches.hll_sketch.deserialize(sketch)

    def _dumped(self, union: Any) -> bytes:
        import datasketches

        data: bytes = union.get_result(datasketches.tgt_hll_type.HLL_8).serialize_compact()
        return data

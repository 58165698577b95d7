"""What each aggregate means, in plain Python: of all the values of a group at once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mapreduce.aggregates import (
    BottomK,
    Collect,
    CollectSet,
    Count,
    CountDistinct,
    First,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    Quantiles,
    Stats,
    Sum,
    TopK,
)
from mapreduce.testing.keyrules import identity, rank


def aggregated(aggregate: Any, values: list[Any]) -> Any:
    """What an aggregate means. One of the user's own means what its Python form says, and the number
    that ApproxDistinct gives is its own.
    """
    meaning = MEANINGS.get(type(aggregate))
    return meaning(aggregate, values) if meaning else aggregate.apply(values)


def _chosen(choice: Any, value: Any) -> Any:
    """What `of` or `by` says of a value."""
    if choice is None or value is None:
        return value
    if callable(choice):
        return choice(value)
    if isinstance(choice, str):
        return value.get(choice)
    return value[choice] if -len(value) <= choice < len(value) else None


def _present(aggregate: Any, values: list[Any]) -> list[Any]:
    chosen = [_chosen(aggregate.of, value) for value in values]
    return [value for value in chosen if value is not None]


def _by(aggregate: Any, values: list[Any]) -> list[tuple[Any, Any]]:
    """(what is compared, what is returned) of the values that have both."""
    by = aggregate.of if aggregate.by is None else aggregate.by
    pairs = [(_chosen(by, value), _chosen(aggregate.of, value)) for value in values]
    return [pair for pair in pairs if pair[0] is not None and pair[1] is not None]


def _count(aggregate: Any, values: list[Any]) -> int:
    return len(values) if aggregate.of is None else len(_present(aggregate, values))


def _wild(present: list[Any]) -> float | None:
    """The sum, if an infinity or NaN decides it."""
    infinities = {value for value in present if value in (math.inf, -math.inf)}
    if len(infinities) == 2 or any(value != value for value in present):
        return math.nan
    return float(infinities.pop()) if infinities else None


def _nearest(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _sum(aggregate: Any, values: list[Any]) -> int | float:
    """Exact, and rounded once if there is a float: Fraction is, math.fsum overflows on the way."""
    present = _present(aggregate, values)
    if float not in map(type, present):
        return int(sum(present))
    wild = _wild(present)
    return _nearest(sum(map(Fraction, present), Fraction(0))) if wild is None else wild


def _mean(aggregate: Any, values: list[Any]) -> float | None:
    present = _present(aggregate, values)
    if not present:
        return None
    wild = _wild(present)
    return _nearest(sum(map(Fraction, present), Fraction(0)) / len(present)) if wild is None else wild


def deviation(present: list[Any]) -> float | None:
    if len(present) < 2:
        return None
    if _wild(present) is not None:
        return math.nan
    try:
        return float(statistics.stdev(map(Fraction, present)))
    except OverflowError:
        return math.inf


def _stats(aggregate: Any, values: list[Any]) -> dict[str, Any]:
    present = _present(aggregate, values)
    return {
        "count": len(present),
        "sum": _sum(aggregate, values),
        "mean": _mean(aggregate, values),
        "min": min(present, key=rank, default=None),
        "max": max(present, key=rank, default=None),
        "stddev": deviation(present),
    }


def _min(aggregate: Any, values: list[Any]) -> Any:
    return min(_by(aggregate, values), key=lambda pair: rank(pair[0]), default=(None, None))[1]


def _max(aggregate: Any, values: list[Any]) -> Any:
    return max(_by(aggregate, values), key=lambda pair: rank(pair[0]), default=(None, None))[1]


def _top(aggregate: Any, values: list[Any]) -> list[Any]:
    """`reverse` keeps the order of equal ones."""
    ranked = sorted(_by(aggregate, values), key=lambda pair: rank(pair[0]), reverse=True)
    return [returned for _, returned in ranked[: aggregate.k]]


def _bottom(aggregate: Any, values: list[Any]) -> list[Any]:
    ranked = sorted(_by(aggregate, values), key=lambda pair: rank(pair[0]))
    return [returned for _, returned in ranked[: aggregate.k]]


def _set(aggregate: Any, values: list[Any]) -> list[Any]:
    forms: dict[Any, Any] = {}
    for value in _present(aggregate, values):
        forms.setdefault(identity(value), value)
    return sorted(forms.values(), key=rank)


def _histogram(aggregate: Any, values: list[Any]) -> list[int]:
    counts = [0] * (len(aggregate.edges) + 1)
    for value in _present(aggregate, values):
        passed = [edge for edge in aggregate.edges if value >= edge or value != value]
        counts[len(passed)] += 1
    return counts


def _quantiles(aggregate: Any, values: list[Any]) -> list[float | None]:
    numbers = sorted((_as_float(value) for value in _present(aggregate, values)), key=rank)
    if not numbers:
        return [None] * len(aggregate.qs)
    ranks = [max(1, math.ceil(Fraction(str(q)) * len(numbers))) for q in aggregate.qs]
    return [_log_linear(numbers[rank - 1]) for rank in ranks]


def _as_float(number: Any) -> float:
    return number if type(number) is float else _nearest(Fraction(number))


def _log_linear(number: float) -> float:
    """The middle of the numbers that share the sign, the exponent and 7 bits of the fraction."""
    if number == 0 or math.isinf(number):
        return number or 0.0
    if number != number:
        return math.nan
    exponent = max(math.frexp(number)[1] - 1, -1022)
    width = Fraction(2) ** (exponent - 7)
    low = math.floor(Fraction(abs(number)) / width) * width
    return math.copysign(float(low + width / 2), number)


MEANINGS: dict[type, Callable[[Any, list[Any]], Any]] = {
    Count: _count,
    Sum: _sum,
    Mean: _mean,
    Stats: _stats,
    Min: _min,
    Max: _max,
    First: lambda aggregate, values: next(iter(_present(aggregate, values)), None),
    Last: lambda aggregate, values: next(reversed(_present(aggregate, values)), None),
    TopK: _top,
    BottomK: _bottom,
    CountDistinct: lambda aggregate, values: len(_set(aggregate, values)),
    Collect: _present,
    CollectSet: _set,
    Histogram: _histogram,
    Quantiles: _quantiles,
}

"""Values that are compared as keys are: which these are, and the order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from mapreduce.errors import KeyTypeError, ValueTypeError
from mapreduce.keys import SCALARS, normal_datetime, order_bytes

_DEPTH = 100
_COMPARED = SCALARS | {tuple}


def names(kinds: set[type]) -> str:
    """The types' names, for a message."""
    return ", ".join(sorted(kind.__qualname__ for kind in kinds))


def check_kinds(name: str, kinds: set[type]) -> None:
    """Raise ValueTypeError for a type that can't be a key."""
    wrong = kinds - _COMPARED
    if wrong:
        raise ValueTypeError(
            f"{name} can't compare a value of type {names(wrong)}.",
            hint="Give None, bool, int, float, str, bytes, date, datetime or tuples of these.",
        )


def check_column(name: str, column: Sequence[Any]) -> None:
    """Raise ValueTypeError for a value that can't be a key, at any depth.

    A level at a time, so that the loops run in C. What is deeper than a value may be is refused
    by the codec.
    """
    level = column
    for _ in range(_DEPTH):
        kinds = set(map(type, level))
        check_kinds(name, kinds)
        if datetime in kinds:
            _check_clocks(name, level)
        if tuple not in kinds:
            return
        level = list(chain.from_iterable(item for item in level if type(item) is tuple))


def _check_clocks(name: str, level: Sequence[Any]) -> None:
    try:
        for value in level:
            if type(value) is datetime:
                normal_datetime(value)
    except KeyTypeError as error:
        raise ValueTypeError(f"{name} can't compare: {error.message}", hint=error.hint) from None


def order_of(name: str, value: Any) -> bytes:
    """`order_bytes`, whose error is the aggregate's."""
    try:
        return order_bytes(value)
    except KeyTypeError as error:
        raise ValueTypeError(f"{name} can't compare: {error.message}", hint=error.hint) from None

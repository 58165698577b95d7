"""What a job's functions are: their shapes, what they are called in messages, their set-up."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any, TypeVar

from mapreduce.errors import PairError
from mapreduce.failures import interrupts, user_error
from mapreduce.keys import as_key

F = TypeVar("F", bound=Callable[..., Any])


def blocks(function: F) -> F:
    """Mark a map that takes a list of records at once and gives an iterable of pairs.

    The pairs must reduce to the same result wherever the input is cut into lists. A function
    that returns `zip(keys, itertools.repeat(value))` is taken as columns, without a tuple a pair.
    """
    function.__mapreduce_shape__ = "blocks"  # type: ignore[attr-defined]
    return function


def frames(function: F) -> F:
    """Mark a map or reduce that takes a polars DataFrame and gives one.

    A map gets a row for each record (of `Text`: one column `line`) and gives the columns `key` and
    `value`, a struct column standing for a tuple; without a reduce, any columns, a record a row.
    A reduce gets whole groups, a row each, as `key` and the list column `values`, and gives any
    columns. None is nothing; a LazyFrame is collected. The result must not depend on where the
    input is cut into frames; `mapreduce.testing.check_cuts` finds out whether it does.
    """
    function.__mapreduce_shape__ = "frames"  # type: ignore[attr-defined]
    return function


def takes_blocks(function: object) -> bool:
    """Whether `@blocks` marks the function."""
    return getattr(function, "__mapreduce_shape__", "") == "blocks"


def takes_frames(function: object) -> bool:
    """Whether `@frames` marks the function."""
    return getattr(function, "__mapreduce_shape__", "") == "frames"


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a parameter is named `ctx`."""
    if type(function) is FunctionType and not vars(function):  # asked for every attempt: 0.3 µs, not 15
        code = function.__code__
        return "ctx" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    try:
        return "ctx" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def function_name(function: object) -> str:
    """How messages call a function: its name and, where known, its file and line."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    if code is None:
        return f"`{name}`"
    return f"`{name}` ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


class Identity:
    """A map that passes its input through.

    With a reduce, records are pairs: a 2-tuple, or a dict with `key` and `value` and nothing else,
    as a job's output holds them (an array as key is a tuple). Without, records are passed as they are.
    """

    def __repr__(self) -> str:
        return "Identity()"

    def __call__(self, record: Any) -> list[Any]:
        """The record as a list of one pair. Raises PairError."""
        if type(record) is tuple and len(record) == 2:
            return [record]
        if type(record) is dict and record.keys() == {"key", "value"}:
            return [(as_key(record["key"]), record["value"])]
        raise PairError(
            f"Identity() got a record that is no pair: {repr(record)[:200]}.",
            hint="Write a map function that gives (key, value).",
        )


class PassThrough(Identity):
    """What `Identity` does in a job without a reduce."""

    __qualname__ = "Identity"

    def __call__(self, record: Any) -> list[Any]:
        """The record."""
        return [record]


@contextmanager
def set_up(role: str, function: Any, context: Any) -> Iterator[None]:
    """Call a function object's `setup(ctx)` before, and its `teardown()` after, where it has them.

    `teardown` is called whatever happened in between, if `setup` succeeded; its own failure counts
    only if nothing else has failed. Raises UserFunctionError.
    """
    if inspect.isroutine(function) or isinstance(function, type):
        yield
        return
    _call(role, function, "setup", context)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the first failure is told
            _call(role, function, "teardown")
        raise
    _call(role, function, "teardown")


def _call(role: str, function: Any, name: str, *given: Any) -> None:
    method = getattr(function, name, None)
    if not callable(method):
        return
    try:
        method(*given)
    except interrupts():
        raise
    except BaseException as error:
        raise user_error(error, f"{name} of {role} {function_name(function)} failed") from error

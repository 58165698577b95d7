"""Can the job's functions be called as the engine will call them?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from mapreduce.context import Context
from mapreduce.errors import JobError
from mapreduce.functions import function_name, takes_context, takes_frames
from mapreduce.job import Job

_WITH_CONTEXT = ("map", "reduce")


def check_signatures(job: Job) -> None:
    """Raise JobError for a function with other parameters than it will get."""
    for given in job.inputs:
        _check("map", given.map, ["frame" if takes_frames(given.map) else "record"])
    if callable(job.reduce):
        _check("reduce", job.reduce, ["frame"] if takes_frames(job.reduce) else ["key", "values"])
    for role, function, arguments in (
        ("combine", job.combine, ["key", "values"]),
        ("partition", job.partition, ["key"]),
        ("order_values", job.order_values, ["value"]),
    ):
        if callable(function):
            _check(role, function, arguments)


def with_context(function: Callable[..., Any], context: Context) -> Callable[..., Any]:
    """The function with its parameter `ctx` filled, if it has one, wherever it stands."""
    if not takes_context(function):
        return function
    place = _context_place(function)
    if place is None:
        return partial(function, ctx=context)
    if place == 0:
        return partial(function, context)
    return lambda *given: function(*given[:place], context, *given[place:])


def _context_place(function: Callable[..., Any]) -> int | None:
    """Where `ctx` stands among the positional parameters; None if it is given by name."""
    parameters = inspect.signature(function).parameters
    by_name = parameters["ctx"].kind is inspect.Parameter.KEYWORD_ONLY
    return None if by_name else list(parameters).index("ctx")


def _check(role: str, function: Callable[..., Any], given: list[str]) -> None:
    arguments, named = list(given), {}
    try:
        if takes_context(function) and role in _WITH_CONTEXT:
            place = _context_place(function)
            if place is None:
                named["ctx"] = "ctx"
            else:
                arguments.insert(place, "ctx")
        inspect.signature(function).bind(*arguments, **named)
    except TypeError as error:
        names = ", ".join(given)
        also = f", or def {role}({names}, ctx): …" if role in _WITH_CONTEXT else ""
        raise JobError(
            f"{role} {function_name(function)} can't be called with ({names}): {error}.",
            hint=f"Write def {role}({names}): …{also}.",
        ) from None
    except ValueError:  # a builtin that does not tell its signature
        return

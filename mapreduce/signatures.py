"""Can the job's functions be called as the engine will call them?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from mapreduce.context import Context
from mapreduce.errors import JobError
from mapreduce.job import Job, function_name, takes_context


def check_signatures(job: Job) -> None:
    """Raise JobError for a function with other parameters than it will get."""
    _check("map", job.map, ["record"])
    if callable(job.reduce):  # and no aggregate, nor a dict of them
        _check("reduce", job.reduce, ["key", "values"])
    if job.combine is not None:
        _check("combine", job.combine, ["key", "values"])


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
        if takes_context(function) and role != "combine":
            place = _context_place(function)
            if place is None:
                named["ctx"] = "ctx"
            else:
                arguments.insert(place, "ctx")
        inspect.signature(function).bind(*arguments, **named)
    except TypeError as error:
        names = ", ".join(given)
        also = "" if role == "combine" else f", or def {role}({names}, ctx): …"
        raise JobError(
            f"{role} {function_name(function)} can't be called with ({names}): {error}.",
            hint=f"Write def {role}({names}): …{also}.",
        ) from None
    except ValueError:  # a builtin that does not tell its signature
        return

"""Can the job's functions be called as the engine will call them?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mapreduce.aggregates import Aggregate
from mapreduce.errors import JobError
from mapreduce.job import Job, function_name, takes_context


def check_signatures(job: Job) -> None:
    """Raise JobError for a function with other parameters than it will get."""
    _check("map", job.map, ["record"])
    if job.reduce is not None and not isinstance(job.reduce, Aggregate):
        _check("reduce", job.reduce, ["key", "values"])
    if job.combine is not None:
        _check("combine", job.combine, ["key", "values"])


def _check(role: str, function: Callable[..., Any], given: list[str]) -> None:
    arguments = [*given, "ctx"] if takes_context(function) and role != "combine" else given
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        names = ", ".join(given)
        raise JobError(
            f"{role} {function_name(function)} can't be called with ({names}): {error}.",
            hint=f"Write def {role}({names}): …"
            + ("" if role == "combine" else f", or def {role}({names}, ctx): …."),
        ) from None
    except ValueError:  # a builtin that does not tell its signature
        return

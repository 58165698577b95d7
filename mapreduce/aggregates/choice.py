"""`of` and `by`: what of a value an aggregate looks at.

An int is an index into tuples and lists, a str a field of dicts, and a function is called with
the value. What is not there is None, and so is everything of the value None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

from mapreduce.errors import JobError, ValueTypeError
from mapreduce.failures import interrupts, safe_repr, user_error

Choice = int | str | Callable[[Any], Any] | None
_NONE = type(None)


def shown(option: Any) -> str:
    """An option as `repr` of an aggregate shows it: functions by their names."""
    if callable(option):
        return str(getattr(option, "__qualname__", None) or type(option).__qualname__)
    return repr(option)


def valid(name: str, option: str, choice: Any) -> Any:
    """The choice as it is. Raises JobError."""
    if type(choice) is int or choice is None or isinstance(choice, str) or callable(choice):
        return choice
    raise JobError(
        f"{name}: {option}={choice!r}.",
        hint="Give the index of a tuple's element, the name of a dict's field, or a function of the value.",
    )


def choose(who: object, option: str, choice: Choice, values: list[Any]) -> list[Any]:
    """What `choice` says of each value. Raises ValueTypeError, and UserFunctionError for its function.

    `who`, whose `repr` is made only then, and `option` are the aggregate and the option in messages. The
    result may be `values` itself.
    """
    if choice is None:
        return values
    if isinstance(choice, int):
        _demand(who, option, (tuple, list), "tuples or lists", values)
        with suppress(IndexError, TypeError):  # a short one, a None
            return list(map(itemgetter(choice), values))
        return [_element(value, choice) for value in values]
    if isinstance(choice, str):
        _demand(who, option, (dict,), "dicts", values)
        return [None if value is None else value.get(choice) for value in values]
    return _called(who, option, choice, values)


def _element(value: Any, index: int) -> Any:
    try:
        return None if value is None else value[index]
    except IndexError:
        return None


def _demand(who: object, option: str, kinds: tuple[type, ...], plural: str, values: Sequence[Any]) -> None:
    for kind in set(map(type, values)):
        if kind is not _NONE and not issubclass(kind, kinds):
            wrong = next(value for value in values if type(value) is kind)
            raise ValueTypeError(
                f"{who!r} needs {plural} for its {option}, not a value of type {kind.__qualname__}: "
                f"{safe_repr(wrong)[:200]}.",
                hint=f"Let the map give {plural}, or write {option}= as a function of the value.",
            )


def _called(who: object, option: str, function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    try:
        return [None if value is None else function(value) for value in values]
    except interrupts():
        raise
    except BaseException as error:
        raise user_error(error, f"{who!r} failed in its {option}") from error

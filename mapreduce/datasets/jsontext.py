"""The one JSON text of a value, compact.

Floats as Python's repr, NaN and infinities as null; tuples and sets as arrays (a set in key order); dates
in ISO form; bytes as UTF-8 text, with surrogate escapes for other bytes. Types are exact: what is not told
here has no form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, time
from json.encoder import encode_basestring
from typing import Any

from mapreduce.errors import RecordError
from mapreduce.keys import order_bytes

_SHOWN = 200
_STR, _INT = frozenset({str}), frozenset({int})


class _Texts(dict[type, Callable[[Any], str]]):
    """For each type what makes the text of a value. May raise RecordError, and what `refused` takes."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        return _refuse


def _refuse(value: Any) -> str:
    raise RecordError(
        f"JSON has no form for a value of type {type(value).__qualname__}: {repr(value)[:_SHOWN]}.",
        hint="Convert it in the function that gives it.",
    )


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else "null"


def _array(value: Any) -> str:
    kinds = set(map(type, value))
    if kinds == _INT:
        return repr(list(value)).replace(" ", "")
    if len(kinds) == 1:
        return f"[{','.join(map(TEXTS[kinds.pop()], value))}]"
    return f"[{','.join([TEXTS[type(item)](item) for item in value])}]"


def _object(value: dict[Any, Any]) -> str:
    names: Any = value
    if not _STR.issuperset(map(type, value)):
        names = list(map(_name, value))
        if len(set(names)) < len(value):
            raise RecordError(
                f"Two names of a dict are one as text: {repr(value)[:_SHOWN]}.",
                hint="Give it names of type str.",
            )
    texts = [TEXTS[type(item)](item) for item in value.values()]
    return f"{{{','.join(map('{}:{}'.format, map(encode_basestring, names), texts))}}}"


def _name(name: Any) -> str:
    kind = type(name)
    if kind is str:
        return name  # type: ignore[no-any-return]
    if name is None or kind in (bool, int, float):
        return TEXTS[kind](name)
    if kind in (bytes, date, datetime):
        return _WORDS[kind](name)
    raise RecordError(
        f"A dict in a record has the key {repr(name)[:_SHOWN]}; JSON's names are text.",
        hint="Convert it in the function that gives it.",
    )


def _bytes(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


_Text = Callable[[Any], str]
_WORDS: dict[type, _Text] = {
    str: str,
    bytes: _bytes,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
}


def _quoted(value: Any) -> str:
    return encode_basestring(_WORDS[type(value)](value))


def _sorted(value: Any) -> str:
    return _array(sorted(value, key=order_bytes))


TEXTS = _Texts()
TEXTS |= dict.fromkeys(_WORDS, _quoted)
TEXTS |= {str: encode_basestring, int: int.__repr__, float: _float}
TEXTS |= {bool: lambda value: "true" if value else "false", type(None): lambda _: "null"}
TEXTS |= {dict: _object, list: _array, tuple: _array, set: _sorted, frozenset: _sorted}
"""Texts before `escaped`."""


def json_text(value: Any) -> str:
    """The text of a value. Raises RecordError."""
    try:
        return escaped(TEXTS[type(value)](value))
    except (RecursionError, ValueError) as error:
        raise refused(error) from None


def field_text(value: Any) -> str:
    """A value as the text of a field: JSON's, but text, bytes and dates without quotes."""
    word = _WORDS.get(type(value))
    return word(value) if word else json_text(value)


def escaped(text: str) -> str:
    """The text with an escape for each lone surrogate, which UTF-8 can't hold."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def refused(error: Exception) -> RecordError:
    """What to raise for a RecursionError or ValueError of one of the TEXTS."""
    if isinstance(error, RecursionError):
        return RecordError("A record is nested too deeply for JSON.")
    # Python refuses to write ints of thousands of digits.
    return RecordError(f"A number can't be written: {error}.", hint="Round it first.")


class ObjectTexts:
    """The texts of dicts, of which most have the names of the one before."""

    def __init__(self) -> None:
        self._names: tuple[Any, ...] | None = None
        self._form = ""

    def text(self, value: dict[Any, Any]) -> str:
        """As TEXTS has it."""
        if tuple(value) != self._names:
            self._learn(tuple(value))
        if not self._form:
            return _object(value)
        return self._form % tuple([TEXTS[type(item)](item) for item in value.values()])

    def _learn(self, names: tuple[Any, ...]) -> None:
        """Names that are no str may be equal and differ as text."""
        self._names, self._form = names, ""
        if _STR.issuperset(map(type, names)):
            fields = (encode_basestring(name).replace("%", "%%") + ":%s" for name in names)
            self._form = f"{{{','.join(fields)}}}"

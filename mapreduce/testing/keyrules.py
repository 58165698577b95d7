"""The written rules for keys, in plain Python: which are equal, their order, their place."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

import xxhash


def returned(key: Any) -> Any:
    """A key as it comes back: aware datetimes in UTC, and no `fold`."""
    if type(key) is tuple:
        return tuple(returned(element) for element in key)
    if type(key) is datetime:
        in_utc = key if key.tzinfo is None else key.astimezone(UTC)
        return in_utc.replace(fold=0)
    return key


def identity(key: Any) -> Any:
    """Equal for equal keys, and then only: Python's equality, but one NaN, and no text that equals bytes."""
    if type(key) is tuple:
        return "tuple", tuple(identity(element) for element in key)
    if type(key) is datetime:
        return ("naive" if key.tzinfo is None else "aware"), _microseconds(key)
    if type(key) in (bool, int, float):
        return ("number", key) if key == key else ("nan", None)
    return type(key).__name__, key


def rank(key: Any) -> Any:
    """Sorts as the key order says: None < numbers (NaN last) < str < bytes < date < datetimes < tuple."""
    if key is None:
        return (0,)
    if type(key) in (bool, int, float):
        return (1, 0, key) if key == key else (1, 1)
    if type(key) is str:
        return (2, key)
    if type(key) is bytes:
        return (3, key)
    if type(key) is date:
        return (4, key)
    if type(key) is datetime:
        return (5 if key.tzinfo is None else 6, _microseconds(key))
    return (7, tuple(rank(element) for element in key))


def _microseconds(moment: datetime) -> int:
    """Since 1970, in UTC where the datetime is aware."""
    passed: timedelta = returned(moment).replace(tzinfo=None) - datetime(1970, 1, 1)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def place(key: Any) -> int:
    """The 64-bit place of a key, as the design writes it down."""
    if key is None:
        return 0
    if type(key) is str:
        return place(key.encode("utf-8", "surrogatepass"))
    if type(key) is bytes:
        return int(xxhash.xxh64_intdigest(key))
    if type(key) is date:
        return _mix((key - date(1970, 1, 1)).days)
    if type(key) is datetime:
        return _mix(_microseconds(key))
    if type(key) is tuple:
        state = len(key)
        for element in key:
            state = _mix(state * 0x9E3779B97F4A7C15 + place(element))
        return state
    return _place_of_number(key)


def _place_of_number(number: int | float) -> int:
    if number != number:
        return _mix(0x7FF8000000000000)
    if -(2**63) <= number < 2**63 and number == int(number):
        return _mix(int(number))
    try:
        nearest = float(number)
    except OverflowError:
        nearest = math.inf
    if nearest == number:
        return _mix(struct.unpack("<q", struct.pack("<d", nearest))[0])
    number = int(number)
    return place(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _mix(number: int) -> int:
    """splitmix64's finisher of a number modulo 2**64."""
    x = number % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31

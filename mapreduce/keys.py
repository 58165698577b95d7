"""What a key is: which types, which keys are equal, how they follow one another, where they go.

Equality is Python's (`True`, `1` and `1.0` are one key, `"a"` and `b"a"` are two), except that
all NaN are one key, and aware datetimes are equal by their instant. The order is

    None < numbers (NaN last) < str < bytes < date < naive datetime < aware datetime < tuple

Two functions define this for one key at a time: `order_bytes`, equal exactly for equal keys and
ordered as the keys are, and `hash_key`, the 64-bit place of a key, equal for equal keys on every
host and in every process. `shuffle.hashing` has the hash for whole columns.
"""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

import xxhash

from mapreduce.errors import KeyTypeError
from mapreduce.failures import safe_repr

MASK = 2**64 - 1
TUPLE_FACTOR = 0x9E3779B97F4A7C15
MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""splitmix64's multipliers (Steele, Lea and Flood, OOPSLA 2014)."""

SCALARS = frozenset({type(None), bool, int, float, str, bytes, date, datetime})
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_MAX_FLOAT = 1.7976931348623157e308
_HINTS = {
    "list": "Write tuple(key).",
    "dict": "Write tuple(sorted(key.items())).",
    "set": "Write tuple(sorted(key)).",
    "frozenset": "Write tuple(sorted(key)).",
    "bytearray": "Write bytes(key).",
    "Decimal": "Write str(key) or float(key).",
    "time": "Write key.isoformat().",
    "timedelta": "Write key.total_seconds().",
    "UUID": "Write str(key).",
}


def refuse(value: object) -> KeyTypeError:
    """The error for a value that can't be a key, with the conversion to write."""
    kind = type(value)
    base = next((b.__name__ for b in kind.__mro__[1:] if b in SCALARS or b is tuple), None)
    hint = f"Write {base}(key)." if base else _HINTS.get(kind.__name__, "")
    if kind.__module__ == "numpy":
        hint = "Write key.item()."
    return KeyTypeError(
        f"A key of type {kind.__qualname__} can't be used: {safe_repr(value)[:200]}.",
        hint=hint or "Keys are None, bool, int, float, str, bytes, date, datetime, and tuples of these.",
    )


def normal_datetime(value: datetime) -> datetime:
    """A datetime as a key comes back: an aware one in UTC, and without `fold`."""
    if value.tzinfo is None:
        return value.replace(fold=0) if value.fold else value
    if value.utcoffset() is None:
        raise refuse(value)
    try:
        return value.astimezone(UTC).replace(fold=0)
    except OverflowError:
        raise refuse(value) from None


def normal_key(key: Any) -> Any:
    """The key as it comes back: datetimes by `normal_datetime`, all else unchanged.

    Raises KeyTypeError for a type that can't be a key, at any depth.
    """
    try:
        return _normal(key)
    except RecursionError:
        raise KeyTypeError("A key is nested too deeply.") from None


def _normal(key: Any) -> Any:
    kind = type(key)
    if kind is datetime:
        return normal_datetime(key)
    if kind is tuple:
        return tuple(map(_normal, key))
    if kind not in SCALARS:
        raise refuse(key)
    return key


def as_key(written: Any) -> Any:
    """A key as it was before it was written as JSON, where a tuple is an array, or as a struct."""
    if type(written) is dict:
        written = list(written.values())
    return tuple(map(as_key, written)) if type(written) is list else written


# ---------------------------------------------------------------- order


def order_bytes(key: Any) -> bytes:
    """Bytes that compare as keys do. Prefix-free, so that tuples can be written one after another."""
    try:
        return _order(key)
    except RecursionError:
        raise KeyTypeError("A key is nested too deeply.") from None


def _order(key: Any) -> bytes:
    kind = type(key)
    if kind is str:
        return b"\x03" + _terminated(key.encode("utf-8", "surrogatepass"))
    if kind is int or kind is float or kind is bool:
        return b"\x02" + _order_number(key)
    if kind is tuple:
        return b"\x08" + b"".join(map(_order, key)) + b"\x00"
    if key is None:
        return b"\x01"
    if kind is bytes:
        return b"\x04" + _terminated(key)
    if kind is datetime:
        return _order_datetime(normal_datetime(key))
    if kind is date:
        return b"\x05" + struct.pack(">I", key.toordinal())
    raise refuse(key)


def _terminated(data: bytes) -> bytes:
    return data.replace(b"\x00", b"\x00\xff") + b"\x00\x00"


def _order_datetime(value: datetime) -> bytes:
    tag = b"\x06" if value.tzinfo is None else b"\x07"
    return tag + struct.pack(">Q", microseconds(value) + 2**63)


def _order_number(number: float) -> bytes:
    """The nearest float, then what is missing to the exact number: nothing but for large ints."""
    if number != number:
        return b"\xff" * 8 + b"\x80"
    try:
        near = float(number)
    except OverflowError:
        near = _MAX_FLOAT if number > 0 else -_MAX_FLOAT
    bits: int = struct.unpack(">Q", struct.pack(">d", near + 0.0))[0]
    ordered = bits ^ MASK if bits >> 63 else bits | 1 << 63
    missing = 0 if type(number) is float or math.isinf(near) else int(number) - int(near)
    return struct.pack(">Q", ordered) + _order_residual(missing)


def _order_residual(missing: int) -> bytes:
    if missing == 0:
        return b"\x80"
    size = (abs(missing).bit_length() + 7) // 8
    digits = abs(missing).to_bytes(size, "big")
    if missing > 0:
        return b"\x81" + struct.pack(">Q", size) + digits
    return b"\x7f" + struct.pack(">Q", MASK - size) + bytes(255 - digit for digit in digits)


# ---------------------------------------------------------------- hash


def mix(x: int) -> int:
    """splitmix64's finisher, without its increment."""
    x ^= x >> 30
    x = x * MIX_1 & MASK
    x ^= x >> 27
    x = x * MIX_2 & MASK
    return x ^ x >> 31


def float_bits(number: float) -> int:
    """IEEE 754 bits, with one NaN."""
    if number != number:
        return 0x7FF8000000000000
    bits: int = struct.unpack("<Q", struct.pack("<d", number))[0]
    return bits


def microseconds(value: datetime) -> int:
    """Since 1970, in UTC where the datetime is aware."""
    naive = value.replace(tzinfo=None)
    return (naive - _EPOCH) // _MICROSECOND


def hash_key(key: Any) -> int:
    """The place of a key: 64 bits, equal for equal keys."""
    kind = type(key)
    if kind is str:
        return xxhash.xxh64_intdigest(key.encode("utf-8", "surrogatepass"))
    if kind is int or kind is bool:
        return _hash_int(int(key))
    if kind is float:
        if key.is_integer() and _INT64_MIN <= key <= _INT64_MAX:
            return mix(int(key) & MASK)
        return mix(float_bits(key))
    if kind is tuple:
        place = len(key)
        for element in key:
            place = mix(place * TUPLE_FACTOR + hash_key(element) & MASK)
        return place
    if key is None:
        return 0
    if kind is bytes:
        return xxhash.xxh64_intdigest(key)
    if kind is datetime:
        return mix(microseconds(normal_datetime(key)) & MASK)
    if kind is date:
        return mix((key - _EPOCH.date()).days & MASK)
    raise refuse(key)


def _hash_int(number: int) -> int:
    if _INT64_MIN <= number <= _INT64_MAX:
        return mix(number & MASK)
    try:
        near = float(number)
    except OverflowError:
        near = math.inf
    if near == number:
        return mix(float_bits(near))
    size = number.bit_length() // 8 + 1
    return xxhash.xxh64_intdigest(number.to_bytes(size, "big", signed=True))


def shard_of(place: int, shards: int) -> int:
    """Which of `shards` reducers a place belongs to: equal ranges of the 64-bit numbers."""
    return place * shards >> 64

"""Keys: which are equal, how they follow one another, where they go, and which are refused."""

import enum
import math
import os
import subprocess
import sys
from collections import namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from itertools import combinations, pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from property.strategies import CLOCKS, NAN, NOON, ODD_NAN, exact, keys

from mapreduce.errors import KeyTypeError
from mapreduce.keys import hash_key, normal_key, order_bytes, shard_of
from mapreduce.testing import keyrules

EAST = timezone(timedelta(hours=2))

ASCENDING: list[list[Any]] = [
    [None],
    [-math.inf],
    [-(10**401)],
    [-(10**400)],
    [-1.7976931348623157e308],
    [-(2**70) - 1],
    [-(2**70), -(2.0**70)],
    [-(2**70) + 1],
    [-(2**63) - 1],
    [-(2**63), -(2.0**63)],
    [-(2**53) - 1],
    [-(2**53), -(2.0**53)],
    [-1, -1.0],
    [-0.1],
    [-5e-324],
    [False, 0, 0.0, -0.0],
    [5e-324],
    [0.1],
    [True, 1, 1.0],
    [1.0000000000000002],
    [2**53, 2.0**53],
    [2**53 + 1],
    [2**53 + 2, 2.0**53 + 2],
    [2**53 + 3],
    [2**63 - 1],
    [2**63, 2.0**63],
    [2**64, 2.0**64],
    [2**70, 2.0**70],
    [2**70 + 1],
    [2**70 + 255],
    [2**70 + 256],
    [1.7976931348623157e308],
    [10**400],
    [10**400 + 1],
    [10**401],
    [math.inf],
    [NAN, -NAN, ODD_NAN],
    [""],
    ["\0"],
    ["\0\0"],
    ["\0a"],
    ["A"],
    ["a"],
    ["a\0"],
    ["a\0b"],
    ["a\x01"],
    ["aa"],
    ["b"],
    ["é"],
    ["\ud7ff"],
    ["\ud800"],
    ["\udfff"],
    ["\ue000"],
    ["\uffff"],
    ["\U00010000"],
    [b""],
    [b"\0"],
    [b"\0\xff"],
    [b"a"],
    [b"a\0"],
    [b"\xff"],
    [b"\xff\xff"],
    [date(1, 1, 1)],
    [date(1969, 12, 31)],
    [date(1970, 1, 1)],
    [date(9999, 12, 31)],
    [datetime(1, 1, 1)],
    [datetime(1969, 12, 31, 23, 59, 59, 999_999)],
    [NOON, NOON.replace(fold=1)],
    [datetime(9999, 12, 31)],
    [NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=UTC, fold=1), datetime(2024, 10, 27, 2, 30, tzinfo=EAST)],
    [NOON.replace(tzinfo=UTC, microsecond=1)],
    [()],
    [(None,)],
    [(None, None)],
    [(0,), (0.0,), (False,)],
    [(1,), (True,), (1.0,)],
    [(1, None)],
    [(1, "a")],
    [(1, "a", b"")],
    [(1, "a\0")],
    [(1, b"a")],
    [(1, (1,))],
    [(2**53 + 1,)],
    [(NAN,), (ODD_NAN,)],
    [("",)],
    [("", "")],
    [("a", "b")],
    [("a\0", "b")],
    [("ab",)],
    [("ab", "")],
    [(b"a",)],
    [((),)],
    [((), ())],
    [((1,), 2), ((True,), 2.0)],
    [((1, 2),)],
]
"""All equal keys in one row, rows in order."""

FLAT = [(row, key) for row, equal in enumerate(ASCENDING) for key in equal]


def python_equal(a: Any, b: Any) -> bool:
    """The rule in words: Python's equality, but one NaN, and aware datetimes by their instant."""
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(map(python_equal, a, b))
    if type(a) is datetime and type(b) is datetime and a.tzinfo and b.tzinfo:
        return a.astimezone(UTC) == b.astimezone(UTC)
    if type(a) is float and type(b) is float and a != a and b != b:
        return True
    return type(a) is not tuple and type(b) is not tuple and bool(a == b)


# ---------------------------------------------------------------- order and equality


def test_table_is_in_order() -> None:
    for (row_a, a), (row_b, b) in combinations(FLAT, 2):
        low, high = order_bytes(a), order_bytes(b)
        assert (low == high) == (row_a == row_b), (a, b)
        assert low <= high, (a, b)


def test_reference_has_the_same_order() -> None:
    for (row_a, a), (row_b, b) in combinations(FLAT, 2):
        assert (keyrules.identity(a) == keyrules.identity(b)) == (row_a == row_b), (a, b)
        assert (keyrules.rank(a) < keyrules.rank(b)) == (row_a < row_b), (a, b)


def test_no_key_is_the_beginning_of_another() -> None:
    """Or bytes of tuples could not be written one after another."""
    whole = sorted({order_bytes(key) for _, key in FLAT})
    for low, high in pairwise(whole):
        assert not high.startswith(low)


@given(keys, keys)
@example(NAN, ODD_NAN)
@example((1, 2), (1, 2, 3))
@example(2**53 + 1, 2.0**53)
@example("a", b"a")
@example(date(2024, 10, 27), datetime(2024, 10, 27))
@example(NOON, NOON.replace(tzinfo=UTC))
def test_any_two_keys(a: Any, b: Any) -> None:
    low, high = order_bytes(a), order_bytes(b)
    assert (low == high) == python_equal(a, b)
    assert (low < high) == (keyrules.rank(a) < keyrules.rank(b))
    assert low == high or not (low.startswith(high) or high.startswith(low))
    if low == high:
        assert hash_key(a) == hash_key(b)


@given(keys, keys, keys)
def test_tuples_compare_element_by_element(a: Any, b: Any, c: Any) -> None:
    assert (order_bytes((a, c)) < order_bytes((b, c))) == (order_bytes(a) < order_bytes(b))
    assert (order_bytes((c, a)) < order_bytes((c, b))) == (order_bytes(a) < order_bytes(b))
    assert order_bytes((a,)) < order_bytes((a, b))


# ---------------------------------------------------------------- as a key comes back


@given(keys)
def test_normal_key_is_equal_and_constant(key: Any) -> None:
    normal = normal_key(key)
    assert order_bytes(normal) == order_bytes(key)
    assert hash_key(normal) == hash_key(key)
    assert exact(normal_key(normal)) == exact(normal)
    assert exact(normal) == exact(keyrules.returned(key))


def test_clocks_come_back_in_utc_and_without_fold() -> None:
    for clock in CLOCKS:
        normal = normal_key((clock,))[0]
        assert normal.fold == 0
        assert normal.tzinfo is (None if clock.tzinfo is None else UTC)
        if clock.tzinfo is None:
            assert normal == clock
        else:
            assert normal - clock.astimezone(UTC) == timedelta(0)


def test_other_keys_come_back_unchanged() -> None:
    for _, key in FLAT:
        if type(key) is not datetime:
            assert exact(normal_key(key)) == exact(key)


# ---------------------------------------------------------------- hash

PINNED: list[tuple[Any, int]] = [
    (None, 0x0000000000000000),
    (False, 0x0000000000000000),
    (-0.0, 0x0000000000000000),
    (True, 0x5692161D100B05E5),
    (1, 0x5692161D100B05E5),
    (1.0, 0x5692161D100B05E5),
    (-1, 0xB4D055FCF2CBBD7B),
    (2, 0xDBD238973A2B148A),
    (0.1, 0x21B06322A3BA6D47),
    (-0.1, 0x9B52C22570F09B8A),
    (1e300, 0xA469536DDEC11AEA),
    (NAN, 0x469BF2DCC1AA179B),
    (ODD_NAN, 0x469BF2DCC1AA179B),
    (math.inf, 0xCE5683AAAEDC68D0),
    (-math.inf, 0xF35A23197F8FA277),
    (2**53 + 1, 0x709CF374E67C56AA),
    (2**63 - 1, 0x5A682AFE7965DEBD),
    (2**63, 0xCDBFD470B87A2B70),
    (2.0**63, 0xCDBFD470B87A2B70),
    (-(2**63), 0x25C26EA579CEA98A),
    (-(2**63) - 1, 0x468C415F04BD6A79),
    (2**64, 0xA03ACD0FACAB12D1),
    (2**70, 0xFCF43F8E5B7AFB4D),
    (2**70 + 1, 0xDBF84C869B5C859F),
    (10**400, 0x4FD1E59F6C0CC444),
    (-(10**400), 0x9186729EBA9E3F0D),
    ("", 0xEF46DB3751D8E999),
    (b"", 0xEF46DB3751D8E999),
    ("a", 0xD24EC4F1A98C6E5B),
    ("é", 0x17D757DFB8B46F78),
    ("\0", 0xE934A84ADB052768),
    ("\ud800", 0x8B5127DE56AA1F64),
    ("b" * 100, 0x66CB8B04413FE52B),
    (b"\xff", 0x95634172A60B7544),
    (date(1, 1, 1), 0xED7AC6CCE1D5C1EA),
    (date(1970, 1, 1), 0x0000000000000000),
    (date(2024, 2, 29), 0xB66D7F24F36F1DE0),
    (NOON, 0xF555C34F2F871F9A),
    (NOON.replace(tzinfo=UTC), 0xF555C34F2F871F9A),
    (datetime(2024, 10, 27, 2, 30, tzinfo=EAST), 0xF555C34F2F871F9A),
    ((), 0x0000000000000000),
    ((1,), 0xBFEF8030DDC2D772),
    ((True, 0.0), 0x0C01C0E5303FA7E5),
    (("a", 1), 0x39F603A87C466785),
    ((("a",), None), 0xCDDC54B05D389275),
    (("a", (1, 2.5, b"x")), 0x8FA4AAC1EB933D31),
]
"""Never to change: a running cluster, and results that are compared, depend on them."""


def test_hash_is_pinned() -> None:
    assert [(key, hash_key(key)) for key, _ in PINNED] == PINNED
    assert [(key, keyrules.place(key)) for key, _ in PINNED] == PINNED


@given(keys)
def test_reference_has_the_same_hash(key: Any) -> None:
    place = hash_key(key)
    assert 0 <= place < 2**64
    assert keyrules.place(normal_key(key)) == place


def test_hash_is_the_same_in_every_process() -> None:
    script = "from mapreduce.keys import hash_key; print(hash_key(('a', b'b', None, 1.5)))"
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert int(done.stdout) == hash_key(("a", b"b", None, 1.5))


def test_shards_are_equal_ranges() -> None:
    for shards in (1, 2, 3, 7, 1000):
        assert shard_of(0, shards) == 0
        assert shard_of(2**64 - 1, shards) == shards - 1
        border = -(-(2**64) // shards)  # the first place of the second shard
        assert shard_of(border - 1, shards) == 0
        assert shards == 1 or shard_of(border, shards) == 1


def test_small_integers_spread_over_shards() -> None:
    counts = [0] * 8
    for number in range(8_000):
        counts[shard_of(hash_key(number), 8)] += 1
    assert min(counts) > 800


# ---------------------------------------------------------------- refusals


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


class Moment(datetime):
    pass


class Nowhere(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None


Point = namedtuple("Point", "x y")
NumpyInt = type("int64", (int,), {"__module__": "numpy"})

REFUSED: list[tuple[Any, str]] = [
    (bytearray(b"a"), "bytes(key)"),
    ([1], "tuple(key)"),
    ({"a": 1}, "tuple(sorted(key.items()))"),
    ({1}, "tuple(sorted(key))"),
    (frozenset({1}), "tuple(sorted(key))"),
    (Decimal(1), "str(key)"),
    (UUID(int=1), "str(key)"),
    (time(1), "isoformat()"),
    (timedelta(1), "total_seconds()"),
    (1j, "Keys are None, bool"),
    (range(3), "Keys are None, bool"),
    (object, "Keys are None, bool"),
    (Colour.RED, "int(key)"),
    (Name("a"), "str(key)"),
    (Point(1, 2), "tuple(key)"),
    (Moment(2024, 1, 1), "datetime(key)"),
    (NumpyInt(1), "key.item()"),
    (datetime(2024, 1, 1, tzinfo=Nowhere()), ""),
    (datetime(1, 1, 1, tzinfo=EAST), ""),
]


@pytest.mark.parametrize(
    ("key", "hint"), REFUSED, ids=[f"{type(key).__name__}-{index}" for index, (key, _) in enumerate(REFUSED)]
)
@pytest.mark.parametrize("function", [order_bytes, normal_key, hash_key])
@pytest.mark.parametrize("wrap", [lambda key: key, lambda key: ("a", (key,))], ids=["bare", "inside"])
def test_refused(function: Any, wrap: Any, key: Any, hint: str) -> None:
    with pytest.raises(KeyTypeError) as error:
        function(wrap(key))
    assert type(key).__qualname__ in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize("function", [order_bytes, normal_key])
def test_endless_nesting_is_refused(function: Any) -> None:
    key: Any = ()
    for _ in range(5_000):
        key = (key,)
    with pytest.raises(KeyTypeError, match="nested too deeply"):
        function(key)

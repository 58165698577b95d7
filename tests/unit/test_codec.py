"""The door to serialisation: values come back as they went in, control records as they were."""

import dataclasses
import enum
import json
import math
import os
import subprocess
import sys
import types
import typing
from collections import Counter, OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.strategies import ODD_NAN, exact, texts, values

from mapreduce import codec, model
from mapreduce.codec import (
    canonical_json,
    dump_code,
    dump_value,
    dump_values,
    from_plain,
    load_code,
    load_value,
    pack,
    to_plain,
    unpack,
)
from mapreduce.errors import SerializationError, ValueTypeError

# ---------------------------------------------------------------- values


@given(values)
@example(ODD_NAN)
@example([-0.0, complex(-0.0, ODD_NAN), date(2024, 1, 1)])
@example([10**5000, -(10**5000), date(2024, 1, 1)])
@example([True, 1, 1.0, {1: True}, (), [], {}, set(), frozenset(), "", b"", bytearray()])
@example(datetime(2024, 1, 1, fold=1, tzinfo=timezone(timedelta(hours=1), "CET")))
@example(time(1, 2, 3, 4, tzinfo=timezone(timedelta(seconds=1)), fold=1))
@example({"b": 1, "a": 2})
@example({frozenset({("\ud800", Decimal("1.00"))}): {date(1, 1, 1): [None]}})
@example([2**64 - 1, 2**64, -(2**63), -(2**63) - 1, Fraction(10**40, 3)])
def test_value_comes_back(value: Any) -> None:
    assert exact(load_value(dump_value(value))) == exact(value)


@given(st.lists(values, max_size=4))
def test_many_at_once_give_the_same_bytes(items: list[Any]) -> None:
    dumped = dump_values(items)
    assert [exact(load_value(data)) for data in dumped] == [exact(item) for item in items]
    assert {data[:1] for data in dumped} <= {b"m", b"p"}
    assert dump_values(items) == dumped


@given(values)
def test_bytes_of_one_value_do_not_depend_on_its_neighbours(value: Any) -> None:
    assert dump_values([value, date(2024, 1, 1)])[0] == dump_value(value) == dump_values([1, value])[1]


@pytest.mark.parametrize("inside", [1, date(2024, 1, 1)], ids=["marshal", "msgpack"])
def test_later_changes_have_no_effect(inside: Any) -> None:
    value = {"list": [1, [2]], "set": {3}, "dict": {"a": []}, "x": inside}
    before = exact(value)
    dumped = dump_values([value])
    value["list"].append(4)
    value["list"][1].clear()
    value["set"].add(5)
    value["dict"]["a"].append(6)
    assert exact(load_value(dumped[0])) == before
    assert load_value(dumped[0]) is not load_value(dumped[0])


def test_order_of_a_dict_stays() -> None:
    for extra in (1, date(2024, 1, 1)):
        value = dict.fromkeys(("b", "a", "c"), extra)
        assert list(load_value(dump_value(value))) == ["b", "a", "c"]


def test_bytes_are_the_same_in_every_process() -> None:
    """Sets iterate differently under another PYTHONHASHSEED, and equal objects may or may not be one."""
    script = """
import datetime
from mapreduce.codec import dump_values
names = [chr(97 + i) * 3 for i in range(20)]
values = [set(names), frozenset(names), {frozenset(names[:5]), "x"}, {1: set(names)}, ["ab", "a" + "bc"[:1]]]
print(b"".join(dump_values(values) + dump_values([[v, datetime.date(2024, 1, 1)] for v in values])).hex())
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Zone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=1)


Point = namedtuple("Point", "x y")

REFUSED = [
    object(),
    Colour.RED,
    Text("a"),
    Point(1, 2),
    Counter("a"),
    OrderedDict(a=1),
    defaultdict(int),
    range(3),
    ...,
    NotImplemented,
    memoryview(b"a"),
    int,
    len,
    ValueError("a"),
    iter([]),
    type("Moment", (datetime,), {})(2024, 1, 1),
    type("int64", (int,), {"__module__": "numpy"})(1),
]


@pytest.mark.parametrize("value", REFUSED, ids=[f"{type(v).__name__}-{i}" for i, v in enumerate(REFUSED)])
def test_refused(value: Any) -> None:
    wrapped = [value, [value], (1, (value,)), {"a": value}, [date(2024, 1, 1), {"a": [value]}]]
    if value.__hash__:
        wrapped += [{value: 1}, {value}, frozenset({value})]
    for whole in wrapped:
        with pytest.raises(ValueTypeError) as error:
            dump_value(whole)
        assert type(value).__qualname__ in error.value.message
        with pytest.raises(ValueTypeError):
            dump_values([1, whole, date(2024, 1, 1)])


@pytest.mark.parametrize("kind", [datetime, time])
def test_unknown_time_zone_is_refused(kind: Any) -> None:
    value = datetime(2024, 1, 1) if kind is datetime else time(1)
    with pytest.raises(ValueTypeError, match="time zone of type Zone"):
        dump_value(value.replace(tzinfo=Zone()))


def test_zones_come_back_as_themselves() -> None:
    for zone in (UTC, ZoneInfo("UTC"), timezone(timedelta(hours=-3)), timezone(timedelta(0), "GMT")):
        back = load_value(dump_value(datetime(2024, 1, 1, tzinfo=zone))).tzinfo
        assert (type(back), repr(back)) == (type(zone), repr(zone))


WRAPS = {
    "list": lambda v: [v],
    "tuple": lambda v: (v,),
    "dict": lambda v: {"a": v},
}


@pytest.mark.parametrize("end", [1, date(2024, 1, 1)], ids=["marshal", "msgpack"])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_deep_values(wrap: Any, end: Any) -> None:
    """Up to a limit they come back, beyond it they are refused; nothing between."""
    value, deepest = end, 0
    for depth in range(1, 300):
        value = wrap(value)
        try:
            data = dump_value(value)
        except ValueTypeError:
            break
        assert dump_value(load_value(data)) == data
        deepest = depth
    assert 50 <= deepest < 299


def test_nested_sets() -> None:
    """Not as deep: the time that marshal takes doubles with each level."""
    for value in (1, date(2024, 1, 1)):
        for _ in range(10):
            value = frozenset({value, 2})
        assert load_value(dump_value(value)) == value


def test_a_value_that_holds_itself_is_refused() -> None:
    once: list[Any] = []
    once.append(once)
    twice: list[Any] = []
    twice += [twice, twice]
    child: dict[str, Any] = {}
    parent = {"children": [child] * 3, "all": {"child": child}}
    child["parent"] = parent
    for value in (once, twice, parent, [1, (child,)]):
        with pytest.raises(ValueTypeError, match="holds itself"):
            dump_value(value)


# ---------------------------------------------------------------- control records

RECORDS = [
    cls
    for cls in vars(model).values()
    if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == model.__name__
]


BINARY = (model.SortedRun, model.Sample, model.Segments, model.Result)
"""These hold bytes."""


def _any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type; written anew, because a wrong hint must show."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return st.builds(hint, **{name: _any_of(kind) for name, kind in typing.get_type_hints(hint).items()})
    if origin in (types.UnionType, typing.Union):
        return st.one_of([_any_of(arg) for arg in args])
    if origin is tuple:
        return st.lists(_any_of(args[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(_any_of(args[0]), _any_of(args[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    scalars: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        type(None): st.none(),
        bytes: st.binary(),
    }
    return scalars[hint]


def test_all_records_are_tested() -> None:
    assert {"Manifest", "Result", "Split", "Plan", "Part", "SortedRun", "Segments", "Delivery"} <= {
        cls.__name__ for cls in RECORDS
    }


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_record_comes_back(cls: type, data: st.DataObject) -> None:
    record = data.draw(_any_of(cls))
    assert from_plain(cls, to_plain(record)) == record
    assert from_plain(cls, unpack(pack(record))) == record
    if cls in BINARY:  # never written as JSON
        return
    text = canonical_json(record)
    assert text == canonical_json(to_plain(record)) == dumped_by_json(to_plain(record))
    assert from_plain(cls, json.loads(text.decode("utf-8", "surrogatepass"))) == record


def dumped_by_json(plain: Any) -> bytes:
    """What canonical JSON is, by the standard library's slow encoder."""
    text = json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False)
    return (text + "\n").encode("utf-8", "surrogatepass")


@dataclasses.dataclass(frozen=True)
class Sample:
    name: str
    size: int = 0
    share: float = 0.0
    kind: model.Kind = model.Kind.MAP
    maybe: int | None = None
    parts: tuple[model.Location, ...] = ()
    counts: dict[str, int] = dataclasses.field(default_factory=dict)


def test_unknown_fields_are_dropped_and_defaults_fill_in() -> None:
    assert from_plain(Sample, {"name": "a", "colour": "red"}) == Sample("a")
    assert from_plain(Sample, {"name": "a", "share": 2}) == Sample("a", share=2.0)
    assert type(from_plain(Sample, {"name": "a", "share": 2}).share) is float


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": 1},
        {"name": None},
        {"name": "a", "size": "1"},
        {"name": "a", "size": 1.0},
        {"name": "a", "size": True},
        {"name": "a", "share": "1"},
        {"name": "a", "kind": "dance"},
        {"name": "a", "maybe": "1"},
        {"name": "a", "parts": 1},
        {"name": "a", "parts": "ab"},
        {"name": "a", "parts": [{"uri": "a"}]},
        {"name": "a", "parts": {"uri": "a"}},
        {"name": "a", "counts": [1]},
        {"name": "a", "counts": {"a": "1"}},
        [],
        "a",
        None,
    ],
    ids=repr,
)
def test_wrong_types_are_told(fields: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_plain(Sample, fields)


@given(st.dictionaries(texts, st.integers(-(2**63), 2**64 - 1) | texts | st.none()))
def test_pack_keeps_plain_data(record: dict[str, Any]) -> None:
    assert unpack(pack(record)) == record


def test_canonical_json_does_not_depend_on_the_order_of_fields() -> None:
    assert canonical_json({"b": 1, "a": [2.5, None]}) == canonical_json({"a": [2.5, None], "b": 1})
    assert canonical_json({"é": 1}) == '{\n  "é": 1\n}\n'.encode()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    )
)
@example([[], {}, [{}], {"": []}, (1, ("\ud800",)), OrderedDict(b=1, a=[True]), float("inf"), model.Kind.MAP])
@example(Counter("aab"))
def test_canonical_json_is_what_the_standard_library_gives(plain: Any) -> None:
    assert canonical_json(plain) == dumped_by_json(plain)


def test_sha256() -> None:
    assert codec.sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# ---------------------------------------------------------------- code


@dataclasses.dataclass
class FakeJob:
    map: Any = None
    reduce: Any = None
    side: Any = None


def test_functions_are_shipped() -> None:
    offset = 3
    job = load_code(dump_code(FakeJob(map=lambda x: x + offset)))
    assert job.map(math.tau) == math.tau + 3


def _with_closure(resource: Any) -> Any:
    def mapper(record: Any) -> Any:
        return resource, record

    return mapper


def test_what_cannot_be_shipped_is_named() -> None:
    resource = (line for line in ())
    with pytest.raises(SerializationError) as error:
        dump_code(FakeJob(map=_with_closure(resource)))
    assert "`resource` (generator)" in str(error.value)
    assert "of map function" in str(error.value)
    with pytest.raises(SerializationError, match=r"side\['log'\]"):
        dump_code(FakeJob(side={"ok": 1, "log": resource}))

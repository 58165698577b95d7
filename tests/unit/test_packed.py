"""What a list gives back that holds dataclasses packed."""

from dataclasses import dataclass, field, fields

import pytest

from mapreduce.model import AttemptRecord, BadRecord, Kind, Location, Part, Result, Sample, SortedRun, Work
from mapreduce.packed import PackedList

PART = Part(3, "part-00003", 7, 99, "d", 100, "e", True)
BAD = BadRecord(Location("file:///a", 1, 2), "ValueError", "no\udcffnumber", "x", "map")
RESULTS = [
    Result(Work(), {}),
    Result(Work(records=1), {"odd": -(2**63)}, name="data", digest="abc"),
    Result(Work(seconds=0.25, set_aside=1), {}, runs=(SortedRun("s|i", b"\0\1"), SortedRun("s|n", b""))),
    Result(Work(largest_key="'k'", undecodable=2**40), {"a": 1, "b": 2}, part=PART, inputs="f"),
    Result(Work(), {}, sample=Sample(1, 2, b"\xff" * 16), set_aside=PART, bad=(BAD, BAD)),
]


@pytest.mark.parametrize("result", RESULTS)
def test_what_is_read_is_what_was_put_in(result: Result) -> None:
    held = PackedList(Result, [result])
    assert held[0] == result
    assert list(held) == [result]
    assert all(type(getattr(held[0], one.name)) is type(getattr(result, one.name)) for one in fields(Result))


def test_a_list_may_have_gaps_that_are_filled() -> None:
    held: PackedList[Result | None] = PackedList(Result, [None] * 3)
    assert held.is_none(1)
    held[1] = RESULTS[1]
    assert not held.is_none(1)
    assert held[:] == [None, RESULTS[1], None]
    held[1] = None
    assert list(held) == [None] * 3


def test_attempts_are_added_in_their_order() -> None:
    records = [AttemptRecord(f"map {n}", 1, n % 2, "succeeded", n / 8) for n in range(100)]
    records.append(AttemptRecord("map 7", 2, 0, "failed", 1.0, "It broke.\n  record: 'x'", "ValueError"))
    held = PackedList(AttemptRecord)
    for record in records:
        held.append(record)
    assert list(held) == records
    assert len(held) == 101


@dataclass(frozen=True)
class Odd:
    kind: Kind
    kinds: tuple[Kind, ...] = ()
    maybe: int | None = 5
    by_name: dict[str, Location] = field(default_factory=dict)


@pytest.mark.parametrize(
    "odd",
    [
        Odd(Kind.MAP),
        Odd(Kind.REDUCE, (Kind.MAP, Kind.REDUCE), None),
        Odd(Kind.MAP, maybe=5, by_name={"a": Location("x", 1, 2, "row")}),
    ],
)
def test_enums_optional_fields_and_dicts_of_dataclasses(odd: Odd) -> None:
    (read,) = PackedList(Odd, [odd])
    assert read == odd
    assert all(isinstance(kind, Kind) for kind in (read.kind, *read.kinds))

"""What a map may give, and how: corners that the laws meet only by chance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mapreduce import Collect, Count, Job, JsonLines, Min, Records, Sum, Text, blocks, run
from mapreduce.errors import KeyTypeError, MapReduceError, RecordError, UserFunctionError, ValueTypeError
from mapreduce.testing import run_sequential


def both(job: Job) -> list[Any]:
    """The records, which must be the reference's."""
    records = list(run(job, on="serial"))
    assert repr(records) == repr(run_sequential(job).records)
    return records


def listed(key: Any, values: Iterator[Any]) -> Iterator[Any]:
    yield key, list(values)


def test_repeated_values_keep_their_place_among_others() -> None:
    @blocks
    def mapper(records: list[int]) -> Any:
        return zip(["k", "k"], repeat(1)) if records[0] == 0 else [("k", [2])]

    job = Job("order", Records(range(4097)), mapper, listed)
    assert list(run(job, on="serial")) == [("k", [1, 1, [2]])]


@pytest.mark.parametrize("reduce", [listed, Collect(), Count()])
def test_one_list_repeated(reduce: Any) -> None:
    @blocks
    def mapper(records: list[int]) -> Any:
        return zip(["k"] * len(records), repeat([1]))

    both(Job("repeated", Records(range(3)), mapper, reduce))


def test_min_refuses_a_list_within_a_tuple_and_names_the_record() -> None:
    job = Job("min", Records(range(3)), lambda n: [("k", (n, [2] if n == 1 else 3))], Min())
    with pytest.raises(ValueTypeError, match=r"Records, item 1.*type list"):
        run(job, on="serial")


def test_datetimes_in_the_fold_stay_two_keys_beside_text() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    times = [datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=berlin) for fold in (0, 1)]
    assert len(both(Job("fold", Records(["a", *times, "a"]), lambda key: [(key, 1)], Sum()))) == 3


@pytest.mark.parametrize("before", [[], ["a"] * 2000], ids=["first", "later"])
def test_a_key_that_only_looks_like_text_among_text(before: list[str]) -> None:
    class Odd(str):
        pass

    with pytest.raises(KeyTypeError, match="Odd can't be used"):
        run(Job("odd", Records([*before, Odd("b")]), lambda key: [(key, 1)], Sum()), on="serial")


@pytest.mark.parametrize("keys", [[1, True, 1.0, 2], ["a", 1, "a", None], [b"a", "a", b"a"], [True, 1]])
def test_mixed_keys_are_counted_as_the_reference_counts_them(keys: list[Any]) -> None:
    both(Job("mixed", Records(keys * 3), lambda key: [(key, 1)], Sum()))
    both(Job("mixed", Records(keys * 3), lambda key: [(key, 1)], Count()))


def test_a_key_that_can_t_be_hashed_among_text() -> None:
    with pytest.raises(KeyTypeError, match=r"Records, item 1.*type list"):
        run(Job("list", Records(["a", ["b"]]), lambda key: [("x", 1), (key, 1)], Sum()), on="serial")


class Abrupt(BaseException):
    """Like asyncio.CancelledError: no Exception."""


def test_a_base_exception_is_the_function_s_error() -> None:
    def mapper(record: int) -> Any:
        raise Abrupt("now")

    def reduce(key: Any, values: Any) -> Any:
        raise Abrupt("then")

    with pytest.raises(UserFunctionError, match="Abrupt: now"):
        run(Job("abrupt", Records([1]), mapper, Sum()), workers=1)
    with pytest.raises(UserFunctionError, match="Abrupt: then"):
        run(Job("abrupt", Records([1]), lambda n: [(n, n)], reduce), workers=1)


def test_a_counter_that_outgrows_its_place() -> None:
    def mapper(record: int, ctx: Any) -> Any:
        ctx.count("huge", 2**70)
        return []

    with pytest.raises(ValueTypeError, match="'huge' does not fit into 64 bits"):
        run(Job("counter", Records([1]), mapper, Sum()), workers=1)


@pytest.mark.parametrize(
    ("record", "output", "says"),
    [
        ({1: "a", "1": "b"}, JsonLines("out"), "are one as text"),
        ({"n": 10**5000}, JsonLines("out"), "can't be written"),
        (("x\ty", 1), Text("out"), "can't be told from its value"),
        ("x\r", Text("out"), "read back as another"),
        ("x\ny", Text("out"), "read back as another"),
    ],
)
def test_records_that_would_be_read_back_as_others_are_refused(record: Any, output: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        run(Job("lossy", Records([1]), lambda n: [record], None, output), on="serial")
    assert not Path("out").exists()


def test_a_sink_that_leaves_does_not_take_the_others_along() -> None:
    told: list[str] = []

    def leave(result: Any) -> None:
        raise SystemExit(0)

    def second(result: Any) -> None:
        told.append("second")

    result = run(Job("left", Records([1]), lambda n: [(n, 1)], Sum(), sinks=[leave, second]), on="serial")
    assert [delivery.delivered for delivery in result.deliveries] == [False, True]
    assert told == ["second"]


def test_errors_cross_processes_with_all_they_say() -> None:
    def mapper(record: int) -> Any:
        raise LookupError("\ud800 lone")

    with pytest.raises(MapReduceError) as caught:
        run(Job("text", Records([1]), mapper, Sum()), workers=1)
    assert "\ud800 lone" in caught.value.message
    assert "in mapper" in caught.value.details


BLOCK = 4096
"""Records in a block of `Records`: the first is taken in batches, later ones as they are given."""


def in_blocks(give: Any) -> Any:
    """A map of blocks that gives `zip(keys, repeat(value))` of `give(number of the block, records)`."""

    @blocks
    def mapper(records: list[tuple[int, Any]]) -> Any:
        keys, value = give(records[0][0] // BLOCK, [key for _, key in records])
        return zip(keys, repeat(value))

    return mapper


def numbered(count: int, odd: dict[int, Any] | None = None) -> Records:
    return Records([(n, (odd or {}).get(n, f"k{n % 7}")) for n in range(count)], split_size=count)


@pytest.mark.parametrize("reduce", [Sum(), Count(), Min(), Collect()])
@pytest.mark.parametrize("values", [[1], [1, 1.0], [1, True], [1, 2], [None, 1]])
def test_repeated_values_over_many_blocks(reduce: Any, values: list[Any]) -> None:
    def mapper(record: tuple[int, str]) -> list[tuple[str, Any]]:
        return [(record[1], values[record[0] // BLOCK % len(values)])]

    job = Job(
        "many", numbered(20 * BLOCK), in_blocks(lambda n, keys: (keys, values[n % len(values)])), reduce
    )
    result = run(job, on="serial")
    assert result.manifest.totals.pairs == 20 * BLOCK
    expected = run_sequential(Job("many", job.source, mapper, reduce))
    assert [result.part_bytes(part) for part in result.parts] == expected.parts


@pytest.mark.parametrize("odd", [1, None, b"k1", ("k1",), 1.5])
def test_a_key_of_another_type_in_a_later_block(odd: Any) -> None:
    job = Job("later", numbered(5 * BLOCK, {3 * BLOCK + 5: odd}), in_blocks(lambda n, keys: (keys, 1)), Sum())
    result = run(job, on="serial")
    assert result.manifest.totals.pairs == 5 * BLOCK
    assert dict(result)[odd] == 1
    assert sum(dict(result).values()) == 5 * BLOCK


def test_a_key_that_can_t_be_hashed_in_a_later_block() -> None:
    source = numbered(5 * BLOCK, {3 * BLOCK + 5: ["k"]})
    with pytest.raises(KeyTypeError, match=rf"Records, item {3 * BLOCK + 5}: .*type list"):
        run(Job("later", source, in_blocks(lambda n, keys: (keys, 1)), Sum()), on="serial")


def test_a_type_error_of_the_function_s_own_in_a_later_block() -> None:
    source = numbered(5 * BLOCK, {3 * BLOCK + 5: 7})
    job = Job("later", source, in_blocks(lambda n, keys: (map(len, keys), 1)), Sum())
    with pytest.raises(
        UserFunctionError, match=rf"Records, item {3 * BLOCK + 5}: TypeError: object of type 'int'"
    ):
        run(job, on="serial")
    lower = in_blocks(lambda n, keys: (map(str.lower, keys), 1))
    with pytest.raises(UserFunctionError, match=rf"Records, item {3 * BLOCK + 5}: TypeError"):
        run(Job("later", source, lower, Sum()), on="serial")

"""Which records of a result are shown, and as what."""

from pathlib import Path

import pytest

from mapreduce import Job, JobResult, Records, Text, run
from mapreduce.errors import JobError
from mapreduce.rows import cell, fractions, leading, table


def kept(items, output=None) -> JobResult:
    """A result with these records."""
    job = Job(name="rows", source=Records(items), map=lambda item: [item], output=output)
    return run(job, on="serial")


def test_pairs_with_numbers_come_largest_first_and_ties_in_order():
    result = kept([("a", 1), ("b", 5), ("c", 2.5), ("d", 5)])
    found = leading(result, 3)
    assert found.records == [("b", 5), ("d", 5), ("c", 2.5)]
    assert found.values == [5, 5, 2.5]
    assert str(found) == "the largest 3 of 4 records"


def test_the_first_ones_on_request():
    found = leading(kept([("a", 1), ("b", 5), ("c", 2)]), 2, "first")
    assert (found.records, found.values) == ([("a", 1), ("b", 5)], [1, 5])
    assert str(found) == "the first 2 of 3 records"


@pytest.mark.parametrize(
    "records",
    [
        [("a", 1), ("b", "x")],
        [("a", True), ("b", False)],
        [("a", float("nan"))],
        [("a", 1, 2)],
        [{"a": 1}],
        ["a"],
        [("a", 1), *[("b", 2)] * 5, ("c", None)],
    ],
)
def test_other_records_come_in_their_order(records):
    found = leading(kept(records), 2)
    assert repr(found.records) == repr(records[:2])
    assert found.order == "first"
    with pytest.raises(JobError, match="Not all records"):
        leading(kept(records), 2, "largest")


def test_numbers_in_lines_of_text_are_numbers(own_folder: Path):
    result = kept([("a", 9), ("b", 10)], Text(str(own_folder / "out")))
    found = leading(JobResult.load(own_folder / "out"), 5)
    assert found.records == [("b", "10"), ("a", "9")]
    assert table(found).rows == [["b", "10"], ["a", "9"]]
    assert table(found).numeric == [False, True]
    assert str(leading(result, 5)) == "2 records, all, the largest first"


def test_lines_of_text_with_another_value_are_no_numbers(own_folder: Path):
    found = leading(kept([("a", 1.5), ("b", "x")], Text(str(own_folder / "out"))), 5)
    assert (found.order, found.values) == ("first", None)
    found = leading(kept([("a", 1.5), ("b", 2)], Text(str(own_folder / "other"))), 5)
    assert found.values == [2, 1.5]


def test_no_records():
    found = leading(kept([]), 5)
    assert (found.records, found.total) == ([], 0)
    assert table(found).rows == []


def test_a_tuple_key_has_a_column_for_each_element():
    shown = table(leading(kept([(("07", 200), 1200), (("08", 404), 3)]), 5))
    assert shown.columns == ["key[0]", "key[1]", "value"]
    assert shown.numeric == [False, True, True]
    assert shown.rows == [["07", "200", "1,200"], ["08", "404", "3"]]


def test_tuple_keys_of_different_lengths_stay_whole():
    shown = table(leading(kept([(("a", 1), 1), (("b",), 2)]), 5))
    assert shown.columns == ["key", "value"]
    assert shown.rows == [['["b"]', "2"], ['["a",1]', "1"]]


def test_dicts_have_a_column_for_each_field():
    shown = table(leading(kept([{"a": 1, "b": [1, 2]}, {"a": 2, "\x1bc": None}]), 5))
    assert shown.columns == ["a", "b", r"\x1bc"]
    assert shown.rows == [["1", "[1,2]", '""'], ["2", '""', "None"]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567, "1,234,567"),
        (1234.5, "1,234.5"),
        (0.1, "0.1"),
        (float("inf"), "inf"),
        (None, "None"),
        ("", '""'),
        (b"\x1b[0m", r"b'\x1b[0m'"),
        ("\x1b[0m", r"\x1b[0m"),
        ({"k": "\u202e"}, r'{"k":"\u202e"}'),
        ([1, {2}], "[1,[2]]"),
        ([object], "[<class 'object'>]"),
    ],
)
def test_cell(value, shown):
    assert cell(value) == shown


def test_an_integer_beyond_what_python_writes():
    assert cell(10**5000).startswith("0x")


@pytest.mark.parametrize(
    ("values", "lengths"),
    [
        ([4, 2, 0], [1, 0.5, 0]),
        ([-4, 2], [1, 0.5]),
        ([0, 0], [0, 0]),
        ([float("inf"), 2, 1], [1, 1, 0.5]),
        ([10**400, 1.5], [1, 0]),
        ([], []),
    ],
)
def test_lengths_of_bars(values, lengths):
    assert fractions(values) == lengths

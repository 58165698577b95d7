"""Functions and their options: shapes, set-up, order, partition; each mistake has its own words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mapreduce import (
    Collect,
    Identity,
    Input,
    Job,
    JsonLines,
    MapReduceError,
    Records,
    Sum,
    Text,
    TotalOrder,
    blocks,
    frames,
    run,
)
from mapreduce.errors import JobError


def pair(record: Any) -> list[Any]:
    return [(record, 1)]


def total(key: Any, values: Iterator[int]) -> list[Any]:
    return [(key, sum(values))]


@frames
def lines(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key="line", value=1)


# ---------------------------------------------------------------- jobs that can't be made

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no map": ({"map": None}, "Job j has no map. Give a function (record) -> pairs, or Identity()"),
    "the class Identity": ({"map": Identity}, "map is the class Identity. Write Identity()."),
    "inputs and paths": (
        {"source": [Input("a", pair), "b"], "map": None},
        "source mixes Input with other things",
    ),
    "inputs and a map": ({"source": [Input("a", pair)]}, "each Input has a map of its own"),
    "an input without a map": (
        {"source": [Input("a", None)], "map": None},
        "map is a NoneType, not a function",
    ),
    "frames of records": ({"map": lines}, "Records gives no frames"),
    "an order without reduce": ({"reduce": None, "order_values": len}, "order_values needs a reduce"),
    "a partition without reduce": ({"reduce": None, "partition": TotalOrder()}, "partition needs a reduce"),
    "the class TotalOrder": (
        {"partition": TotalOrder},
        "partition is the class TotalOrder. Write TotalOrder().",
    ),
    "a partition and no number": ({"partition": len}, "needs to know the number of parts"),
    "a partition that is none": (
        {"partition": 3, "shards": 2},
        "Give a function (key) -> int, or TotalOrder().",
    ),
    "an order that is none": ({"order_values": "size"}, "Give a function (value) -> sort key."),
    "order and combine": (
        {"reduce": total, "combine": total, "order_values": len},
        "order_values and combine exclude each other",
    ),
    "frames as combine": ({"reduce": total, "combine": lines}, "@frames marks maps and reduces, not combine"),
    "blocks as reduce": ({"reduce": blocks(lambda key, values: [])}, "@blocks marks maps, not reduce"),
    "no names": ({"key_names": ()}, "key_names is ()"),
    "a name for a name": ({"key_names": "hour"}, "key_names is 'hour'"),
    "a name twice": ({"key_names": ("a", "a")}, "are not all different"),
    "the name value": ({"key_names": ("a", "value")}, "one is 'value'"),
    "a name of the reduce": ({"key_names": ("a", "n"), "reduce": {"n": Sum()}}, "both have the name 'n'"),
    "a profile of an output": (
        {"output": JsonLines("out", storage_options="any")},
        "storage_options of an output mean nothing: it is a folder, or a bucket",
    ),
    "names in text": ({"key_names": ("a", "b"), "output": Text("out")}, "Text has no fields for key_names"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_job_that_is_refused(case: str) -> None:
    options, message = REFUSED[case]
    with pytest.raises(JobError) as caught:
        Job(**{"name": "j", "source": Records([1]), "map": pair, "reduce": Sum(), **options})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order_values": lambda: 0}, "order_values `<lambda>` (test_functions.py:"),
        ({"partition": lambda key, shards: 0, "shards": 2}, "can't be called with (key)"),
        ({"source": [Input(Records([1]), lambda: 0)], "map": None}, "can't be called with (record)"),
    ],
)
def test_a_function_of_another_shape(options: Any, message: str) -> None:
    given: dict[str, Any] = {"source": Records([1]), "map": pair, "reduce": Sum(), **options}
    with pytest.raises(JobError) as caught:
        run(Job("j", **given), on="serial")
    assert message in str(caught.value)


# ---------------------------------------------------------------- functions that fail


def failing(job: Job) -> str:
    with pytest.raises(MapReduceError) as caught:
        run(job, on="serial")
    return str(caught.value)


def bad_order(value: Any) -> Any:
    return 1 / value


def test_a_partition_out_of_range() -> None:
    message = failing(Job("j", Records(["a"]), pair, Sum(), partition=lambda key: 2, shards=2))
    assert "gave 2 for the key 'a'. Return an int from 0 to 1; the job has 2 shards." in message


def test_a_partition_that_gives_no_int() -> None:
    assert "gave True for the key 'a'" in failing(
        Job("j", Records(["a"]), pair, Sum(), partition=lambda key: True, shards=2)
    )


def test_a_partition_that_raises() -> None:
    message = failing(Job("j", Records(["a"]), pair, Sum(), partition=lambda key: 1 // 0, shards=2))
    assert "failed for the key 'a': ZeroDivisionError" in message


def test_an_order_that_raises() -> None:
    message = failing(Job("j", Records([("k", 0)]), Identity(), Collect(), order_values=bad_order))
    assert "order_values `bad_order` (test_functions.py:" in message
    assert "failed for the value 0: ZeroDivisionError" in message


def test_an_order_that_can_not_be_compared() -> None:
    message = failing(
        Job("j", Records([("k", 0)]), Identity(), Collect(), order_values=lambda value: [value])
    )
    assert "failed for the value 0: A key of type list can't be used: [0]. Write tuple(key)." in message


def test_a_record_that_is_no_pair() -> None:
    message = failing(Job("j", Records([("k", 0), "x"]), Identity(), Collect()))
    assert "Records, item 1" in message
    assert "Identity() got a record that is no pair: 'x'." in message


def test_identity_without_a_reduce_is_named_as_it_was_written() -> None:
    message = failing(Job("j", Records([3]), Identity(), output=Text("o")))
    assert message.startswith("map `Identity`")
    assert "Text can't write a record of type int: 3." in message


def test_a_profile_that_is_not_there_is_told_for_local_files_too() -> None:
    Path("input").write_text("a\n")
    message = failing(Job("j", Text("input", storage_options="nowhere"), pair, Sum()))
    assert "nowhere" in message


def test_names_that_do_not_fit() -> None:
    message = failing(Job("j", Records([("k", 0)]), Identity(), Sum(), JsonLines("o"), key_names=("a", "b")))
    assert "key_names (a, b) do not fit the key 'k'. Give keys that are tuples of 2." in message


# ---------------------------------------------------------------- frames


@frames
def no_frame(frame: pl.DataFrame) -> Any:
    return [1]


@frames
def other_columns(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


@frames
def list_keys(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key=pl.col("line").str.split(" "), value=1)


@frames
def numbers(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key=1, value=pl.col("line").cast(pl.Int64))


def text(content: str) -> Text:
    Path("input").write_text(content)
    return Text("input")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_frame, "it gave a list where a DataFrame belongs."),
        (other_columns, "it gave a frame with the columns line."),
        (list_keys, "A key of type list can't be used"),
    ],
)
def test_a_frame_that_is_none(function: Any, message: str) -> None:
    assert message in failing(Job("j", text("a b\n"), function, Sum()))


def test_a_frame_that_fails_names_its_record() -> None:
    content = "".join(f"{number}\n" for number in range(1_000)) + "x\n" + "1\n" * 50
    message = failing(Job("j", text(content), numbers, Sum()))
    assert "map `numbers` (test_functions.py:" in message
    assert "input, byte 3,890" in message
    assert "record: {'line': 'x'}" in message


def test_a_frames_reduce_of_mixed_values() -> None:
    @frames
    def reduce(frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    message = failing(Job("j", Records([(1, "a"), (1, 2)]), Identity(), reduce))
    assert "A @frames reduce needs values of one type each" in message


def test_a_frames_reduce_that_raises() -> None:
    @frames
    def reduce(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select("nothing")

    message = failing(Job("j", Records([(1, "a")]), Identity(), reduce))
    assert "reduce `test_a_frames_reduce_that_raises.<locals>.reduce`" in message
    assert "ColumnNotFoundError" in message


# ---------------------------------------------------------------- set up


class Told:
    """Writes down what is called. Serial attempts run in this process."""

    def __init__(self, fail: str = "") -> None:
        self.calls: list[str] = []
        self.fail = fail

    def note(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fail:
            raise ValueError(f"{name} does not work")

    def setup(self, ctx: Any) -> None:
        assert ctx.side == {"n": 1}
        self.note("setup")

    def teardown(self) -> None:
        self.note("teardown")


class Mapped(Told):
    def __call__(self, record: Any) -> list[Any]:
        self.note("call")
        return [(record, 1)]


class Reduced(Told):
    def __call__(self, key: Any, values: Iterator[int]) -> list[Any]:
        self.note("call")
        return [(key, sum(values))]


def test_set_up_once_an_attempt() -> None:
    mapped, reduced = Mapped(), Reduced()
    source = Records(["a", "b", "a"], split_size=2)
    assert sorted(run(Job("j", source, mapped, reduced, side={"n": 1}), on="serial")) == [("a", 2), ("b", 1)]
    assert mapped.calls == ["setup", "call", "call", "teardown", "setup", "call", "teardown"]
    assert reduced.calls == ["setup", "call", "call", "teardown"]


@pytest.mark.parametrize(
    ("fail", "calls", "message"),
    [
        ("setup", ["setup"], "setup of map `Mapped` failed: ValueError: setup does not work"),
        ("call", ["setup", "call", "call", "teardown"], "map `Mapped` failed on Records, item 0"),
        ("teardown", ["setup", "call", "teardown"], "teardown of map `Mapped` failed: ValueError"),
    ],
)
def test_set_up_that_fails(fail: str, calls: list[str], message: str) -> None:
    mapped = Mapped(fail)
    assert message in failing(Job("j", Records(["a"]), mapped, Sum(), side={"n": 1}, max_attempts=1))
    assert mapped.calls == calls


def test_state_begins_anew_when_values_turn_out_to_be_mutable() -> None:
    """Values that may change make the attempt start over: a function that remembers must not see that."""

    class Distinct:
        def setup(self, ctx: Any) -> None:
            self.seen: set[Any] = set()

        def __call__(self, record: Any) -> list[Any]:
            if record in self.seen:
                return []
            self.seen.add(record)
            return [("all", [record])]

    def listing(key: Any, values: Iterator[Any]) -> list[Any]:
        return [(key, list(values))]

    assert list(run(Job("j", Records([1, 2, 1]), Distinct(), listing), on="serial")) == [("all", [[1], [2]])]

"""`check_cuts` finds functions whose result depends on where their input is cut, and passes the others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mapreduce import Collect, Count, Identity, Job, JsonLines, Records, Sum, Text, blocks, frames
from mapreduce.testing import CutsMatter, check_cuts


@pytest.fixture
def source(own_folder: Path) -> Text:
    (own_folder / "log").write_text("".join(f"{number} {number % 7} x\n" for number in range(400)))
    return Text("log")


LINE = pl.col("line")


@frames
def good(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key=LINE.str.split(" ").list.get(1), value=LINE.str.len_bytes())


@frames
def grouped_first(frame: pl.DataFrame) -> pl.DataFrame:
    """Sums of sums are sums."""
    return good(frame).group_by("key", maintain_order=True).agg(pl.col("value").sum())


@frames
def running(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(key=LINE.str.head(1), value=LINE.str.len_bytes().cum_sum())


@frames
def distinct(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique("line").select(key=pl.lit(1), value=LINE.str.tail(1)).unique()


@frames
def divided(frame: pl.DataFrame) -> pl.DataFrame:
    """The last bit of polars' quotient differs with the frame's length."""
    return frame.select(key=LINE, value=LINE.str.split(" ").list.first().cast(pl.Int64) / 3)


@blocks
def numbered(lines: list[str]) -> Iterator[Any]:
    return ((line[-1], number) for number, line in enumerate(lines))


@blocks
def per_line(lines: list[str]) -> Iterator[Any]:
    return ((line[-1], 1) for line in lines)


@pytest.mark.parametrize(
    ("function", "reduce"),
    [(good, Sum()), (good, Collect()), (grouped_first, Sum()), (per_line, Count()), (good, None)],
)
def test_good_ones_pass(function: Any, reduce: Any, source: Text) -> None:
    check_cuts(Job("good", source, function, reduce, JsonLines("untouched")))
    assert not Path("untouched").exists()


@pytest.mark.parametrize(
    ("function", "reduce"),
    [(running, Sum()), (distinct, Count()), (divided, Sum()), (grouped_first, Count()), (numbered, Sum())],
)
def test_bad_ones_are_found(function: Any, reduce: Any, source: Text) -> None:
    with pytest.raises(
        CutsMatter, match=r"(?s)depends on where its input is cut.*in one piece: .*in pieces of"
    ):
        check_cuts(Job("bad", source, function, reduce))


def test_few_records_in_memory_are_cut_too() -> None:
    with pytest.raises(CutsMatter):
        check_cuts(Job("bad", Records(["a", "a"]), numbered, Sum()))


def test_a_combine_that_is_not_associative() -> None:
    def mean(key: Any, values: Iterator[float]) -> float:
        given = list(values)
        return sum(given) / len(given)

    def record(key: Any, values: Iterator[float]) -> list[Any]:
        return [(key, mean(key, values))]

    with pytest.raises(CutsMatter):
        check_cuts(Job("bad", Records([("k", n) for n in range(150)]), Identity(), record, combine=mean))

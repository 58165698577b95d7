"""Lines of 100 bytes in ascending order, in parts that follow one another; keys by polars' expressions."""

from collections.abc import Iterator

import polars as pl

from mapreduce import Job, Text, TotalOrder, frames, params


@frames
def keyed(lines: pl.DataFrame) -> pl.DataFrame:
    """The first ten characters, and the line."""
    return lines.select(key=pl.col("line").str.head(10), value="line")


def in_order(_key: str, lines: Iterator[str]) -> list[str]:
    return sorted(lines)


job = Job(
    name="sort",
    source=params["SOURCE"],
    map=keyed,
    reduce=in_order,
    partition=TotalOrder(),
    output=Text(params["OUTPUT"]),
)

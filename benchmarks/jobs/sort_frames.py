"""Lines of 100 bytes in ascending order, in parts that follow one another. By polars' expressions."""

import polars as pl

from mapreduce import Job, Text, TotalOrder, frames, params


@frames
def keyed(lines: pl.DataFrame) -> pl.DataFrame:
    """The first two characters, and the line."""
    return lines.select(key=pl.col("line").str.head(2), value="line")


@frames
def in_order(groups: pl.DataFrame) -> pl.DataFrame:
    """Each group in order: short keys are sorted by the engine, and long lines but once, here."""
    return groups.select(line=pl.col("values").list.sort()).explode("line")


job = Job(
    name="sort",
    source=params["SOURCE"],
    map=keyed,
    reduce=in_order,
    partition=TotalOrder(),
    output=Text(params["OUTPUT"]),
)

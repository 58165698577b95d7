"""Lines of 100 bytes in ascending order, in parts that follow one another. By polars' expressions."""

import polars as pl

from mapreduce import Job, Text, TotalOrder, frames, params


@frames
def keyed(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines as keys: there is nothing else to send."""
    return lines.select(key="line", value=None)


@frames
def in_order(groups: pl.DataFrame) -> pl.DataFrame:
    """A line as often as it came."""
    return groups.explode("values").select(line="key")


job = Job(
    name="sort",
    source=params["SOURCE"],
    map=keyed,
    reduce=in_order,
    partition=TotalOrder(),
    output=Text(params["OUTPUT"]),
)

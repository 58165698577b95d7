"""How many sessions did each address have, and how many requests? Map and reduce by polars' expressions."""

import polars as pl

from mapreduce import Job, frames, params

SILENCE = 1800


@frames
def visits(lines: pl.DataFrame) -> pl.DataFrame:
    """Address, and seconds since 1970."""
    time = pl.col("line").str.splitn("[", 2).struct.field("field_1").str.head(20)
    return lines.select(
        key=pl.col("line").str.splitn(" ", 2).struct.field("field_0"),
        value=time.str.to_datetime("%d/%b/%Y:%H:%M:%S", strict=False).dt.epoch("s"),
    ).drop_nulls()


@frames
def sessions(groups: pl.DataFrame) -> pl.DataFrame:
    """A row for each address."""
    pauses = pl.element().sort().diff()
    return groups.select(
        address="key",
        sessions=1 + pl.col("values").list.eval(pauses > SILENCE).list.sum(),
        hits=pl.col("values").list.len(),
    )


job = Job(name="sessions", source=params["SOURCE"], map=visits, reduce=sessions, output=params["OUTPUT"])

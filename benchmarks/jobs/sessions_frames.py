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
    visits = groups.with_row_index("row").explode("values").sort("row", "values")
    goes_on = pl.col("row") == pl.col("row").shift()
    visits = visits.with_columns(new=goes_on & (pl.col("values").diff() > SILENCE))
    found = visits.group_by("row", maintain_order=True).agg(
        address=pl.col("key").first(), sessions=1 + pl.col("new").sum(), hits=pl.len()
    )
    return found.drop("row")


job = Job(name="sessions", source=params["SOURCE"], map=visits, reduce=sessions, output=params["OUTPUT"])

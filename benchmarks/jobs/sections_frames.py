"""How many different addresses asked for something in each section of the site? By polars' expressions."""

import polars as pl

from mapreduce import CountDistinct, Job, frames, params


@frames
def visits(lines: pl.DataFrame) -> pl.DataFrame:
    """Section and address, each couple once a frame."""
    path = (
        pl.col("field_1")
        .str.splitn(" ", 3)
        .struct.field("field_1")
        .str.splitn("?", 2)
        .struct.field("field_0")
    )
    return (
        lines.select(pl.col("line").str.splitn('"', 3))
        .unnest("line")
        .select(
            key=path.str.splitn("/", 3).struct.field("field_1"),
            value=pl.col("field_0").str.splitn(" ", 2).struct.field("field_0"),
        )
        .drop_nulls("key")
        .unique()
    )


job = Job(
    name="sections", source=params["SOURCE"], map=visits, reduce=CountDistinct(), output=params["OUTPUT"]
)

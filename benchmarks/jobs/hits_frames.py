"""How often was each path asked for? By polars' expressions."""

import polars as pl

from mapreduce import Count, Job, frames, params


@frames
def hits(lines: pl.DataFrame) -> pl.DataFrame:
    request = pl.col("line").str.splitn('"', 3).struct.field("field_1")
    path = request.str.splitn(" ", 3).struct.field("field_1").str.splitn("?", 2).struct.field("field_0")
    return lines.select(key=path, value=1).drop_nulls()


job = Job(name="hits", source=params["SOURCE"], map=hits, reduce=Count(), output=params["OUTPUT"])

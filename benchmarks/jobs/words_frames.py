"""How often does each word occur? By polars' expressions, which also count within a frame."""

import polars as pl

from mapreduce import Job, Sum, frames, params


@frames
def words(lines: pl.DataFrame) -> pl.DataFrame:
    found = lines.select(key=pl.col("line").str.split(" ").list.explode())
    return found.group_by("key").agg(value=pl.len())


job = Job(name="words", source=params["SOURCE"], map=words, reduce=Sum(), output=params["OUTPUT"])

"""How often does each word occur? By polars' expressions: a row for each word, which the engine counts."""

import polars as pl

from mapreduce import Count, Job, frames, params


@frames
def words(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select(key=pl.col("line").str.split(" ").list.explode(), value=None)


job = Job(name="words", source=params["SOURCE"], map=words, reduce=Count(), output=params["OUTPUT"])

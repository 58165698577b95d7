"""In which documents does each word occur? Map and reduce by polars' expressions."""

import polars as pl

from mapreduce import Job, frames, params


@frames
def words(lines: pl.DataFrame) -> pl.DataFrame:
    fields = lines.select(pl.col("line").str.splitn("\t", 2)).unnest("line")
    found = fields.select(
        value=pl.col("field_0").cast(pl.Int64), key=pl.col("field_1").str.split(" ").list.unique()
    )
    return found.explode("key").select("key", "value")


@frames
def postings(groups: pl.DataFrame) -> pl.DataFrame:
    """Documents come in the order of the input, in which their numbers ascend."""
    return groups.select(word="key", documents="values")


job = Job(name="index", source=params["SOURCE"], map=words, reduce=postings, output=params["OUTPUT"])

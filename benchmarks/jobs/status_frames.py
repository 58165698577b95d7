"""How many requests of each status in each hour of the day? By polars' expressions."""

import polars as pl

from mapreduce import Job, Sum, frames, params


@frames
def answers(lines: pl.DataFrame) -> pl.DataFrame:
    """Hour and status of each request, counted in the frame."""
    fields = lines.select(pl.col("line").str.splitn('"', 3)).unnest("line")
    found = fields.filter(pl.col("field_1").str.contains(" ", literal=True)).select(
        hour=pl.col("field_0").str.slice(-16, 2), status=pl.col("field_2").str.slice(1, 3)
    )
    return (
        found.group_by("hour", "status")
        .agg(value=pl.len())
        .select(key=pl.struct("hour", "status"), value="value")
    )


job = Job(
    name="status",
    source=params["SOURCE"],
    map=answers,
    reduce=Sum(),
    key_names=("hour", "status"),
    output=params["OUTPUT"],
)

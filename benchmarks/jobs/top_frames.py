"""Which ten paths were asked for most, of each status? By polars' expressions; ranked where read.

python -m benchmarks.jobs.top_frames SOURCE OUTPUT [--workers N]
"""

import polars as pl

from benchmarks.jobs.ranking import main
from mapreduce import Job, Sum, frames


@frames
def hits(lines: pl.DataFrame) -> pl.DataFrame:
    """Status and path, counted in the frame."""
    fields = lines.select(pl.col("line").str.splitn('"', 3)).unnest("line")
    path = (
        pl.col("field_1")
        .str.splitn(" ", 3)
        .struct.field("field_1")
        .str.splitn("?", 2)
        .struct.field("field_0")
    )
    found = fields.select(status=pl.col("field_2").str.slice(1, 3), path=path).drop_nulls()
    return (
        found.group_by("status", "path")
        .agg(value=pl.len())
        .select(key=pl.struct("status", "path"), value="value")
    )


def counts(source: str) -> Job:
    return Job(name="top", source=source, map=hits, reduce=Sum())


if __name__ == "__main__":
    main(counts)

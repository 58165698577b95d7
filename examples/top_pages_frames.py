"""`top_pages.py` with `@frames` maps, which take many records at once, as polars DataFrames.

python examples/top_pages_frames.py
mapreduce run examples/top_pages_frames.py:counts --source 'logs/access-*.log' --output reports/counts
mapreduce run examples/top_pages_frames.py:top --source reports/counts --output reports/top-pages
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from mapreduce import Job, Parquet, Sum, TopK, frames, params, run
from mapreduce.testing.logs import write_access_log

HIT = r'"[A-Z]+ (?<path>[^ ?"]+)[^"]*" (?<status>\d{3}) '


@frames
def hits(lines: pl.DataFrame) -> pl.DataFrame:
    """Status and path of each line; lines that are no requests are left out."""
    found = lines.select(pl.col("line").str.extract_groups(HIT)).unnest("line").drop_nulls()
    return found.select(key=pl.struct(pl.col("status").cast(pl.Int64), "path"), value=1)


@frames
def pages(rows: pl.DataFrame) -> pl.DataFrame:
    """The pages of each status, with their numbers of hits."""
    return rows.select(key="status", value=pl.struct("path", "value"))


table = Parquet(params.get("COUNTS", "reports/counts"), schema={"status": int, "path": str, "value": int})

counts = Job(
    name="counts",
    source=params.get("SOURCE", "access.log"),
    map=hits,
    reduce=Sum(),
    key_names=("status", "path"),
    output=table,
)

top = Job(
    name="top-pages",
    source=table,
    map=pages,
    reduce=TopK(5, by=1),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        log, parts = Path(folder, "access.log"), Path(folder, "counts")
        write_access_log(log, 4_000_000)
        run(replace(counts, source=log, output=Parquet(parts)))
        result = run(replace(top, source=Parquet(parts)))
    for status, best in sorted(result):
        for path, n in best:
            print(f"{status}  {n:7,}  {path}")

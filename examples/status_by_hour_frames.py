"""`status_by_hour.py` with a `@frames` map, which takes many lines at once, as a polars DataFrame.

python examples/status_by_hour_frames.py
mapreduce run examples/status_by_hour_frames.py --source 'logs/access-*.log' --output reports/status-by-hour
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from mapreduce import Count, Job, Max, Sum, frames, params, run
from mapreduce.testing.logs import write_access_log

ANSWER = r'\[[^:]+:(?<hour>\d\d):[^\]]+\] "[^"]*" (?<status>\d{3}) (?<bytes>\d+|-)'


@frames
def answers(lines: pl.DataFrame) -> pl.DataFrame:
    """Hour and status of each line, with the size of the answer; "-" is an answer without a body."""
    found = lines.select(pl.col("line").str.extract_groups(ANSWER)).unnest("line").drop_nulls()
    return found.select(
        key=pl.struct("hour", pl.col("status").cast(pl.Int64)),
        value=pl.col("bytes").replace("-", None).cast(pl.Int64),
    )


job = Job(
    name="status-by-hour",
    source=params.get("SOURCE", "access.log"),
    map=answers,
    reduce={"hits": Count(), "bytes": Sum(), "largest": Max()},
    key_names=("hour", "status"),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        log = Path(folder, "access.log")
        write_access_log(log, 4_000_000)
        table = run(replace(job, source=log)).to_polars()
    for row in table.sort("hour", "status").iter_rows(named=True):
        print(f"{row['hour']}:00  {row['status']}  {row['hits']:6,} hits  {row['bytes']:12,} bytes")

"""The busiest pages of each status, in two steps: a job's output is the next job's source.

Counting needs a group for each page, ranking one for each status; so no group ever holds all hits.

python examples/top_pages.py
mapreduce run examples/top_pages.py:counts --source 'logs/access-*.log' --output reports/counts
mapreduce run examples/top_pages.py:top --source reports/counts --output reports/top-pages
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from mapreduce import Job, Parquet, Records, Sum, TopK, params, run
from mapreduce.testing.logs import access_lines

HIT = re.compile(r'"[A-Z]+ ([^ ?"]+)[^"]*" (\d{3}) ')


def hits(line: str) -> Iterator[tuple[tuple[int, str], int]]:
    """Status and path of a line; lines that are no requests are left out."""
    if found := HIT.search(line):
        yield (int(found[2]), found[1]), 1


def pages(row: dict[str, Any]) -> Iterator[tuple[int, tuple[str, int]]]:
    """A page of a status, with its number of hits."""
    yield row["status"], (row["path"], row["value"])


table = Parquet(params.get("COUNTS", "reports/counts"), schema={"status": int, "path": str, "value": int})

counts = Job(
    name="counts",
    source=params.get("SOURCE") or Records(access_lines(20_000)),  # without a log: lines of a made-up one
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
        run(replace(counts, output=Parquet(folder)))
        result = run(replace(top, source=Parquet(folder)))
    for status, best in sorted(result):
        for path, n in best:
            print(f"{status}  {n:7,}  {path}")

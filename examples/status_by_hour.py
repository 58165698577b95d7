"""Hits, bytes and the largest answer of each status in each hour: several aggregates in one job.

python examples/status_by_hour.py
mapreduce run examples/status_by_hour.py --source 'logs/access-*.log' --output reports/status-by-hour
"""

import re
from collections.abc import Iterator

from mapreduce import Count, Job, Max, Records, Sum, params, run
from mapreduce.testing.logs import access_lines

ANSWER = re.compile(r'\[[^:]+:(\d\d):[^\]]+\] "[^"]*" (\d{3}) (\d+|-)')


def answers(line: str) -> Iterator[tuple[tuple[str, int], int | None]]:
    """Hour and status of a line, with the size of the answer; "-" is an answer without a body."""
    if found := ANSWER.search(line):
        hour, status, size = found.groups()
        yield (hour, int(status)), None if size == "-" else int(size)


job = Job(
    name="status-by-hour",
    source=params.get("SOURCE") or Records(access_lines(20_000)),  # without a log: lines of a made-up one
    map=answers,
    reduce={"hits": Count(), "bytes": Sum(), "largest": Max()},
    key_names=("hour", "status"),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    for row in run(job).to_polars().sort("hour", "status").iter_rows(named=True):
        print(f"{row['hour']}:00  {row['status']}  {row['hits']:6,} hits  {row['bytes']:12,} bytes")

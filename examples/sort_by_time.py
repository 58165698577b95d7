"""The lines of several servers' logs in order of time, in parts that follow one another.

python examples/sort_by_time.py
mapreduce run examples/sort_by_time.py --source 'logs/access-*.log' --output reports/sorted --shards 8
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from mapreduce import Job, Records, Text, TotalOrder, params, run
from mapreduce.testing.logs import access_lines

SERVERS = [line for seed in (1, 2, 3) for line in access_lines(5_000, seed=seed)]  # each in order by itself


def by_time(line: str) -> Iterator[tuple[datetime, str]]:
    """The time of a line, and the line."""
    yield datetime.strptime(line.split("[", 1)[1][:26], "%d/%b/%Y:%H:%M:%S %z"), line


def lines(_time: datetime, lines: Iterator[str]) -> Iterator[str]:
    """The lines of one second, in order of input."""
    yield from lines


job = Job(
    name="sort-by-time",
    source=params.get("SOURCE") or Records(SERVERS),  # without logs: lines of made-up ones
    map=by_time,
    reduce=lines,
    partition=TotalOrder(),
    shards=4,
    output=Text(params.get("OUTPUT", "reports/sorted")),
)

if __name__ == "__main__":
    result = run(replace(job, output=None))
    for part in result.parts:
        print(f"part {part.index}: {part.records:,} lines")
    ordered = list(result)
    for line in (*ordered[:5], *ordered[-5:]):
        print(line[:100])

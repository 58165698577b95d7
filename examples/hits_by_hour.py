"""How many answers of each status were given in each hour? A key may be a tuple.

python examples/hits_by_hour.py
mapreduce run examples/hits_by_hour.py --source 'logs/access-*.log' --output reports/hits-by-hour
"""

from collections.abc import Iterator

from mapreduce import Context, Job, Records, Sum, params, run
from mapreduce.testing.logs import access_lines


def statuses(line: str, ctx: Context) -> Iterator[tuple[tuple[str, int], int]]:
    """Hour and status of a line; lines that are no requests are counted and left out."""
    head, _, rest = line.partition('"')
    answer = rest.partition('" ')[2].split()
    if len(answer) < 2 or "[" not in head:
        ctx.count("malformed lines")
        return
    hour = head.split("[", 1)[1][12:14]
    yield (hour, int(answer[0])), 1


job = Job(
    name="hits-by-hour",
    source=params.get("SOURCE") or Records(access_lines(20_000, malformed=0.001)),  # lines of a made-up log
    map=statuses,
    reduce=Sum(),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    result = run(job)
    for (hour, status), n in sorted(result):
        print(f"{hour}:00  {status}  {n:7,}")
    print(f"{result.counters.get('malformed lines', 0):,} malformed lines")

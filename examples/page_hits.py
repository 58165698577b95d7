"""How often was each page of a web site asked for?

python examples/page_hits.py
mapreduce run examples/page_hits.py --source 'logs/access-*.log' --output reports/page-hits
"""

from collections.abc import Iterator

from mapreduce import Job, Records, Sum, params, run
from mapreduce.testing.logs import access_lines


def hits(line: str) -> Iterator[tuple[str, int]]:
    """The path that a line of an access log asks for, without its query."""
    yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1


job = Job(
    name="page-hits",
    source=params.get("SOURCE") or Records(access_lines(20_000)),  # without a log: lines of a made-up one
    map=hits,
    reduce=Sum(),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    for path, n in sorted(run(job), key=lambda pair: -pair[1])[:10]:
        print(f"{n:7,}  {path}")

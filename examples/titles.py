"""Hits by the titles of pages: a join of a log with a table, each with a map function of its own.

A table that fits into memory may as well be given as `side`; this one may be as large as the log.

python examples/titles.py
mapreduce run examples/titles.py --set SOURCE='logs/access-*.log' --set TITLES=titles.csv --output titles
"""

from collections.abc import Iterator

from mapreduce import Csv, Input, Job, Records, params, run
from mapreduce.testing.logs import access_lines

TITLES = [
    {"path": "/", "title": "Welcome"},
    {"path": "/cart", "title": "Your cart"},
    {"path": "/docs/", "title": "Documentation"},
    {"path": "/login", "title": "Sign in"},
    {"path": "/search", "title": "Search"},
]


def titles(row: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A path with its title."""
    yield row["path"], row["title"]


def hits(line: str) -> Iterator[tuple[str, int]]:
    """The path that a line of an access log asks for, without its query."""
    yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1


def joined(path: str, values: Iterator[str | int]) -> Iterator[tuple[str, int]]:
    """The title of a path, or else the path, with its hits. Titles come first: theirs is the first input."""
    title, hits = path, 0
    for value in values:
        if isinstance(value, str):
            title = value
        else:
            hits += value
    yield title, hits


table = Csv(params["TITLES"]) if "TITLES" in params else Records(TITLES)
log = params.get("SOURCE") or Records(access_lines(20_000))  # without a log: lines of a made-up one

job = Job(
    name="titles",
    source=[Input(table, titles), Input(log, hits)],
    reduce=joined,
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    for title, n in sorted(run(job), key=lambda pair: -pair[1])[:12]:
        print(f"{n:7,}  {title}")

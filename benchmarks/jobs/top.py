"""Which ten paths were asked for most, of each status? A job counts; counts are ranked where they are read.

python -m benchmarks.jobs.top SOURCE OUTPUT [--workers N]
"""

from collections.abc import Iterator
from itertools import repeat

from benchmarks.jobs.ranking import main
from mapreduce import Job, Sum, blocks


def status_and_path(line: str) -> tuple[str, str] | None:
    try:
        _, request, rest = line.split('"', 2)
        return rest[1:4], request.split(" ", 2)[1].split("?", 1)[0]
    except (ValueError, IndexError):
        return None


@blocks
def hits(lines: list[str]) -> Iterator[tuple[tuple[str, str], int]]:
    return zip(filter(None, map(status_and_path, lines)), repeat(1))


def counts(source: str) -> Job:
    return Job(name="top", source=source, map=hits, reduce=Sum())


if __name__ == "__main__":
    main(counts)

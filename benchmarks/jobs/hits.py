"""How often was each path asked for?

`job` has a block function, which gives keys and one value without a tuple a pair; `record` a generator for
every record, the way that most jobs are written.
"""

from collections.abc import Iterator
from itertools import repeat

from mapreduce import Job, Sum, blocks, params


def path_of(line: str) -> str | None:
    try:
        return line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]
    except IndexError:
        return None


@blocks
def hits(lines: list[str]) -> Iterator[tuple[str, int]]:
    return zip(filter(None, map(path_of, lines)), repeat(1))


def hit(line: str) -> Iterator[tuple[str, int]]:
    if path := path_of(line):
        yield path, 1


job = Job(name="hits", source=params["SOURCE"], map=hits, reduce=Sum(), output=params["OUTPUT"])
record = Job(name="hits", source=params["SOURCE"], map=hit, reduce=Sum(), output=params["OUTPUT"])

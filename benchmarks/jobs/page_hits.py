"""How often was each path asked for? A block function: keys and one value, without a tuple a pair."""

from collections.abc import Iterator
from itertools import repeat

from mapreduce import Job, Sum, blocks, params


def path_of(line: str) -> str:
    return line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]


@blocks
def hits(lines: list[str]) -> Iterator[tuple[str, int]]:
    return zip(map(path_of, lines), repeat(1))


job = Job(name="page-hits", source=params["SOURCE"], map=hits, reduce=Sum(), output=params["OUTPUT"])

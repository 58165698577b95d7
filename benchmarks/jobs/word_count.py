"""How often does each word occur? A block function: some 19 pairs a line, all made in C."""

from collections.abc import Iterator
from itertools import chain, repeat

from mapreduce import Job, Sum, blocks, params


@blocks
def words(lines: list[str]) -> Iterator[tuple[str, int]]:
    return zip(chain.from_iterable(map(str.split, lines)), repeat(1))


job = Job(name="word-count", source=params["SOURCE"], map=words, reduce=Sum(), output=params["OUTPUT"])

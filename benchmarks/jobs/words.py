"""How often does each word occur?

`job` has a block function, whose pairs are all made in C; `record` yields every word, as the textbook has it.
"""

from collections.abc import Iterator
from itertools import chain, repeat

from mapreduce import Job, Sum, blocks, params


@blocks
def words(lines: list[str]) -> Iterator[tuple[str, int]]:
    return zip(chain.from_iterable(map(str.split, lines)), repeat(1))


def words_of(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


job = Job(name="words", source=params["SOURCE"], map=words, reduce=Sum(), output=params["OUTPUT"])
record = Job(name="words", source=params["SOURCE"], map=words_of, reduce=Sum(), output=params["OUTPUT"])

"""Word count as the textbook has it: a record function that yields every word. What does that cost?"""

from collections.abc import Iterator

from mapreduce import Job, Sum, params


def words(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


job = Job(name="word-count", source=params["SOURCE"], map=words, reduce=Sum(), output=params["OUTPUT"])

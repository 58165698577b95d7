"""The same by a record function, a generator: the way that most jobs are written. What does that cost?"""

from collections.abc import Iterator

from mapreduce import Job, Sum, params


def hits(line: str) -> Iterator[tuple[str, int]]:
    yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1


job = Job(name="page-hits", source=params["SOURCE"], map=hits, reduce=Sum(), output=params["OUTPUT"])

"""No record at all: what a run costs before it does anything."""

from collections.abc import Iterator

from mapreduce import Job, Records, Sum, params


def nothing(record: object) -> Iterator[tuple[str, int]]:
    yield str(record), 1


job = Job(name="empty", source=Records([]), map=nothing, reduce=Sum(), output=params["OUTPUT"])

"""How many requests of each status in each hour of the day? Few groups, and a tuple as key."""

from collections.abc import Iterator
from itertools import repeat

from mapreduce import Job, Sum, blocks, params


def hour_and_status(line: str) -> tuple[str, str] | None:
    try:
        head, request, rest = line.split('"', 2)
    except ValueError:
        return None
    return (head[-16:-14], rest[1:4]) if " " in request else None


@blocks
def answers(lines: list[str]) -> Iterator[tuple[tuple[str, str], int]]:
    return zip(filter(None, map(hour_and_status, lines)), repeat(1))


def answer(line: str) -> Iterator[tuple[tuple[str, str], int]]:
    if key := hour_and_status(line):
        yield key, 1


job = Job(
    name="status",
    source=params["SOURCE"],
    map=answers,
    reduce=Sum(),
    key_names=("hour", "status"),
    output=params["OUTPUT"],
)

record = Job(
    name="status",
    source=params["SOURCE"],
    map=answer,
    reduce=Sum(),
    key_names=("hour", "status"),
    output=params["OUTPUT"],
)

"""How many sessions did each address have, and how many requests? 30 minutes of silence end a session.

Nothing can be combined before all times of an address are there.
"""

from calendar import timegm
from collections.abc import Iterator
from itertools import pairwise
from time import strptime
from typing import Any

from mapreduce import Job, blocks, params

SILENCE = 1800


class Minutes(dict[str, int]):
    """Seconds since 1970 of a text such as 07/Oct/2024:13:55, remembered: there are 1,440 a day."""

    def __missing__(self, text: str) -> int:
        return self.setdefault(text, timegm(strptime(text, "%d/%b/%Y:%H:%M")))


minutes = Minutes()


def visit(line: str) -> tuple[str, int] | None:
    address, _, rest = line.partition(" ")
    time, whole, _ = rest.partition("] ")
    if not whole:
        return None
    time = time[-26:]
    return address, minutes[time[:17]] + int(time[18:20])


@blocks
def visits(lines: list[str]) -> Iterator[tuple[str, int]]:
    return filter(None, map(visit, lines))


def sessions(address: str, times: Iterator[int]) -> Iterator[dict[str, Any]]:
    found = sorted(times)
    number = 1 + sum(after - before > SILENCE for before, after in pairwise(found))
    yield {"address": address, "sessions": number, "hits": len(found)}


job = Job(name="sessions", source=params["SOURCE"], map=visits, reduce=sessions, output=params["OUTPUT"])

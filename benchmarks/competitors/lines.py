"""What Python's competitors do with a line: the functions of the jobs, and none of the engine's code."""

from calendar import timegm
from collections.abc import Iterable
from heapq import nsmallest
from itertools import pairwise
from time import strptime

SILENCE = 1800
TOP = 10


class Minutes(dict[str, int]):
    """Seconds since 1970 of a text such as 07/Oct/2024:13:55, remembered: there are 1,440 a day."""

    def __missing__(self, text: str) -> int:
        return self.setdefault(text, timegm(strptime(text, "%d/%b/%Y:%H:%M")))


minutes = Minutes()


def path_of(line: str) -> str | None:
    try:
        return line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]
    except IndexError:
        return None


def hour_and_status(line: str) -> tuple[str, str] | None:
    try:
        head, request, rest = line.split('"', 2)
    except ValueError:
        return None
    return (head[-16:-14], rest[1:4]) if " " in request else None


def status_and_path(line: str) -> tuple[str, str] | None:
    try:
        _, request, rest = line.split('"', 2)
        return rest[1:4], request.split(" ", 2)[1].split("?", 1)[0]
    except (ValueError, IndexError):
        return None


def section_and_address(line: str) -> tuple[str, str] | None:
    try:
        head, request, _ = line.split('"', 2)
        path = request.split(" ", 2)[1].split("?", 1)[0]
    except (ValueError, IndexError):
        return None
    return path.split("/", 2)[1], head.split(" ", 1)[0]


def visit(line: str) -> tuple[str, int] | None:
    """Address, and seconds since 1970."""
    address, _, rest = line.partition(" ")
    time, whole, _ = rest.partition("] ")
    if not whole:
        return None
    time = time[-26:]
    return address, minutes[time[:17]] + int(time[18:20])


def document_and_words(line: str) -> tuple[int, set[str]]:
    number, _, text = line.partition("\t")
    return int(number), set(text.split())


def sessions(times: Iterable[int]) -> int:
    return 1 + sum(after - before > SILENCE for before, after in pairwise(sorted(times)))


def best(counts: Iterable[tuple[int, str]]) -> list[tuple[str, int]]:
    """Of negative numbers of hits, and paths: the pages with the most hits, ties by path."""
    return [(path, -number) for number, path in nsmallest(TOP, counts)]

"""Access logs that look real and are the same everywhere: input for tests, examples and benchmarks.

    write_access_log("logs/access.log", 200_000_000)      # bytes
    for line in access_lines(1_000): ...

A log is a function of its arguments alone: the same arguments give the same bytes on every machine and
every Python from 3.11 on. All randomness comes from `random.Random(seed)` through `choices` without weights
and `random`, the methods whose sequence Python keeps; shapes such as Zipf's are tables in which an item
stands as often as it is likely, which also is the fastest way to draw. A pinned digest in
`tests/unit/test_logs.py` guards this.

Every line is ASCII, in Apache's *combined* format:

    1.2.3.4 - - [07/Oct/2024:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 5123 "https://referrer/" "agent"
"""

import os
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate, chain, count, islice, repeat
from pathlib import Path
from random import Random
from typing import overload

__all__ = ["access_lines", "write_access_log"]

DAYS = 4  # that a whole log covers
MEAN_LINE = 233  # bytes a line, roughly: how a size becomes a number of lines, for the pace of the clock
MANY = 1_000_000  # clients; more of them are not held in memory
PLACES = 1 << 40  # in each octave of ranks, where there are many clients
BLOCK = 2048  # lines drawn at once: part of what determines the bytes

FIRST_DAY = date(2024, 10, 7)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TRAFFIC_BY_HOUR = (3, 2, 2, 1, 1, 2, 3, 5, 7, 8, 9, 9, 8, 8, 9, 9, 8, 8, 8, 9, 9, 8, 6, 4)
SECOND_IN_MINUTE = tuple(f":{second:02d} +0000] " for second in range(60))
SECONDS_BEFORE_HOUR = tuple(accumulate((3600 * weight for weight in TRAFFIC_BY_HOUR), initial=0))

SITE = "https://www.example.com"
FAMOUS = (
    "/",
    "/static/app.js",
    "/static/style.css",
    "/static/logo.svg",
    "/search",
    "/login",
    "/docs/",
    "/cart",
)
WORDS = tuple(
    word
    for row in (
        "apple autumn basket blue bridge candle cedar copper cotton daily desk ember field forest garden",
        "glass harbor home honey island kitchen lamp linen maple market meadow morning north oak ocean olive",
        "paper pearl pine quiet rain river salt silver simple spring stone summer table violet water willow",
    )
    for word in row.split()
)
STATUSES = ("200",) * 176 + ("304",) * 12 + ("404",) * 6 + ("301",) * 4 + ("500",) * 2
SIZES = [2**power for power in range(7, 18) for _ in range(9 - abs(power - 11))]
ELSEWHERE = ("https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/")

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_DESKTOPS = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
_CHROME = [
    f"Mozilla/5.0 ({system}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36"
    for system in (*_DESKTOPS, "Windows NT 10.0; WOW64")
    for version in (129, 128, 127, 109)
]
_EDGE = [f"{chrome} Edg/{version}.0.0.0" for chrome, version in zip(_CHROME[:2], (129, 128), strict=True)]
_FIREFOX = [
    f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
    for system in _DESKTOPS
    for version in (131, 130, 115)
]
_IPHONE = [
    f"Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    f"Version/{version} Mobile/15E148 Safari/604.1"
    for system, version in (("18_0", "18.0"), ("17_6_1", "17.6"), ("16_7", "16.6"))
]
_ANDROID = [
    f"Mozilla/5.0 (Linux; Android {version}; {device}) {_WEBKIT} Chrome/128.0.0.0 Mobile Safari/537.36"
    for version, device in ((14, "Pixel 8"), (14, "SM-S918B"), (13, "SM-A536B"), (10, "K"))
]
_PROGRAMS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
    "-",
]
AGENTS = [*(_CHROME * 3), *_EDGE, *_FIREFOX, *(_IPHONE * 5), *(_ANDROID * 3), *_PROGRAMS]


def write_access_log(
    path: str | os.PathLike[str],
    size: int,
    *,
    seed: int = 1,
    addresses: int = 20_000,
    paths: int = 20_000,
    malformed: float = 0.0,
) -> int:
    """Write a log of `size` bytes to `path` and return its number of lines.

    The file ends with the first line that reaches `size` (so it may be one line longer; a size of 0 gives an
    empty file). It is written under a hidden temporary name in the same directory and renamed, replacing a
    file of that name: a log that can be seen is complete. It is not synced to the disk.

    Lines are those of `access_lines`, which explains the other arguments; times ascend over about four days.
    Not the same lines for another size: the clock's pace depends on it.

    Raises ValueError for an argument out of range, before anything is written, and OSError from the disk; a
    failed write leaves nothing behind.
    """
    if size < 0:
        raise ValueError(f"size is {size}, but must be a number of bytes, 0 or more")
    blocks = _blocks(max(1, size // MEAN_LINE), seed, addresses, paths, malformed)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        lines = _write(temporary, size, blocks)
        temporary.replace(target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return lines


def access_lines(
    count: int,
    *,
    seed: int = 1,
    addresses: int = 20_000,
    paths: int = 20_000,
    malformed: float = 0.0,
) -> Iterator[str]:
    """`count` lines, without line ends; their times ascend (with repetitions) over about four days.

    `addresses`: how many clients there are, each with one agent; a few are far more active than others.
    `paths`: how many different paths there are, query strings not counted; the one of rank r is asked for
    about 1/r times as often as the first. `malformed`: the share of lines, from 0 to 1, that are broken in
    ways that servers know (cut off, `"-"`, a TLS greeting): `line.split('"', 2)[1].split(" ", 2)[1]` raises
    IndexError on each of them. The other lines are the same as without.

    Takes memory and time in proportion to `paths` and, up to a million, to `addresses` at the first line,
    0.1 to 0.3 s for the defaults. With more addresses than that, half of the lines come from all of them
    alike. Raises ValueError at once for an argument out of range.
    """
    if count < 0:
        raise ValueError(f"count is {count}, but must be a number of lines, 0 or more")
    blocks = _blocks(max(1, count), seed, addresses, paths, malformed)
    return islice(chain.from_iterable(blocks), count)


def _write(path: Path, size: int, blocks: Iterator[list[str]]) -> int:
    """Write blocks until `size` bytes are reached, cut after the line that reaches it. Returns the lines."""
    lines = 0
    missing = size
    with path.open("xb") as file:
        while missing > 0:
            block = next(blocks)
            data = "\n".join([*block, ""]).encode("ascii")
            if len(data) > missing:
                data = data[: data.index(b"\n", missing - 1) + 1]
                block = block[: data.count(b"\n")]
            file.write(data)
            lines += len(block)
            missing -= len(data)
    return lines


def _blocks(lines: int, seed: int, addresses: int, paths: int, malformed: float) -> Iterator[list[str]]:
    """Lists of BLOCK lines without end, at the pace at which `lines` of them cover DAYS."""
    if addresses < 1 or paths < 1:
        raise ValueError(f"addresses is {addresses} and paths is {paths}, but both must be 1 or more")
    if not 0 <= malformed <= 1:
        raise ValueError(f"malformed is {malformed}, but must be a share of the lines, from 0 to 1")
    good = _good_blocks(Random(seed), lines, addresses, paths)
    return _break_some(Random(~seed), good, malformed) if malformed else good


def _good_blocks(random: Random, lines: int, addresses: int, paths: int) -> Iterator[list[str]]:
    pools = _Pools.draw(random, addresses, paths)
    for first in count(0, BLOCK):
        start, end = (_second(line * DAYS, lines) for line in (first, first + BLOCK))
        yield [
            f"{client}{time}{request}{answer}{agent}"
            for (client, agent), time, request, answer in zip(
                random.choices(pools.clients, k=BLOCK),
                _times(random.choices(pools.instants)[0], start, end),
                random.choices(pools.requests, k=BLOCK),
                random.choices(pools.answers, k=BLOCK),
                strict=True,
            )
        ]


def _break_some(random: Random, blocks: Iterator[list[str]], share: float) -> Iterator[list[str]]:
    """Replace `share` of the lines by broken ones. Draws of its own: the other lines stay as they are."""
    for block in blocks:
        for index in range(len(block)):
            if random.random() < share:
                block[index] = _broken(block[index], int(random.random() * 3))
        yield block


def _broken(line: str, kind: int) -> str:
    """The line, cut off in its time; of a connection without a request; or with a TLS greeting as one."""
    head, _, rest = line.partition("] ")
    if kind == 0:
        return head[:-9]
    request = "-" if kind == 1 else r"\x16\x03\x01\x02"
    return f'{head}] "{request}" {"408" if kind == 1 else "400"} {len(rest)} "-" "-"'


# The clock


def _second(numerator: int, denominator: int) -> int:
    """Seconds since the first day's midnight after numerator/denominator days' traffic: nights are quiet."""
    day, rest = divmod(numerator * SECONDS_BEFORE_HOUR[-1] // denominator, SECONDS_BEFORE_HOUR[-1])
    hour = bisect_right(SECONDS_BEFORE_HOUR, rest) - 1
    return day * 86_400 + hour * 3600 + (rest - SECONDS_BEFORE_HOUR[hour]) // TRAFFIC_BY_HOUR[hour]


def _times(instants: Sequence[int], start: int, end: int) -> list[str]:
    """A block's ascending times in [start, end), by ascending instants in units of 2**-20 of it."""
    seconds = [start + ((end - start) * instant >> 20) for instant in instants]
    return [_minute(second // 60) + SECOND_IN_MINUTE[second % 60] for second in seconds]


@lru_cache(maxsize=16)  # times ascend, so only the last ones come again
def _minute(number: int) -> str:
    hour, minute = divmod(number, 60)
    day = FIRST_DAY + timedelta(days=hour // 24)
    return f"{day.day:02d}/{MONTHS[day.month - 1]}/{day.year}:{hour % 24:02d}:{minute:02d}"


# What is drawn from


@dataclass(frozen=True)
class _Pools:
    """Pieces of lines, each as often in its list as it is likely."""

    clients: Sequence[tuple[str, str]]  # the line's first piece and its last
    instants: Sequence[Sequence[int]]  # when a block's lines come, ascending, in units of 2**-20 of its time
    requests: Sequence[str]
    answers: Sequence[str]  # status, bytes and referrer

    @classmethod
    def draw(cls, random: Random, addresses: int, paths: int) -> "_Pools":
        names = [_path(rank, words) for rank, words in enumerate(_couples(random, paths))]
        return cls(
            clients=_clients(random, addresses),
            instants=[sorted(random.choices(range(2**20), k=BLOCK)) for _ in range(16)],
            requests=[text for rank, path in enumerate(names, 1) for text in _requests(path, paths // rank)],
            answers=_answers(random, names),
        )


def _couples(random: Random, number: int) -> Iterator[tuple[str, str]]:
    return zip(random.choices(WORDS, k=number), random.choices(WORDS, k=number), strict=True)


def _clients(random: Random, number: int) -> Sequence[tuple[str, str]]:
    offset = int(random.random() * 100 * 2**24)
    if number > MANY:
        return _ManyClients(number, offset)
    agents = random.choices(AGENTS, k=number)
    users = random.choices(("-",) * 49 + ("alice", "bob", "carol"), k=number)
    clients: list[tuple[str, str]] = []
    for rank, (agent, user) in enumerate(zip(agents, users, strict=True)):
        client = (f"{_address(offset + rank)} - {user} [", f'" "{agent}"')
        clients.extend(repeat(client, 1 + number // (rank + 20)))
    return clients


class _ManyClients(Sequence[tuple[str, str]]):
    """More clients than should be held in memory: each is made when it is drawn.

    Half of the places are all clients' alike; in the other half each octave of ranks has as many places as
    every other, so that a client's share goes about as one over its rank.
    """

    def __init__(self, number: int, offset: int) -> None:
        self._number = number
        self._offset = offset
        self._octaves = number.bit_length()

    def __len__(self) -> int:
        return 2 * self._octaves * PLACES

    @overload
    def __getitem__(self, place: int) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[tuple[str, str]]: ...
    def __getitem__(self, place: int | slice) -> tuple[str, str] | Sequence[tuple[str, str]]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        octave, rest = divmod(place, PLACES)
        if octave < self._octaves:
            rank = ((1 << octave) - 1 + (rest << octave) // PLACES) % self._number
        else:
            rank = rest * self._number // PLACES
        mixed = rank * 2_654_435_761 >> 8
        user = ("alice", "bob", "carol")[mixed % 3] if mixed % 16 == 0 else "-"
        return f"{_address(self._offset + rank)} - {user} [", f'" "{AGENTS[mixed % len(AGENTS)]}"'


def _address(number: int) -> str:
    """An IPv4 address, a different one for each of 100 · 2**24 successive numbers."""
    mixed = number * 2_654_435_761 % (100 * 2**24)
    return f"{23 + (mixed >> 24)}.{mixed >> 16 & 255}.{mixed >> 8 & 255}.{mixed & 255}"


def _path(rank: int, words: tuple[str, str]) -> str:
    """The path of a rank, a different one for each; the words are for its looks."""
    if rank < len(FAMOUS):
        return FAMOUS[rank]
    one, two = words
    kinds = (
        f"/blog/2024/{1 + rank % 9:02d}/{one}-{two}-{rank}",
        f"/products/{one}-{rank}",
        f"/images/{one}/{two}-{rank}.jpg",
        f"/static/{one}.{rank:06x}.{'js' if rank % 2 else 'css'}",
        f"/api/v1/{one}/{rank}",
        f"/category/{one}/{two}/{rank}/",
        f"/docs/{one}-{two}-{rank}.html",
    )
    return kinds[rank * 5 % 7]


def _requests(path: str, times: int) -> Iterator[str]:
    """`times` requests for one path, some with another method or with a query string."""
    plain = f'"GET {path} HTTP/1.1" '
    if path.startswith(("/images/", "/static/")):
        return repeat(plain, times)
    return (_request(path, turn) if turn % 4 == 1 else plain for turn in range(times))


def _request(path: str, turn: int) -> str:
    word = WORDS[turn % len(WORDS)]
    if path.startswith(("/api/", "/login", "/cart")):
        method = ("POST", "GET", "PUT", "POST", "DELETE")[turn // 4 % 5]
        return f'"{method} {path} HTTP/1.1" '
    if path.startswith(("/search", "/category/", "/products/")):
        return f'"GET {path}?q={word}&page={1 + turn // 4 % 20} HTTP/1.1" '
    if turn % 40 == 5:
        return f'"HEAD {path} HTTP/1.1" '
    return f'"GET {path}?utm_source={word}&utm_medium=email HTTP/2.0" '


def _answers(random: Random, paths: Sequence[str], number: int = 8192) -> list[str]:
    pages = [path for path in paths if not path.startswith(("/api/", "/images/", "/static/"))]
    own = [SITE + path for path in random.choices(pages, k=1000)]
    referrers = random.choices([*own, *repeat("-", 800), *(ELSEWHERE * 60)], k=number)
    statuses = random.choices(STATUSES, k=number)
    return [f'{_result(random, status)} "{url}' for status, url in zip(statuses, referrers, strict=True)]


def _result(random: Random, status: str) -> str:
    """Status and bytes: of a page (at least a power of two, less than twice as many), or of a message."""
    if status == "304":
        return "304 -"
    least = random.choices(SIZES)[0] if status == "200" else 256
    return f"{status} {int((1 + random.random()) * least)}"

"""What many hosts would ask of a store, cost, and load their coordinator with, computed from a few.

    python -m benchmarks.scale [hosts.json] [--slots 8] [--seconds 60] [--hosts 10,1000,10000]

Reads what `python -m benchmarks.hosts` has written: requests of an idle host a second (`idle`), and what a
message costs the coordinator (`messages`). For N hosts of S slots whose attempts take T seconds, E = N·S/T
attempts end in a second, and

    reports      N·r + E         r: reports a second of a host whose attempts run on; each is written by
                                 the host and read by the coordinator
    looks        l, or fewer     l: looks of the coordinator a second; each lists N·KEPT/2 names, a thousand
                                 a request
    orders       E + reports/KEPT, each written by the coordinator
    log entries  the smaller of E and l
    other        N·(gets and lists of an idle host)

and one object of data is put for each map, and read by reduces, which is not counted here. The coordinator
asks for one thing after the other, so the sum of the times of its calls in a second is its load: above 1 it
looks more seldom. A list of a folder is taken to grow with its names; of a bucket a page is taken to cost
what one of 50 names does, which is too little. CPU is the coordinator's process's alone.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.data import default_folder
from mapreduce.hosts.desk import KEPT_REPORTS

PUT, GET = 5e-6, 4e-7
"""Dollars of a request to S3 (a list costs what a put does; a delete nothing): list prices, November 2026."""
PAGE = 1_000
"""Names in one answer of a bucket to a list."""
LISTED = 50
"""Names in the list that was measured."""


@dataclass(frozen=True)
class Measured:
    """One place: requests a second, and seconds of the coordinator's calls."""

    reports: float
    """Of an idle host, a second."""
    gets: float
    lists: float
    looks: float
    """Of the coordinator, a second."""
    wall: Mapping[str, float]
    cpu: Mapping[str, float]
    """Seconds of each kind of call."""

    @classmethod
    def of(cls, results: Mapping[str, Any], place: str) -> "Measured":
        idle = results["idle"][place][0]
        host = idle["three hosts"]["each host"]
        costs = results["messages"][place]
        seconds = [
            {name: median(each[name][figure] for each in costs) / 1000 for name in costs[0] if name != "load"}
            for figure in ("ms", "cpu ms")
        ]
        looks = idle["one host"]["coordinator"]["list"]
        return cls(host["create"], host.get("read", 0.0), host.get("list", 0.0), looks, *seconds)


@dataclass(frozen=True)
class Scaled:
    """What so many hosts come to, a second."""

    requests: float
    dollars: float
    """An hour, if they were S3's."""
    load: float
    cpu: float


def scaled(found: Measured, hosts: int, slots: int, seconds: float, *, is_bucket: bool) -> Scaled:
    """By the formulas above."""
    ended = hosts * slots / seconds
    reports = hosts * found.reports + ended
    orders = ended + reports / KEPT_REPORTS
    entries = min(ended, found.looks)
    names = hosts * KEPT_REPORTS / 2
    pages = ceil(names / PAGE) if is_bucket else 1
    lists = pages if is_bucket else max(1.0, names / LISTED)
    puts = reports + orders + entries + hosts * found.lists + found.looks * pages
    gets = reports + hosts * found.gets

    def time_of(cost: Mapping[str, float]) -> float:
        return (
            reports * cost["read a report"]
            + orders * cost["write orders"]
            + entries * cost["write a log entry"]
            + found.looks * lists * cost["list 50 reports"]
        )

    dollars = 3600 * (puts * PUT + gets * GET)
    return Scaled(puts + gets, dollars, time_of(found.wall), time_of(found.cpu))


def most_hosts(found: Measured, slots: int, seconds: float, *, is_bucket: bool) -> int:
    """The largest number of hosts with which the coordinator's load is at most 1."""
    low, high = 0, 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        fits = scaled(found, middle, slots, seconds, is_bucket=is_bucket).load <= 1
        low, high = (middle, high) if fits else (low, middle)
    return low


def table(results: Mapping[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """Markdown, a row for each place and number of hosts."""
    yield "| place | hosts | requests/s | $ an hour | coordinator's load | its CPU s a second |"
    yield "|---|---|---|---|---|---|"
    for place in (place for place in ("folder", "seaweedfs") if place in results.get("idle", {})):
        found, is_bucket = Measured.of(results, place), place == "seaweedfs"
        for hosts in options.hosts:
            row = scaled(found, hosts, options.slots, options.seconds, is_bucket=is_bucket)
            money = f"{row.dollars:,.2f}" if is_bucket else ""
            yield f"| {place} | {hosts:,} | {row.requests:,.0f} | {money} | {row.load:.2f} | {row.cpu:.2f} |"
        most = most_hosts(found, options.slots, options.seconds, is_bucket=is_bucket)
        yield f"| {place} | {most:,}: the most with a load of 1 | | | | |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path, nargs="?", default=default_folder() / "hosts.json")
    parser.add_argument("--slots", type=int, default=8, help="attempts at once on each host (8)")
    parser.add_argument("--seconds", type=float, default=60.0, help="that an attempt takes (60)")
    parser.add_argument(
        "--hosts",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[10, 1_000, 10_000],
        help="numbers of hosts (10,1000,10000)",
    )
    options = parser.parse_args(arguments)
    document = json.loads(options.results.read_text())
    print(f"{options.slots} slots a host, attempts of {options.seconds:g} s; measured {document['date']}\n")
    print("\n".join(table(document["results"], options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

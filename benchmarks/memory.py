"""What runs hold in memory, under a hard limit of all processes together: workers × budget + 150 MB.

    python -m benchmarks.memory [--memory 256MB] [--workers 2] [--rows sessions,…] [--scale 1]

Each row is run twice, without a limit and within it, and must give the same bytes; the row that can't fit
must say so. Needs root and the kernel's memory control groups. Inputs are a few numbers, which a `@frames`
map makes into pairs, so that what is measured is the shuffle. Results lie in a temporary folder, some GB.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.limited import Limited, run_limited, why_not
from mapreduce import Collect, Count, CountDistinct, Job, JsonLines, Parquet, Text, frames, run
from mapreduce.errors import MemoryExceeded
from mapreduce.units import parse_size, show_size

COORDINATION = 150 * 2**20
"""Bytes that coordinator and forkserver may hold together, whatever the data."""
EACH = 1_000
"""Pairs that a line of the input is made into."""
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    """A job over so many pairs in so many shards, and why it is here."""

    pairs: int
    shards: int
    map: Callable[..., Any]
    reduce: Any
    why: str
    fails: bool = False
    parquet: bool = False
    split_size: int = 5_600
    """Bytes of the input, seven a line, for each map."""


def numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """The numbers that the lines of a block stand for."""
    first = pl.col("line").cast(pl.Int64) * EACH
    return frame.select(n=pl.int_ranges(first, first + EACH).explode())


def address(number: pl.Expr) -> pl.Expr:
    """One of 2**32, scattered."""
    mixed = number * 2_654_435_761 % 2**32
    return pl.format("{}.{}.{}.{}", mixed // 2**24, mixed // 2**16 % 256, mixed // 256 % 256, mixed % 256)


@frames
def visits(frame: pl.DataFrame) -> pl.DataFrame:
    """Two of each address, a while apart."""
    visit = pl.struct(time=pl.col("n") * 7 % 86_400, size=pl.col("n") % 5_000)
    return numbers(frame).select(key=address(pl.col("n") // 2), value=visit)


@frames
def of_one_section(frame: pl.DataFrame) -> pl.DataFrame:
    return numbers(frame).select(key=pl.lit("all"), value=address(pl.col("n") // 2))


@frames
def skewed(frame: pl.DataFrame) -> pl.DataFrame:
    """Nine of ten have one key."""
    n = pl.col("n")
    key = pl.when(n % 10 == 0).then(pl.format("/page/{}", n % 100_003)).otherwise(pl.lit("/"))
    return numbers(frame).select(key=key, value=n)


@frames
def wide(frame: pl.DataFrame) -> pl.DataFrame:
    """About 100 bytes a pair."""
    n = pl.col("n")
    return numbers(frame).select(key=n * 7_919 % 9_999_991, value=pl.format("{}{}", pl.lit("x" * 70), n))


def sessions(key: str, values: Iterator[tuple[int, int]]) -> Iterator[Any]:
    """How many, and their bytes: a new one begins after half an hour."""
    found, size, last = 0, 0, -(10**9)
    for time, number in sorted(values):
        found += time - last > 1_800
        size, last = size + number, time
    yield key, (found, size)


def totals(key: str, values: Iterator[int]) -> Iterator[Any]:
    count = total = 0
    for value in values:
        count += 1
        total += value
    yield key, (count, total)


def lengths(key: int, values: Iterator[str]) -> Iterator[Any]:
    yield key, sum(map(len, values))


ROWS = {
    "sessions": Row(20_000_000, 4, visits, sessions, "10 million distinct addresses, a record function"),
    "hits": Row(20_000_000, 4, visits, Count(), "states of 10 million distinct addresses"),
    "distinct": Row(20_000_000, 1, of_one_section, CountDistinct(), "10 million distinct values of one key"),
    "one key": Row(20_000_000, 4, skewed, totals, "one key holds 90 % of all pairs"),
    "list": Row(20_000_000, 4, skewed, Collect(), "a list of 18 million values can't fit", fails=True),
    "table": Row(10_000_000, 1, visits, Count(), "a part of 5 million rows, as Parquet", parquet=True),
    "ten times": Row(70_000_000, 2, wide, lengths, "ten times more data than all processes may hold"),
    "indexes": Row(
        2_000_000, 64, visits, Count(), "2,000 maps × 64 shards: what the coordinator holds", split_size=7
    ),
}


def main() -> int:
    """0; 1 if an answer is wrong or a limit was passed."""
    options = _options()
    if options.job:
        return _run(options)
    if reason := why_not():
        print(f"Nothing can be measured: {reason}.")
        return 1
    limit = options.workers * parse_size("--memory", options.memory) + COORDINATION
    print(
        f"{options.workers} workers with {options.memory} each, all together {show_size(limit)}", flush=True
    )
    print("| row | shuffled | s, without | one worker MB | workers MB | others MB | same bytes |")
    print("|---|---|---|---|---|---|---|")
    return max(_row(name, options, limit) for name in options.rows.split(",")) if options.rows else 1


def _row(name: str, options: argparse.Namespace, limit: int) -> int:
    row = ROWS[name]
    with tempfile.TemporaryDirectory(prefix="mapreduce-memory-", dir=options.folder) as folder:
        lines = int(row.pairs * options.scale) // EACH
        (Path(folder) / "numbers").write_text("".join(f"{number:06d}\n" for number in range(lines)))
        command = [sys.executable, "-m", "benchmarks.memory", "--job", name, "--folder", folder]
        command += ["--workers", str(options.workers)]
        free = run_limited(command, 2**44) if not row.fails else None
        limited = run_limited([*command, "--memory", options.memory], limit)
    told = _told(limited)
    same = "error" in told if row.fails else free is not None and _told(free)["digests"] == told["digests"]
    over = (
        limited.killed or limited.peaks.workers > limit - COORDINATION or limited.peaks.others > COORDINATION
    )
    seconds = f"{limited.seconds:.0f}, {free.seconds:.0f}" if free else f"{limited.seconds:.0f}"
    peaks = limited.peaks
    cells = [
        f"{name}: {row.why}",
        show_size(told.get("shuffled", 0)),
        seconds,
        f"{peaks.worker >> 20}",
        f"{peaks.workers >> 20}",
        f"{peaks.others >> 20}",
        told.get("error", "yes" if same else "NO"),
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    return int(over or not same)


def _told(found: Limited) -> Any:
    """What the job printed in the end. Raises RuntimeError with its output if it broke."""
    try:
        return json.loads(found.output.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"exit code {found.code}: {found.output}") from None


def _run(options: argparse.Namespace) -> int:
    """Run one job, and print what it came to."""
    row = ROWS[options.job]
    os.chdir(options.folder)
    source = Text("numbers", split_size=row.split_size, block_size=700)
    output = (Parquet if row.parquet else JsonLines)(f"out-{options.memory or 'free'}")
    job = Job("memory", source, row.map, row.reduce, output, shards=row.shards, memory=options.memory or None)
    try:
        result = run(job, workers=options.workers)
    except MemoryExceeded as error:
        print(json.dumps({"error": str(error.message)}))
        return 1
    found = result.manifest
    print(
        json.dumps(
            {"shuffled": found.totals.bytes_shuffled, "digests": [part.digest for part in result.parts]}
        )
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--memory", help="budget of a worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of pairs")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--job", help="run this one alone; used by the script itself")
    options = parser.parse_args()
    if not options.job:
        options.memory = options.memory or "256MB"
    return options


if __name__ == "__main__":
    sys.exit(main())

"""Tell many stories: python -m simulation [--seeds 10000] [--first 0] [--hours 1] [--processes 2].

Prints how often each fault, deed, message and transition was seen, none of which may be missing, and seeds an
hour. A seed that fails is printed with what was wrong; `--first SEED --seeds 1` replays it.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count

from .story import FAULTS, NEMESES, Story

BLOCK = 20
ENOUGH = 2_000
"""Seeds from which on everything must have been seen."""
EXPECTED = [
    *(f"fault {fault}" for fault in FAULTS),
    *(f"deed {deed}" for deed in NEMESES),
    *(f"wrote {kind}" for kind in ("coord", "in", "out", "log", "stage", "data", "result")),
    *(f"call {call}" for call in ("create", "new file", "read", "list", "delete")),
    *("map done", "reduce done", "attempt crashed", "attempt raised", "actor killed"),
    *(f"attempt failed by {error}" for error in ("SegmentError", "StorageError")),
    *(f"actor ended by {error}" for error in ("Superseded", "StorageError", "Interrupted")),
    "host left: its coordinator has ended",
    "host left: it has ended",
    "host left: this host leaves",
    "host left: it gets no work",
    "attempt failed by a full disk",
    "sink told",
]


def tell_all(seeds: range) -> tuple[Counter[str], list[str]]:
    """What was seen in the stories of some seeds, and what was wrong in some."""
    seen: Counter[str] = Counter()
    wrong = []
    for seed in seeds:
        story = Story(seed)
        try:
            story.tell()
        except Exception:  # noqa: BLE001 - whatever it is, it is told with its seed
            wrong.append(f"seed {seed}: {story.setting}\n{traceback.format_exc()}")
        seen += story.world.counts
    return seen, wrong


def blocks(first: int, seeds: int | None) -> Iterator[range]:
    """Ranges of seeds, without an end if their number is not said."""
    for start in count(first, BLOCK):
        if seeds is not None and start >= first + seeds:
            return
        yield range(start, start + BLOCK if seeds is None else min(start + BLOCK, first + seeds))


def main() -> int:
    """0: all is well; 1: a promise was broken, or something was never seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--wrong", type=int, default=1, help="this many seeds that fail end it")
    options = parser.parse_args()
    if options.seeds is None and options.hours is None:
        options.seeds = 10_000
    begin = time.monotonic()
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    told = 0
    with ProcessPoolExecutor(options.processes) as pool:
        left = blocks(options.first, options.seeds)
        running: dict[Future[tuple[Counter[str], list[str]]], int] = {}
        while len(wrong) < options.wrong:
            is_late = options.hours and time.monotonic() - begin > 3600 * options.hours
            while not is_late and len(running) < 2 * options.processes and (block := next(left, None)):
                running[pool.submit(tell_all, block)] = len(block)
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                told += running.pop(future)
                more, failed = future.result()
                seen += more
                wrong += failed
        for future in running:
            future.cancel()
    seconds = time.monotonic() - begin
    for what in sorted(seen.keys() | set(EXPECTED)):
        print(f"{seen[what]:>12,}  {what}")
    print(f"{told:,} seeds from {options.first} in {seconds:.0f} s, {told / seconds * 3600:,.0f} an hour")
    for text in wrong:
        print(text)
    missing = [what for what in EXPECTED if not seen[what]] if told >= ENOUGH else []
    if missing:
        print(f"never seen: {', '.join(missing)}")
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())

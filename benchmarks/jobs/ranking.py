"""The second half of `top`: the ten largest counts of each status, from a job's result."""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from heapq import nsmallest
from pathlib import Path

from mapreduce import Job, run

TOP = 10


def main(counts: Callable[[str], Job]) -> None:
    """Run the job that counts, rank its result, and write a line for each status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    pages: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (status, path), number in run(counts(options.source), workers=options.workers):
        pages[status].append((-number, path))
    lines = (
        json.dumps({"status": status, "pages": [(path, -number) for number, path in nsmallest(TOP, found)]})
        for status, found in pages.items()
    )
    options.output.write_text("\n".join([*lines, ""]), encoding="utf-8")

"""A plain loop that reads, decodes, calls the function of a job for every line, and sums: the least that
`jobs/hits.py:record` can cost.

    python -m benchmarks.competitors.loop SOURCE OUTPUT

It has no handicap either: blocks that stay in the processor's cache, decoded and split at once.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.competitors.handwritten import key_lines, read
from benchmarks.competitors.lines import path_of


def hit(line: str) -> Iterator[tuple[str, int]]:
    if path := path_of(line):
        yield path, 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for lines in read((options.source, 0, os.path.getsize(options.source))):
        for line in lines:
            for path, number in hit(line):
                counts[path] += number
    with options.output.open("w", encoding="ascii") as file:
        file.writelines(key_lines(counts))


if __name__ == "__main__":
    main()

"""The same answers from a plain loop in one process: what the work costs when nobody takes care of speed.

python -m benchmarks.plain {page_hits,word_count} SOURCE OUTPUT
"""

import json
import sys
from collections import Counter


def page_hits(source: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    with open(source, encoding="utf-8") as file:
        for line in file:
            counts[line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]] += 1
    return counts


def word_count(source: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    with open(source, encoding="utf-8") as file:
        for line in file:
            for word in line.split():
                counts[word] += 1
    return counts


JOBS = {"page_hits": page_hits, "word_count": word_count}


def main(job: str, source: str, output: str) -> None:
    counts = JOBS[job](source)
    with open(output, "w", encoding="utf-8") as file:
        for key, value in sorted(counts.items()):
            file.write(json.dumps({"key": key, "value": value}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

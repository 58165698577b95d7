"""The same answers from a pool written by hand: what a good programmer gets without an engine.

    python -m benchmarks.handwritten {page_hits,word_count} SOURCE OUTPUT [--workers N] [--chunk BYTES]

No handicap; every choice here was the fastest of those measured (CPU seconds for 200 MB, Python 3.11):

- `Counter.update` over `map` and `chain`, which stay in C: 0.77 for hits and 3.0 for words; loops over the
  lines take 0.9 and 3.5. (Splitting whole blocks into words, not lines, takes 2.8, but applies another
  function than the engine's job does.)
- Blocks of 256 KiB, decoded at once, which stay in the processor's cache: 3 % less than 1 MiB, 20 % less than
  a whole chunk. `split("\\n")` takes 10 % less than `splitlines`.
- Chunks as large as all workers can still share evenly, up to 48 MiB: every chunk sends a Counter, and for
  words merging those costs the parent 1.0 s with 16 MiB and 0.5 s with 64; for hits it doesn't matter.
"""

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from json.encoder import encode_basestring_ascii
from multiprocessing import Pool
from operator import itemgetter

BLOCK = 256 * 1024
CHUNK = 48 * 1024 * 1024

Range = tuple[str, int, int]  # path, first byte, byte after the last


def path_of(line: str) -> str:
    return line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]


def page_hits(task: Range) -> Counter[str]:
    counts: Counter[str] = Counter()
    for lines in read(task):
        counts.update(map(path_of, lines))
    return counts


def word_count(task: Range) -> Counter[str]:
    counts: Counter[str] = Counter()
    for lines in read(task):
        counts.update(chain.from_iterable(map(str.split, lines)))
    return counts


def read(task: Range) -> Iterator[list[str]]:
    """The lines of a byte range, a block at a time."""
    path, start, end = task
    with open(path, "rb") as file:
        file.seek(start)
        while start < end:
            data = file.read(min(BLOCK, end - start))
            if start + len(data) < end:
                data += file.readline()
            start += len(data)
            yield data.decode().removesuffix("\n").split("\n")


def cut(path: str, chunk: int, workers: int) -> Iterator[Range]:
    """Byte ranges of about equal size, at most about `chunk` bytes each, that end at line ends."""
    size = os.path.getsize(path)
    rounds = -(-size // (chunk * workers))
    start = 0
    with open(path, "rb") as file:
        for piece in range(1, rounds * workers + 1):
            file.seek(max(start, size * piece // (rounds * workers) - 1))
            file.readline()
            end = file.tell()
            if end > start:
                yield path, start, end
            start = end


def write(counts: Counter[str], path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.writelines(
            f'{{"key": {encode_basestring_ascii(key)}, "value": {count}}}\n'
            for key, count in sorted(counts.items(), key=itemgetter(0))
        )


JOBS: dict[str, Callable[[Range], Counter[str]]] = {"page_hits": page_hits, "word_count": word_count}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--chunk", type=int, default=CHUNK)
    options = parser.parse_args()
    total: Counter[str] = Counter()
    with Pool(options.workers) as pool:
        tasks = cut(options.source, options.chunk, options.workers)
        for counts in pool.imap_unordered(JOBS[options.job], tasks):
            total.update(counts)
    write(total, options.output)


if __name__ == "__main__":
    main()

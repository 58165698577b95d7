"""Parts in key order, without a pass over the data to find their borders.

Every map hands in a sketch: of its distinct keys the 1024 for each part that have the smallest
hash. The hash is independent of the key order, so the smallest of all maps together are a sample
of the distinct keys of the whole job, and the same one however the input was split (bottom-k
sampling; Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). The borders of the
parts are the sample's quantiles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from mapreduce import chunks

SAMPLES = 1024
"""Keys in the sample for each part."""
PREFIX = 64
"""Bytes of a chunk's first key that are kept: keys may be large, and there are many chunks."""

Sketch = tuple[bytes, ...]
"""Distinct keys, ascending: each the 8 bytes of its hash, then its order bytes."""
Range = tuple[bytes, bytes | None]
"""Keys from the first, and before the second if there is one: order bytes."""


class TotalOrder:
    """A job's `partition`: parts follow one another in key order, as the keys within each do.

    Parts hold about equal numbers of distinct keys; one key is never in two parts.
    """

    def __repr__(self) -> str:
        return "TotalOrder()"


def merged(sketches: Iterable[Sketch], shards: int) -> Sketch:
    """The sketch of all the keys together. Holds three times as many keys as it has at the most."""
    wanted = SAMPLES * shards
    found: set[bytes] = set()
    most: bytes | None = None
    for sketch in sketches:
        found.update(sketch if most is None else sketch[: bisect_right(sketch, most)])
        if len(found) > 2 * wanted:
            smallest = sorted(found)[:wanted]
            found, most = set(smallest), smallest[-1]
    return tuple(sorted(found)[:wanted])


def ranges(sketch: Sketch, shards: int) -> list[Range]:
    """The keys of each part."""
    keys = sorted(item[8:] for item in sketch)
    borders = [keys[part * len(keys) // shards] if keys else b"" for part in range(1, shards)]
    return list(zip([b"", *borders], [*borders, None], strict=True))


def index_within(index: bytes, wanted: Range) -> bytes:
    """Of chunks in key order, those that may hold keys of a range, by the beginnings of their first keys."""
    low, high = wanted
    numbers = range(chunks.number(index))

    def start(number: int) -> bytes:
        return chunks.at(index, number).first

    # A chunk may go on into the next one's first key; that one's prefix may be shorter than the key.
    first = max(0, bisect_left(numbers, low[:PREFIX], key=start) - 1)
    stop = len(numbers) if high is None else bisect_left(numbers, high, key=start)
    return chunks.part(index, first, stop)

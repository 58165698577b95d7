"""Parts in key order, without a pass over the data to find their borders.

Every map hands in a sketch: of its distinct keys the 1024 for each part that have the smallest
hash. The hash is independent of the key order, so the smallest of all maps together are a sample
of the distinct keys of the whole job, and the same one however the input was split (bottom-k
sampling; Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). The borders of the
parts are the sample's quantiles.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from mapreduce.model import Chunk

SAMPLES = 1024
"""Keys in the sample for each part."""
PREFIX = 128
"""Digits of a chunk's first key that are kept: keys may be large, and there are many chunks."""

Sketch = tuple[str, ...]
"""Distinct keys, ascending: each 16 hexadecimal digits of its hash, then those of its order bytes."""
Range = tuple[str, str | None]
"""Keys from the first, and before the second if there is one: hexadecimal digits of order bytes."""


class TotalOrder:
    """A job's `partition`: parts follow one another in key order, as the keys within each do.

    Parts hold about equal numbers of distinct keys; one key is never in two parts.
    """

    def __repr__(self) -> str:
        return "TotalOrder()"


def merged(sketches: Iterable[Sketch], shards: int) -> Sketch:
    """The sketch of all the keys together."""
    return tuple(sorted({item for sketch in sketches for item in sketch})[: SAMPLES * shards])


def ranges(sketch: Sketch, shards: int) -> list[Range]:
    """The keys of each part."""
    keys = sorted(item[16:] for item in sketch)
    borders = [keys[part * len(keys) // shards] if keys else "" for part in range(1, shards)]
    return list(zip(["", *borders], [*borders, None], strict=True))


def chunks_within(chunks: Sequence[Chunk], wanted: Range) -> tuple[Chunk, ...]:
    """Of chunks in key order, those that may hold keys of a range, by the beginnings of their first keys."""
    low, high = wanted
    starts = [chunk.first for chunk in chunks]
    # A chunk may go on into the next one's first key; that one's prefix may be shorter than the key.
    first = max(0, bisect_left(starts, low[:PREFIX]) - 1)
    stop = len(chunks) if high is None else bisect_left(starts, high)
    return tuple(chunks[first:stop])

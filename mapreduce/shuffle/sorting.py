"""Pairs in key order that are more than fit into memory.

They are added in input order, a run at a time. A run is sorted by key, stably, and written in chunks
whose first keys are remembered: when all runs are there, these are a sample of the keys, and their
quantiles cut the keys into slices that fit. A slice is read from every run in the order of the runs, so
that equal keys come in input order. A key that is larger than a slice is a slice of its own, which is
read a chunk at a time.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from mapreduce.ordering import PREFIX, Range
from mapreduce.shuffle.columns import Pairs, concat
from mapreduce.shuffle.placing import first_not_before, key_order
from mapreduce.shuffle.segments import encode

LEAST_CHUNK = 2**15
MOST_CHUNK = 2**20
"""Bytes of a chunk. Of every run one is held while slices are read."""


class Piece(NamedTuple):
    """A chunk of a run."""

    first: bytes
    """Order bytes of the first row's key, or their beginning if there are more than ordering.PREFIX."""
    length: int
    """Bytes."""
    rows: int
    read: Callable[[], Pairs]


Run = Sequence[Piece]
"""In key order."""


class SortedRuns:
    """Takes pairs in input order, and gives them in key order.

    scratch: a directory for a file that has no name, and goes when this is closed. slice_bytes: what
    fits at once. total: bytes that will come, about. A context manager.
    """

    def __init__(self, scratch: Path, slice_bytes: int, total: int) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - `close` closes it
        self._slice_bytes = slice_bytes
        runs = max(1, total // (2 * slice_bytes))
        self._chunk_bytes = min(MOST_CHUNK, max(LEAST_CHUNK, slice_bytes // runs))
        self._runs: list[Run] = []
        self._size = 0

    def __enter__(self) -> SortedRuns:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def add(self, pairs: Pairs) -> None:
        """Sort and write a run. Raises OSError."""
        if not len(pairs):
            return
        run = in_key_order(pairs)
        rows = max(1, self._chunk_bytes * len(run) // max(1, run.size))
        pieces = []
        for start in range(0, len(run), rows):
            frame = run.frame.slice(start, rows)
            data = encode(frame)
            self._file.write(data)
            read = partial(self._read, self._size, len(data), run.keys, run.values)
            pieces.append(Piece(key_order(run, start), len(data), frame.height, read))
            self._size += len(data)
        self._runs.append(pieces)

    def _read(self, offset: int, length: int, keys: str, values: str) -> Pairs:
        # pread: a child that a function has forked shares the file's position.
        data = os.pread(self._file.fileno(), length, offset)
        return Pairs(pl.read_ipc_stream(io.BytesIO(data)), keys, values)

    def slices(self) -> Iterator[Slice]:
        """In key order. Each must be read before the next is asked for; what was not read is passed by."""
        self._file.flush()
        return slices(self._runs, self._slice_bytes)


def slices(runs: Sequence[Run], slice_bytes: int, wanted: Range = (b"", None)) -> Iterator[Slice]:
    """The pairs of the runs whose keys are in a range, about so many bytes at once, in key order.

    A key with more is alone; there must be none if keys are longer than ordering.PREFIX. Each slice must be
    read before the next is asked for; what was not read is passed by.
    """
    cursors = [_Cursor(run) for run in runs]
    for (low, alone), (high, _) in pairwise(_borders(_sizes(runs), slice_bytes, wanted)):
        yield Slice(cursors, low, high, alone=alone)


def are_even(runs: Sequence[Run], slice_bytes: int) -> bool:
    """No key has so many bytes that it could be alone."""
    return max(_sizes(runs).values(), default=0) <= slice_bytes


def _sizes(runs: Sequence[Run]) -> dict[bytes, int]:
    """Bytes of the chunks that begin with each key."""
    sizes: dict[bytes, int] = {}
    for run in runs:
        for piece in run:
            sizes[piece.first] = sizes.get(piece.first, 0) + piece.length
    return sizes


def _borders(sizes: dict[bytes, int], slice_bytes: int, wanted: Range) -> list[tuple[bytes | None, bool]]:
    """Where slices begin, and whether the one that begins there is a single key; last, where they end."""
    low, end = wanted
    borders: list[tuple[bytes | None, bool]] = [(low, False)]
    held = 0
    for first in sorted(sizes):
        if sizes[first] > slice_bytes:  # no key's order bytes begin with another's
            borders += [(first, True), (first + b"\0", False)]
            held = 0
            continue
        if held and first > low and held + sizes[first] > slice_bytes:
            borders.append((first, False))
            held = 0
        held += sizes[first]
    return [*borders, (end, False)]


class Slice:
    """The pairs of some keys: whole groups."""

    def __init__(
        self, cursors: Sequence[_Cursor], low: bytes | None, high: bytes | None, *, alone: bool
    ) -> None:
        self._cursors = cursors
        self._low, self._high = low or b"", high
        self.alone = alone
        """It is one key, with more pairs than should be held."""

    def pairs(self) -> Iterator[Pairs]:
        """Bit by bit: run after run, in key order within each. To be read once."""
        for cursor in self._cursors:
            yield from cursor.take(self._low, self._high)

    def size(self) -> tuple[int, int]:
        """Pairs and bytes, about, of a key that is alone."""
        pieces = [piece for cursor in self._cursors for piece in cursor.run if piece.first == self._low]
        return sum(piece.rows for piece in pieces), sum(piece.length for piece in pieces)


class _Cursor:
    """Reads a run from its beginning to its end."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._next = 0
        self._held: Pairs | None = None

    def take(self, low: bytes, high: bytes | None) -> Iterator[Pairs]:
        """The rows in [low, high), a chunk at a time; those before are passed by."""
        while held := self._held or self._read(low, high):
            start = 0 if key_order(held, 0) >= low else first_not_before(held, low)
            inside = high is None or key_order(held, len(held) - 1) < high
            stop = len(held) if inside else first_not_before(held, high or b"")
            self._held = None if inside else _rows(held, stop, len(held))
            if start < stop:
                yield _rows(held, start, stop)
            if not inside:
                return

    def _read(self, low: bytes, high: bytes | None) -> Pairs | None:
        """The next chunk that may have rows of the range; None if there is none before its end."""
        run = self.run
        while self._next + 1 < len(run) and run[self._next + 1].first < low[:PREFIX]:
            self._next += 1
        if self._next == len(run) or (high is not None and run[self._next].first >= high):
            return None
        self._next += 1
        return run[self._next - 1].read()


def _rows(pairs: Pairs, start: int, stop: int) -> Pairs:
    return Pairs(pairs.frame.slice(start, stop - start), pairs.keys, pairs.values)


def in_key_order(pairs: Pairs) -> Pairs:
    """The pairs by key; equal keys stay in their order."""
    return Pairs(pairs.grouping.in_order(pairs.frame), pairs.keys, pairs.values)


def number_of_keys(runs: SortedRuns) -> int:
    """How many different keys there are."""
    return sum(_number_of_keys(slice_) for slice_ in runs.slices())


def _number_of_keys(slice_: Slice) -> int:
    if slice_.alone:
        return 1
    parts = list(slice_.pairs())
    return concat(parts).grouping.by(concat(parts).frame).height if parts else 0

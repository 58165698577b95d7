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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from mapreduce.shuffle.columns import Pairs, concat
from mapreduce.shuffle.placing import first_not_before, key_order
from mapreduce.shuffle.segments import encode

LEAST_CHUNK = 2**15
MOST_CHUNK = 2**20
"""Bytes of a chunk. Of every run one is held while slices are read."""


class _Chunk(NamedTuple):
    first: bytes
    """Order bytes of the first row's key."""
    offset: int
    length: int
    rows: int


@dataclass(frozen=True)
class _Run:
    chunks: list[_Chunk]
    keys: str
    values: str


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
        self._runs: list[_Run] = []
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
        chunks = []
        for start in range(0, len(run), rows):
            piece = run.frame.slice(start, rows)
            data = encode(piece)
            self._file.write(data)
            chunks.append(_Chunk(key_order(run, start), self._size, len(data), piece.height))
            self._size += len(data)
        self._runs.append(_Run(chunks, run.keys, run.values))

    def slices(self) -> Iterator[Slice]:
        """In key order. Each must be read before the next is asked for; what was not read is passed by."""
        self._file.flush()
        cursors = [_Cursor(self._file, run) for run in self._runs]
        for (low, alone), (high, _) in pairwise(self._borders()):
            yield Slice(cursors, low, high, alone=alone)

    def _borders(self) -> list[tuple[bytes | None, bool]]:
        """Where slices begin, and whether the one that begins there is a single key; None: the end."""
        sizes: dict[bytes, int] = {}
        for run in self._runs:
            for chunk in run.chunks:
                sizes[chunk.first] = sizes.get(chunk.first, 0) + chunk.length
        borders: list[tuple[bytes | None, bool]] = [(b"", False)]
        held = 0
        for first in sorted(sizes):
            if sizes[first] > self._slice_bytes:  # no key's order bytes begin with another's
                borders += [(first, True), (first + b"\0", False)]
                held = 0
                continue
            if held and held + sizes[first] > self._slice_bytes:
                borders.append((first, False))
                held = 0
            held += sizes[first]
        return [*borders, (None, False)]


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
        chunks = [chunk for cursor in self._cursors for chunk in cursor.chunks if chunk.first == self._low]
        return sum(chunk.rows for chunk in chunks), sum(chunk.length for chunk in chunks)


class _Cursor:
    """Reads a run from its beginning to its end."""

    def __init__(self, file: BinaryIO, run: _Run) -> None:
        self._file, self._run = file, run
        self._next = 0
        self._held: Pairs | None = None

    @property
    def chunks(self) -> list[_Chunk]:
        return self._run.chunks

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
        chunks = self._run.chunks
        while self._next + 1 < len(chunks) and chunks[self._next + 1].first < low:
            self._next += 1
        if self._next == len(chunks) or (high is not None and chunks[self._next].first >= high):
            return None
        chunk = chunks[self._next]
        self._next += 1
        # pread: a child that a function has forked shares the file's position.
        data = os.pread(self._file.fileno(), chunk.length, chunk.offset)
        return Pairs(pl.read_ipc_stream(io.BytesIO(data)), self._run.keys, self._run.values)


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

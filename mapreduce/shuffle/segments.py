"""Segments: one map attempt's pairs on disk, ordered by place, cut by shard and into chunks.

A data object holds runs one after another, as a rule a single one. A run is chunks one after another,
each an Arrow IPC stream of its own. The index (`chunks`) travels with the attempt's completion, with a
digest a chunk: a chunk that is torn, flipped, swapped or of another attempt is noticed before it is parsed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import polars as pl
import xxhash

from mapreduce import chunks
from mapreduce.chunks import Chunk
from mapreduce.model import Sample, Segments, SortedRun
from mapreduce.ordering import Sketch, TotalOrder, merged
from mapreduce.protocols import Store
from mapreduce.shuffle.columns import Pairs
from mapreduce.shuffle.objects import dump_sketch, read_intact, read_stretch
from mapreduce.shuffle.placing import Partition, Run, first_key, make_run, sketch_of

CHUNK_BYTES = 2**20
READ_BYTES = 8 * CHUNK_BYTES
"""About as much is read at once."""


class SegmentWriter:
    """Writes a map attempt's pairs into a data object, whose stream is opened for the first of them."""

    def __init__(self, opened: Callable[[], BinaryIO], shards: int, partition: Partition = None) -> None:
        self._opened = opened
        self._shards = shards
        self._partition = partition
        self._stream: BinaryIO | None = None
        self._sketch: Sketch = ()
        self.runs: list[SortedRun] = []
        self.size = 0
        """Bytes so far."""
        self.rows = 0
        """Pairs so far."""

    def add(self, pairs: Pairs) -> None:
        """Write pairs as a run; they were given after those of all runs before it."""
        if not len(pairs):
            return
        if self._stream is None:
            self._stream = self._opened()
        run = make_run(pairs, self._shards, self._partition)
        if isinstance(self._partition, TotalOrder):
            self._sketch = merged([self._sketch, sketch_of(run, self._shards)], self._shards)
        found = [self._write(run, *stretch) for stretch in self._stretches(run)]
        self.runs.append(SortedRun(layout_of(pairs), chunks.pack(found)))
        self.rows += len(pairs)

    def restart(self) -> None:
        """Forget what was written: the attempt begins afresh. The bytes stay, and nobody reads them."""
        self.runs, self._sketch, self.rows = [], (), 0

    def finish(self) -> Sample | None:
        """Write the sample of keys where parts follow the key order; None elsewhere."""
        if self._stream is None or not isinstance(self._partition, TotalOrder):
            return None
        data = dump_sketch(self._sketch)
        self._stream.write(data)
        sample = Sample(self.size, len(data), xxhash.xxh3_128_digest(data))
        self.size += len(data)
        return sample

    @staticmethod
    def _stretches(run: Run) -> Iterator[tuple[int, int, int]]:
        """(shard, first row, number of rows) of each chunk."""
        rows = max(1, CHUNK_BYTES * len(run.pairs) // max(1, run.pairs.size))
        for shard, start, stop in run.stretches:
            for first in range(start, stop, rows):
                yield shard, first, min(rows, stop - first)

    def _write(self, run: Run, shard: int, first: int, rows: int) -> Chunk:
        data = encode(run.pairs.frame.slice(first, rows))
        if self._stream is not None:
            self._stream.write(data)
        offset, self.size = self.size, self.size + len(data)
        prefix = first_key(run, first) if isinstance(self._partition, TotalOrder) else b""
        return Chunk(shard, run.place[first], offset, len(data), rows, xxhash.xxh3_128_digest(data), prefix)


def encode(frame: pl.DataFrame) -> bytes:
    """The rows as an Arrow IPC stream."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getvalue()


def read_segments(store: Store, segments: Segments) -> Iterator[Pairs]:
    """The pairs of one map for one shard, a chunk at a time, in the order they were written.

    A chunk that came wrong is read again. Raises SegmentError, which names the map, if the
    object is missing or differs from its index.
    """
    keys, values = segments.layout.split("|")
    index = chunks.unpack(segments.index)
    for start, stop in _runs(index):
        run = index[start:stop]
        first, length = run[0].offset, run[-1].offset + run[-1].length - run[0].offset
        data = read_stretch(store, segments.map_index, segments.name, first, length)
        for chunk in run:
            begin = chunk.offset - first
            piece = data[begin : begin + chunk.length]
            if xxhash.xxh3_128_digest(piece) != chunk.digest:
                piece = read_intact(
                    store, segments.map_index, segments.name, chunk.offset, chunk.length, chunk.digest
                )
            yield Pairs(pl.read_ipc_stream(piece), keys, values)


def read_chunk(store: Store, segments: Segments, chunk: Chunk) -> Pairs:
    """The pairs of one chunk. Raises SegmentError as `read_segments` does."""
    keys, values = segments.layout.split("|")
    where = store, segments.map_index, segments.name, chunk.offset, chunk.length
    return Pairs(pl.read_ipc_stream(read_intact(*where, chunk.digest)), keys, values)


def _runs(index: Sequence[Chunk]) -> Iterator[tuple[int, int]]:
    """Ranges of chunks that lie one after another in the object: one read each, not too large."""
    start = 0
    for number in range(1, len(index) + 1):
        last = index[number - 1]
        if (
            number == len(index)
            or index[number].offset != last.offset + last.length
            or last.offset + last.length - index[start].offset >= READ_BYTES
        ):
            yield start, number
            start = number


def layout_of(pairs: Pairs) -> str:
    """How a completion names the types of a run's chunks."""
    return f"{pairs.keys}|{pairs.values}"


def content_digest(runs: Sequence[SortedRun]) -> str:
    """Of what a map attempt made, without names: equal data gives an equal digest."""
    state = xxhash.xxh3_128()
    for run in runs:
        state.update(f"{run.layout};".encode())
        for chunk in chunks.unpack(run.index):
            state.update(f"{chunk.shard}:{chunk.rows}:{chunk.digest.hex()};".encode())
    return state.hexdigest()

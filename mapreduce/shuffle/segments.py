"""Segments: one map attempt's pairs on disk, ordered by place, cut by shard and into chunks.

A data object holds chunks one after another, each an Arrow IPC stream of its own. The index
(`model.Chunk`) travels with the attempt's completion, with a digest a chunk: a chunk that is
torn, flipped, swapped or of another attempt is noticed before it is parsed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

import polars as pl
import xxhash

from mapreduce.errors import SegmentError, StorageError
from mapreduce.model import Chunk, Segments
from mapreduce.ordering import Sketch, TotalOrder
from mapreduce.protocols import Store
from mapreduce.shuffle.columns import Pairs
from mapreduce.shuffle.placing import Partition, first_key, make_run, sketch_of
from mapreduce.store.retrying import may_pass

CHUNK_BYTES = 2**20
READ_BYTES = 8 * CHUNK_BYTES
"""About as much is read at once."""
REREADS = 3
"""Of a chunk that differs from its index, before its map is run again: the error may pass."""


def write_segments(
    stream: BinaryIO, pairs: Pairs, shards: int, partition: Partition = None
) -> tuple[tuple[Chunk, ...], Sketch]:
    """Write the pairs in the order of their places, and give the index, and the sketch if parts
    follow the key order.
    """
    if not len(pairs):
        return (), ()
    by_key = isinstance(partition, TotalOrder)
    run = make_run(pairs, shards, partition)
    frame = run.pairs.frame
    rows = max(1, CHUNK_BYTES * frame.height // max(1, int(frame.estimated_size())))
    chunks: list[Chunk] = []
    offset = 0
    for shard, start, stop in run.stretches:
        for first in range(start, stop, rows):
            piece = frame.slice(first, min(rows, stop - first))
            data = encode(piece)
            stream.write(data)
            digest = xxhash.xxh3_128_hexdigest(data)
            prefix = first_key(run, first) if by_key else ""
            chunks.append(Chunk(shard, run.place[first], offset, len(data), piece.height, digest, prefix))
            offset += len(data)
    return tuple(chunks), sketch_of(run, shards) if by_key else ()


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
    for start, stop in _runs(segments.chunks):
        run = segments.chunks[start:stop]
        data = _read(store, segments, run[0].offset, run[-1].offset + run[-1].length - run[0].offset)
        for chunk in run:
            begin = chunk.offset - run[0].offset
            piece = data[begin : begin + chunk.length]
            if not _intact(piece, chunk):
                piece = _read_again(store, segments, chunk)
            yield Pairs(pl.read_ipc_stream(piece), keys, values)


def _runs(chunks: tuple[Chunk, ...]) -> Iterator[tuple[int, int]]:
    """Index ranges of chunks that lie one after another in the object: one read each, not too large."""
    start = 0
    for index in range(1, len(chunks) + 1):
        last = chunks[index - 1]
        if (
            index == len(chunks)
            or chunks[index].offset != last.offset + last.length
            or last.offset + last.length - chunks[start].offset >= READ_BYTES
        ):
            yield start, index
            start = index


def _read_again(store: Store, segments: Segments, chunk: Chunk) -> bytes:
    for _ in range(REREADS):
        piece = _read(store, segments, chunk.offset, chunk.length)
        if _intact(piece, chunk):
            return piece
    raise _damaged(segments, "is damaged")


def _intact(piece: bytes, chunk: Chunk) -> bool:
    return xxhash.xxh3_128_hexdigest(piece) == chunk.digest


def _read(store: Store, segments: Segments, offset: int, length: int) -> bytes:
    """The bytes as they came. What the store could not read, though it tried again, is lost."""
    try:
        return store.read(segments.name, offset, length)
    except FileNotFoundError:
        raise _damaged(segments, "is missing") from None
    except StorageError as error:
        if may_pass(error):
            raise _damaged(segments, "can't be read") from error
        raise


def _damaged(segments: Segments, what: str) -> SegmentError:
    return SegmentError(
        f"Intermediate data of map {segments.map_index} {what} ({segments.name}).",
        map_index=segments.map_index,
    )


def layout_of(pairs: Pairs) -> str:
    """How a completion names the types of its chunks."""
    return f"{pairs.keys}|{pairs.values}"


def content_digest(layout: str, chunks: tuple[Chunk, ...]) -> str:
    """Of what a map attempt made, without names: equal data gives an equal digest."""
    state = xxhash.xxh3_128(layout.encode())
    for chunk in chunks:
        state.update(f"{chunk.shard}:{chunk.rows}:{chunk.digest};".encode())
    return state.hexdigest()

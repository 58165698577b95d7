"""Segments: one map attempt's pairs on disk, ordered by place, cut by shard and into chunks.

A data object holds chunks one after another, each an Arrow IPC stream of its own. The index
(`model.Chunk`) travels with the attempt's completion, with a digest a chunk: a chunk that is
torn, flipped, swapped or of another attempt is noticed before it is parsed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import polars as pl
import xxhash

from mapreduce.errors import SegmentError
from mapreduce.model import Chunk, Segments
from mapreduce.protocols import Store
from mapreduce.shuffle.columns import Pairs
from mapreduce.shuffle.hashing import places

CHUNK_BYTES = 2**20


def write_segments(stream: BinaryIO, pairs: Pairs, shards: int) -> tuple[Chunk, ...]:
    """Write the pairs, stably ordered by place, and give the index."""
    if not len(pairs):
        return ()
    frame = pairs.frame.with_columns(places(pairs.frame, pairs.keys)).sort("place", maintain_order=True)
    place = frame["place"]
    frame = frame.drop("place").rechunk()
    rows = max(1, CHUNK_BYTES * frame.height // max(1, int(frame.estimated_size())))
    chunks: list[Chunk] = []
    offset = 0
    for shard, start, stop in _shard_rows(place, shards):
        for first in range(start, stop, rows):
            piece = frame.slice(first, min(rows, stop - first))
            data = _encode(piece)
            stream.write(data)
            digest = xxhash.xxh3_128_hexdigest(data)
            chunks.append(Chunk(shard, place[first], offset, len(data), piece.height, digest))
            offset += len(data)
    return tuple(chunks)


def _shard_rows(place: pl.Series, shards: int) -> Iterator[tuple[int, int, int]]:
    """(shard, first row, row after the last) of every shard that has rows; `place` ascends."""
    bounds = [-(-(shard << 64) // shards) for shard in range(1, shards)]
    cuts = place.search_sorted(pl.Series(bounds, dtype=pl.UInt64), side="left").to_list() if bounds else []
    edges = [0, *cuts, len(place)]
    for shard, (start, stop) in enumerate(pairwise(edges)):
        if start < stop:
            yield shard, start, stop


def _encode(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getvalue()


def read_segments(store: Store, segments: Segments) -> Iterator[Pairs]:
    """The pairs of one map for one shard, a chunk at a time, in the order they were written.

    Raises SegmentError, which names the map, if the object is missing or differs from its index.
    """
    keys, values = segments.layout.split("|")
    for start, stop in _runs(segments.chunks):
        run = segments.chunks[start:stop]
        data = _read(store, segments, run[0].offset, run[-1].offset + run[-1].length - run[0].offset)
        for chunk in run:
            begin = chunk.offset - run[0].offset
            piece = data[begin : begin + chunk.length]
            if xxhash.xxh3_128_hexdigest(piece) != chunk.digest:
                raise _damaged(segments, "is damaged")
            yield Pairs(pl.read_ipc_stream(piece), keys, values)


def _runs(chunks: tuple[Chunk, ...]) -> Iterator[tuple[int, int]]:
    """Index ranges of chunks that lie one after another in the object: one read each."""
    start = 0
    for index in range(1, len(chunks) + 1):
        last = chunks[index - 1]
        if index == len(chunks) or chunks[index].offset != last.offset + last.length:
            yield start, index
            start = index


def _read(store: Store, segments: Segments, offset: int, length: int) -> bytes:
    try:
        return store.read(segments.name, offset, length)
    except FileNotFoundError:
        raise _damaged(segments, "is missing") from None


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

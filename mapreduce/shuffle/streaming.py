"""Groups of a shard that is too large for memory: by ranges of hashes, merged by key.

A range is grouped and sorted by key in memory and written to a file; the files are merged. Keys of
one range are in no other. A key that fills a range by itself lies in one piece in every map's run
and is read from there, a chunk at a time. Where runs are in key order they are merged as they are.
"""

from __future__ import annotations

import heapq
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from mapreduce.errors import UserFunctionError
from mapreduce.keys import order_bytes
from mapreduce.model import Segments
from mapreduce.ordering import Range
from mapreduce.protocols import Store
from mapreduce.shuffle.columns import Pairs, concat, python_keys, python_values
from mapreduce.shuffle.hashing import places
from mapreduce.shuffle.placing import within
from mapreduce.shuffle.segments import CHUNK_BYTES, encode, read_segments

RANGE_BYTES = 64 * 2**20
"""Bytes of pairs that are grouped at once; grouping and sorting takes about twice that."""

Piece = tuple[bytes, Any, list[Any]]
"""Rows of one key that lie together in one chunk: the key's order bytes, the key, the values."""
Group = tuple[Any, Iterator[Any]]
_END = 2**64


class StreamedValues:
    """A key's values, read as they are asked for. A second pass raises UserFunctionError."""

    __slots__ = ("_ended", "_left", "_passed")

    def __init__(self, values: Iterator[Any]) -> None:
        self._left = values
        self._ended = self._passed = False

    def pass_by(self) -> None:
        """The next group has begun: what is left can't be read any more."""
        self._passed = True

    def __iter__(self) -> StreamedValues:
        if self._ended:
            raise UserFunctionError(
                "The values of a key were iterated twice.",
                hint="They are an iterator; write values = list(values) first if they fit in memory.",
            )
        return self

    def __next__(self) -> Any:
        if self._passed and not self._ended:
            raise UserFunctionError(
                "The values of a key were read after the next key had begun.",
                hint="Write values = list(values) while the reduce works on their key.",
            )
        try:
            return next(self._left)
        except StopIteration:
            self._ended = True
            raise


@dataclass(slots=True)
class GroupSizes:
    """How many values the groups had that were seen."""

    groups: int = 0
    rows: int = 0
    largest: int = 0
    key: Any = None
    """Of the largest group, the first of several."""

    def add_batch(self, keys: Sequence[Any], sizes: Sequence[int]) -> None:
        """See whole groups."""
        self.groups += len(sizes)
        self.rows += sum(sizes)
        if (most := max(sizes)) > self.largest:
            self.largest, self.key = most, keys[sizes.index(most)]


def is_large(inputs: Sequence[Segments]) -> bool:
    """Whether a shard should be streamed."""
    return sum(chunk.length for segments in inputs for chunk in segments.chunks) > RANGE_BYTES


def streamed(
    store: Store, inputs: Sequence[Segments], wanted: Range | None, scratch: Path, sizes: GroupSizes
) -> Iterator[Group]:
    """(key, values) of a shard in key order. The values end when the next group is asked for.

    scratch: a directory for files that have no name and go when they are closed.
    sizes: is told of every group when it has ended.
    """
    if wanted is not None:
        runs = [_pieces(within(pairs, wanted) for pairs in read_segments(store, one)) for one in inputs]
    else:
        runs = [run for bounds in _ranges(inputs) for run in _range_runs(store, inputs, bounds, scratch)]
    for _, pieces in groupby(heapq.merge(*runs, key=itemgetter(0)), key=itemgetter(0)):
        _, key, first = next(pieces)
        seen = [len(first)]
        rest = _counting(pieces, seen)  # noqa: B031 - what the user left is counted below
        yield key, chain(first, chain.from_iterable(rest))
        for _ in rest:
            pass
        sizes.add_batch([key], [sum(seen)])


def _counting(pieces: Iterator[Piece], seen: list[int]) -> Iterator[list[Any]]:
    for _, _, values in pieces:
        seen.append(len(values))
        yield values


def _pieces(chunks: Iterator[Pairs]) -> Iterator[Piece]:
    """The pieces of chunks in which equal keys follow one another."""
    for pairs in chunks:
        if not len(pairs):
            continue
        groups = pairs.grouping.by(pairs.frame, pl.len().alias("rows"))
        keys = python_keys(groups, pairs.keys)
        values = python_values(pairs.frame, pairs.values)
        start = 0
        for key, rows in zip(keys, groups["rows"].to_list(), strict=True):
            yield order_bytes(key), key, values[start : start + rows]
            start += rows


# ---------------------------------------------------------------- ranges of hashes


def _ranges(inputs: Sequence[Segments]) -> Iterator[tuple[int, int]]:
    """[low, high) of hashes, each about RANGE_BYTES of chunks, or one hash that has more."""
    sizes: dict[int, int] = {}
    for segments in inputs:
        for chunk in segments.chunks:
            sizes[chunk.place] = sizes.get(chunk.place, 0) + chunk.length
    borders, held = [0], 0
    for place in sorted(sizes):
        alone = sizes[place] > RANGE_BYTES
        if held and (alone or held + sizes[place] > RANGE_BYTES):
            borders.append(place)
            held = 0
        held += sizes[place]
        if alone:
            borders.append(place + 1)
            held = 0
    yield from ((low, high) for low, high in pairwise([*borders, _END]) if low < high)


def _range_runs(
    store: Store, inputs: Sequence[Segments], bounds: tuple[int, int], scratch: Path
) -> list[Iterator[Piece]]:
    low, high = bounds
    if high == low + 1:
        return [_pieces(_of_key(store, inputs, bounds, key)) for key in _keys_at(store, inputs, bounds)]
    found = list(_within(store, inputs, bounds))
    return [_pieces(_spooled(concat(found), scratch))] if found else []


def _within(store: Store, inputs: Sequence[Segments], bounds: tuple[int, int]) -> Iterator[Pairs]:
    """The pairs whose hashes are in a range, in map order."""
    low, high = bounds
    for segments in inputs:
        following = [*(chunk.place for chunk in segments.chunks[1:]), _END]
        chosen = tuple(
            chunk
            for chunk, after in zip(segments.chunks, following, strict=True)
            if chunk.place < high and after >= low
        )
        for pairs in read_segments(
            store, Segments(segments.map_index, segments.name, segments.layout, chosen)
        ):
            place = places(pairs.frame, pairs.keys)
            inside = place >= low if high == _END else (place >= low) & (place < high)
            frame = pairs.frame.filter(inside)
            if frame.height:
                yield Pairs(frame, pairs.keys, pairs.values)


def _keys_at(store: Store, inputs: Sequence[Segments], bounds: tuple[int, int]) -> set[bytes]:
    """Order bytes of the keys that have one hash: nearly always a single one."""
    found: set[bytes] = set()
    for pairs in _within(store, inputs, bounds):
        found.update(map(order_bytes, python_keys(pairs.grouping.by(pairs.frame), pairs.keys)))
    return found


def _of_key(
    store: Store, inputs: Sequence[Segments], bounds: tuple[int, int], wanted: bytes
) -> Iterator[Pairs]:
    for pairs in _within(store, inputs, bounds):
        groups = pairs.grouping.by(pairs.frame.with_row_index("row"), pl.col("row"))
        for index, key in enumerate(python_keys(groups, pairs.keys)):
            if order_bytes(key) == wanted:
                yield Pairs(pairs.frame[groups["row"][index]], pairs.keys, pairs.values)


def _spooled(pairs: Pairs, scratch: Path) -> Iterator[Pairs]:
    """The pairs in key order, by way of a file."""
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - it lives as long as the iterator
    sizes = list(_write(pairs, file))
    file.flush()
    keys, values = pairs.keys, pairs.values

    def read() -> Iterator[Pairs]:
        start = 0
        with file:
            for size in sizes:  # pread: a child that the reduce has forked shares the file's position
                data = os.pread(file.fileno(), size, start)
                yield Pairs(pl.read_ipc_stream(io.BytesIO(data)), keys, values)
                start += size

    return read()


def _write(pairs: Pairs, file: Any) -> Iterator[int]:
    frame = pairs.frame.sort(pairs.grouping.columns, nulls_last=False, maintain_order=True)
    rows = max(1, CHUNK_BYTES * frame.height // max(1, int(frame.estimated_size())))
    for start in range(0, frame.height, rows):
        data = encode(frame.slice(start, rows))
        file.write(data)
        yield len(data)

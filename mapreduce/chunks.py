"""The index of a stored run, packed: the coordinator holds those of all maps, so each byte counts.

A packed index is the length of the longest `first`, then for each chunk a record of one size. Parts of
an index that hold whole records of one are indexes too.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple


class Chunk(NamedTuple):
    """A stretch of rows of one shard, in place order, in a map attempt's data object."""

    shard: int
    place: int
    """Hash of the first row's key."""
    offset: int
    length: int
    rows: int
    digest: bytes
    """xxh3_128 of the bytes."""
    first: bytes = b""
    """Where parts follow the key order: the beginning of the first key's order bytes; `shard` is 0 then."""


def pack(chunks: Sequence[Chunk]) -> bytes:
    """The chunks as an index."""
    longest = max((len(chunk.first) for chunk in chunks), default=0)
    record = _record(longest)
    return bytes([longest]) + b"".join(record.pack(*chunk) for chunk in chunks)


def unpack(index: bytes) -> list[Chunk]:
    """The chunks of an index."""
    return [Chunk(*fields) for fields in _record(index[0]).iter_unpack(memoryview(index)[1:])]


def number(index: bytes) -> int:
    """How many chunks there are."""
    return (len(index) - 1) // _record(index[0]).size


def at(index: bytes, place: int) -> Chunk:
    """One chunk, counted from 0."""
    record = _record(index[0])
    return Chunk(*record.unpack_from(index, 1 + place * record.size))


def of_shard(index: bytes, shard: int) -> bytes:
    """The index of one shard's chunks, which follow one another; b"" if there are none."""
    numbers = range(number(index))

    def shard_of(place: int) -> int:
        return at(index, place).shard

    start = bisect_left(numbers, shard, key=shard_of)
    return part(index, start, bisect_right(numbers, shard, lo=start, key=shard_of))


def part(index: bytes, start: int, stop: int) -> bytes:
    """The index of the chunks [start, stop); b"" if there are none."""
    size = _record(index[0]).size
    return index[:1] + index[1 + start * size : 1 + stop * size] if start < stop else b""


def stored_bytes(index: bytes) -> int:
    """Bytes of all chunks."""
    return sum(chunk.length for chunk in unpack(index))


@cache
def _record(longest: int) -> struct.Struct:
    """Shard, place, offset, length, rows, digest; and `first` behind a byte with its length."""
    return struct.Struct(f"<IQQQI16s{longest + 1}p")

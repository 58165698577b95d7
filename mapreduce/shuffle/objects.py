"""Bytes of maps' data objects: what differs from its index or is gone costs the map another run.

Free of polars, because the coordinator reads samples of keys.
"""

from __future__ import annotations

from typing import Any

import xxhash

from mapreduce import codec
from mapreduce.errors import SegmentError, StorageError
from mapreduce.model import Sample
from mapreduce.ordering import Sketch
from mapreduce.protocols import Store
from mapreduce.store.patience import may_pass

REREADS = 3
"""Of bytes that differ from their digest, before their map is run again: the error may pass."""


def read_stretch(store: Store, map_index: int, name: str, offset: int, length: int) -> bytes:
    """The bytes as they came. What the store could not read, though it tried again, is lost.

    Raises SegmentError, which names the map.
    """
    try:
        return store.read(name, offset, length)
    except FileNotFoundError:
        raise _damaged(map_index, name, "is missing") from None
    except StorageError as error:
        if may_pass(error):
            raise _damaged(map_index, name, "can't be read") from error
        raise


def read_intact(
    store: Store, map_index: int, name: str, offset: int, length: int, digest: bytes, reads: int = REREADS
) -> bytes:
    """Bytes with this xxh3_128, of so many reads the first that has it. Raises SegmentError."""
    for _ in range(reads):
        data = read_stretch(store, map_index, name, offset, length)
        if xxhash.xxh3_128_digest(data) == digest:
            return data
    raise _damaged(map_index, name, "is damaged")


def dump_sketch(sketch: Sketch) -> bytes:
    """A sample of keys as bytes."""
    return codec.pack(sketch)


def read_sketch(store: Store, map_index: int, name: str, sample: Sample) -> Sketch:
    """The sample of keys of a map. Raises SegmentError."""
    data = read_intact(store, map_index, name, sample.offset, sample.length, sample.digest, 1 + REREADS)
    return tuple(codec.unpack(data))


def _damaged(map_index: int, name: str, what: str) -> SegmentError:
    return SegmentError(f"Intermediate data of map {map_index} {what} ({name}).", map_index=map_index)


def read_stage(store: Store, name: str) -> list[Any]:
    """What a reduce attempt reads, plain, where that was laid down for it. Raises StorageError."""
    try:
        segments: list[Any] = codec.unseal(store.read(name))
    except (FileNotFoundError, ValueError) as error:
        raise StorageError(f"{name}, what a reduce reads, can't be read: {error}.") from error
    return segments

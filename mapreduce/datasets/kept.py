"""The result of a job without output: records with all their types, kept with the run."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from mapreduce.codec import load_value
from mapreduce.datasets.writers import KeptWriter
from mapreduce.errors import ManifestError
from mapreduce.protocols import RecordWriter


class Kept:
    """An output that loses no type. Parts are read back after their digest was checked."""

    path: str | None = None
    suffix = ".kept"
    compression = ""

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of one part."""
        return KeptWriter(stream)

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """The records as they were given."""
        while header := stream.read(4):
            size = struct.unpack(">I", header)[0]
            data = stream.read(size)
            if len(data) != size:
                raise ManifestError("A kept part is truncated.", hint="Run `mapreduce verify`.")
            yield load_value(data)

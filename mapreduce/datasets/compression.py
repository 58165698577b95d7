"""The compressions: their names, the modules behind them, and writers of pinned bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from mapreduce.errors import InputError, JobError

SUFFIXES = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
"""What a user writes as `compression=`, and the name of the compression."""

_WRITE_PIECE = 128 * 2**10
"""What a compressor is fed at once: its bytes must not depend on how records came."""


def suffix_of(compression: str | None) -> str:
    """The suffix of part files, with the dot, for a user's `compression=`. Raises JobError."""
    if compression is None:
        return ""
    if compression not in SUFFIXES:
        raise JobError(f"compression={compression!r}.", hint=f"Give None or one of {', '.join(SUFFIXES)}.")
    return f".{compression}"


def compression_of_suffix(name: str) -> str:
    """The compression that a part's name tells: "", "gzip", "bzip2", "xz" or "zstd"."""
    return SUFFIXES.get(name.rpartition(".")[2], "")


def library(name: str, kind: str, uri: str) -> Any:
    """The module behind a compression; Python may be built without, zstd is an extra."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        how = "pip install 'mapreduce[zstd]'" if kind == "zstd" else "a Python that was built with it"
        message = f"{uri}: {kind} needs the module {error.name or name}, which is not here."
        if uri:
            raise InputError(message, hint=f"Get it: {how}.") from error
        raise JobError(message.removeprefix(": "), hint=f"Get it: {how}.") from error


class Compressor:
    """A stream that compresses what is written to it. `close` ends the data, not the stream below."""

    def __init__(self, stream: BinaryIO, kind: str) -> None:
        self._stream = stream
        self._object = _compressobj(kind)
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        """Take all of `data`."""
        self._held += data
        whole = len(self._held) // _WRITE_PIECE * _WRITE_PIECE
        if whole:
            view = bytes(memoryview(self._held)[:whole])
            del self._held[:whole]
            for start in range(0, whole, _WRITE_PIECE):
                self._stream.write(self._object.compress(view[start : start + _WRITE_PIECE]))
        return len(data)

    def close(self) -> None:
        """Write what is left, and the end."""
        self._stream.write(self._object.compress(bytes(self._held)))
        self._stream.write(self._object.flush())


def _compressobj(kind: str) -> Any:
    """Codec and level are pinned: the same records give the same bytes. Raises JobError."""
    if kind == "gzip":  # a header without name, and with the time 0
        return zlib.compressobj(6, zlib.DEFLATED, 31)
    if kind == "bzip2":
        return library("bz2", kind, "").BZ2Compressor(9)
    if kind == "xz":
        return library("lzma", kind, "").LZMACompressor(preset=6)
    zstandard = library("zstandard", kind, "")
    return zstandard.ZstdCompressor(level=3, write_checksum=True, threads=0).compressobj()


@contextmanager
def compressing(stream: BinaryIO, kind: str) -> Iterator[BinaryIO]:
    """A stream for plain bytes, which reach `stream` compressed, and whole if the block succeeds."""
    if not kind:
        yield stream
        return
    compressor = Compressor(stream, kind)
    yield cast(BinaryIO, compressor)
    compressor.close()

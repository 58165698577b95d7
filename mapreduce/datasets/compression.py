"""gzip, bzip2, xz and zstd: a reader that loses nothing silently, and writers of pinned bytes.

The loops are our own, because the readers at hand end without an error where a second member is
damaged or junk follows. A file is a chain of members (frames, streams), each whole and checked.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from mapreduce.errors import InputCorrupt, InputError, JobError
from mapreduce.model import InputFile

SUFFIXES = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
"""What a user writes as `compression=`, and the name of the compression."""

_BOMB = 16 * 2**20
"""Bytes that any file may expand to, whatever its ratio."""

_PIECE = 64 * 2**10
"""Stored bytes that are read at once."""

_ZSTD_PIECE = 1024
"""zstd's decompressor has no limit of output: a piece this small gives 44 MB at the most."""

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


# ---------------------------------------------------------------- the libraries


def _library(name: str, kind: str, uri: str) -> Any:
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


class _Zlib:
    """zlib's object with the interface of bz2's."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(31)
        self.needs_input = True

    def decompress(self, data: bytes, limit: int) -> bytes:
        given = self._object.decompress(self._object.unconsumed_tail + data, limit)
        self.needs_input = not self._object.unconsumed_tail and len(given) < limit
        return given

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data


class _Zstd:
    """zstandard's object with the interface of bz2's; it may give more than the limit."""

    needs_input = True

    def __init__(self, library: Any) -> None:
        self._object = library.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes, limit: int) -> bytes:
        return cast(bytes, self._object.decompress(data)) if data else b""

    @property
    def eof(self) -> bool:
        return cast(bool, self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return cast(bytes, self._object.unused_data)


def _decompressor(kind: str, uri: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """What makes the object for one member, and what that raises for damage."""
    if kind == "gzip":
        return _Zlib, (zlib.error,)
    if kind == "bzip2":
        return _library("bz2", kind, uri).BZ2Decompressor, (OSError, ValueError)
    if kind == "xz":
        lzma = _library("lzma", kind, uri)
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (lzma.LZMAError,)
    zstandard = _library("zstandard", kind, uri)
    return lambda: _Zstd(zstandard), (zstandard.ZstdError,)


# ---------------------------------------------------------------- reading


class Decompressed:
    """The bytes of a compressed file, read from its beginning once.

    Raises InputCorrupt, with the stored offset and the number of good bytes, if the file is
    truncated or damaged, if junk follows it, or if it expands beyond `max_ratio`.
    """

    def __init__(self, stored: BinaryIO, file: InputFile, max_ratio: int) -> None:
        self._stored, self._file, self._max_ratio = stored, file, max_ratio
        self._make, self._damage = _decompressor(file.compression, file.uri)
        self._member: Any = self._make()
        self._piece = _ZSTD_PIECE if file.compression == "zstd" else _PIECE
        self._fed = self._given = 0
        self._ready = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end only."""
        while not self._ready:
            if self._member.eof:
                if not self._next_member():
                    return b""
                continue
            self._ready = memoryview(self._decompress(size))
            self._given += len(self._ready)
            self._check_ratio()
        data, self._ready = self._ready[:size], self._ready[size:]
        return bytes(data)

    def _decompress(self, limit: int) -> bytes:
        hungry = self._member.needs_input
        data = self._more() if hungry else b""
        try:
            given: bytes = self._member.decompress(data, limit)
        except self._damage as error:
            raise self._corrupt("is damaged", f"{error}") from error
        if hungry and not data and not given and not self._member.eof:
            raise self._corrupt("is truncated", "it ends before its data does")
        return given

    def _next_member(self) -> bool:
        """Begin the member that follows; False at the end of the file."""
        data: bytes = self._member.unused_data or self._more()
        padding = 0
        if self._file.compression in ("gzip", "xz"):
            while data and not (rest := data.lstrip(b"\0")):
                padding += len(data)
                data = self._more()
            if data:
                padding += len(data) - len(rest)
                data = rest
        if padding % 4 and self._file.compression == "xz":
            raise self._corrupt("is damaged", "its padding is no multiple of 4 bytes")
        if not data:
            return False
        self._member = self._make()
        self._take(data)
        return True

    def _more(self) -> bytes:
        data = self._stored.read(self._piece)
        self._fed += len(data)
        return data

    def _take(self, data: bytes) -> None:
        try:
            self._ready = memoryview(self._member.decompress(data, self._piece))
        except self._damage as error:
            raise self._corrupt("is damaged", f"what follows a whole part of it is none ({error})") from error
        self._given += len(self._ready)
        self._check_ratio()

    def _check_ratio(self) -> None:
        if self._given > max(_BOMB, self._max_ratio * self._fed):
            raise InputCorrupt(
                f"{self._file.uri} expands beyond max_ratio ({self._max_ratio}): {self._fed:,} bytes of it "
                f"gave {self._given:,}.",
                hint="Look whether it is what it should be; if so, raise max_ratio.",
            )

    def _corrupt(self, what: str, why: str) -> InputCorrupt:
        file = self._file
        return InputCorrupt(
            f"{file.uri} {what}: {why} (at byte {self._fed:,} of {file.size:,} stored, "
            f"after {self._given:,} good bytes).",
            hint=f"Get it again, or see how far `{file.compression} -t {file.uri}` comes.",
        )


def decompressed(stored: BinaryIO, file: InputFile, max_ratio: int) -> BinaryIO:
    """The plain bytes of an open file: the stream itself if it is not compressed. Raises InputError."""
    if not file.compression:
        return stored
    return cast(BinaryIO, Decompressed(stored, file, max_ratio))


def decompress(data: bytes, kind: str, name: str) -> bytes:
    """The plain bytes of a part that this package wrote. Raises InputCorrupt."""
    if not kind:
        return data
    import io

    stream = Decompressed(io.BytesIO(data), InputFile(name, len(data), "", kind), max_ratio=2**40)
    return b"".join(iter(lambda: stream.read(2**20), b""))


# ---------------------------------------------------------------- writing


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
        return _library("bz2", kind, "").BZ2Compressor(9)
    if kind == "xz":
        return _library("lzma", kind, "").LZMACompressor(preset=6)
    zstandard = _library("zstandard", kind, "")
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

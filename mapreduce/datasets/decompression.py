"""Reading gzip, bzip2, xz and zstd, so that nothing is lost silently.

The loops are our own, because the readers at hand end without an error where a second member is
damaged or junk follows. A file is a chain of members (frames, streams), each whole and checked.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from mapreduce.datasets.compression import library
from mapreduce.errors import InputCorrupt
from mapreduce.model import InputFile

_BOMB = 16 * 2**20
"""Bytes that any file may expand to, whatever its ratio."""

PIECE = 64 * 2**10
"""Stored bytes that are read at once."""

_ZSTD_PIECE = 1024
"""zstd's decompressor has no limit of output: a piece this small gives 44 MB at the most."""

_HEADER, _TRAILER = 10, 8
"""Bytes that each gzip member begins with, and those that it ends with."""

_EXTRA, _NAME, _COMMENT = 4, 8, 16
_OPTIONS = 1 | _EXTRA | _NAME | _COMMENT
"""Flags of a header, for what follows its first bytes; 1 says that the data is text."""

_STEP = 128 * 2**10
"""Plain bytes that are made at once where an error is looked for: its message has their number."""


def fast_zlib() -> Any:
    """isal's drop-in for zlib where it is installed (the extra `gzip`), else zlib. For reading alone:
    what is written has the bytes of zlib.
    """
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


class Inflate:
    """The object of zlib, or of isal, with the interface of bz2's."""

    def __init__(self, module: Any, wbits: int = 31, window: bytes = b"") -> None:
        self._object = module.decompressobj(wbits, window) if window else module.decompressobj(wbits)
        self.needs_input = True

    def decompress(self, data: bytes, limit: int) -> bytes:
        tail = self._object.unconsumed_tail
        given: bytes = self._object.decompress(tail + data if tail else data, limit)
        self.needs_input = not self._object.unconsumed_tail and len(given) < limit
        return given

    @property
    def eof(self) -> bool:
        return cast(bool, self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return cast(bytes, self._object.unused_data)


class Raw:
    """Deflate data and the trailer of its gzip member, with the interface of bz2's objects."""

    def __init__(self, module: Any, window: bytes = b"") -> None:
        self._inner = Inflate(module, -15, window)
        self._trailer: bytes | None = None

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input or self._trailer is not None

    @property
    def eof(self) -> bool:
        return self._trailer is not None and len(self._trailer) >= _TRAILER

    @property
    def unused_data(self) -> bytes:
        return (self._trailer or b"")[_TRAILER:]

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._trailer is not None:
            self._trailer += data
            return b""
        made = self._inner.decompress(data, limit)
        if self._inner.eof:
            self._trailer = self._inner.unused_data
        return made

    @property
    def trailer(self) -> bytes:
        """All of it, at the end: the checksum and the length of the data."""
        return (self._trailer or b"")[:_TRAILER]


class _IsalMember:
    """A gzip member by isal, with the interface of bz2's objects; one with an unusual header by zlib.

    isal's own checksum leaves the vector registers of some processors in a state in which Python code takes
    half as long again, from then on; zlib's does not.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._inner: Any = None
        self._crc = self._made = 0

    @property
    def needs_input(self) -> bool:
        return self._inner is None or cast(bool, self._inner.needs_input)

    @property
    def eof(self) -> bool:
        return self._inner is not None and cast(bool, self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return cast(bytes, self._inner.unused_data)

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._inner is None:
            header = _header_size(data)
            self._inner = Raw(self._module) if header else Inflate(zlib)
            data = data[header:]
        made: bytes = self._inner.decompress(data, limit)
        if isinstance(self._inner, Raw):
            self._crc, self._made = zlib.crc32(made, self._crc), self._made + len(made)
            if self._inner.eof and self._inner.trailer != self._expected():
                raise zlib.error("incorrect data check")
        return made

    def _expected(self) -> bytes:
        return self._crc.to_bytes(4, "little") + (self._made % 2**32).to_bytes(4, "little")


def _header_size(data: bytes) -> int:
    """Bytes of the header with which a gzip member begins; 0 if it is not all there, or has a checksum of
    its own or anything unknown.
    """
    if len(data) < _HEADER or not data.startswith(b"\x1f\x8b\x08") or data[3] & ~_OPTIONS:
        return 0
    size = _HEADER
    if data[3] & _EXTRA:
        size += 2 + int.from_bytes(data[size : size + 2], "little")
    for _ in range((data[3] & _NAME > 0) + (data[3] & _COMMENT > 0)):
        size = data.find(b"\0", size) + 1
        if not size:
            return 0
    return size if size <= len(data) else 0


class _Zstd:
    """zstandard's object with the interface of bz2's; it may give more than the limit."""

    needs_input = True

    def __init__(self, module: Any) -> None:
        self._object = module.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes, limit: int) -> bytes:
        return cast(bytes, self._object.decompress(data)) if data else b""

    @property
    def eof(self) -> bool:
        return cast(bool, self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return cast(bytes, self._object.unused_data)


def _decompressor(
    kind: str, uri: str, careful: bool
) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """What makes the object for one member, and what that raises for damage."""
    if kind == "gzip":
        module = zlib if careful else fast_zlib()
        kind_of_member = Inflate if module is zlib else _IsalMember
        return lambda: kind_of_member(module), (zlib.error, module.error)
    if kind == "bzip2":
        return library("bz2", kind, uri).BZ2Decompressor, (OSError, ValueError)
    if kind == "xz":
        lzma = library("lzma", kind, uri)
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (lzma.LZMAError,)
    zstandard = library("zstandard", kind, uri)
    return lambda: _Zstd(zstandard), (zstandard.ZstdError,)


class Decompressed:
    """The bytes of a compressed file, read from its beginning once. The stream below can be sought.

    Raises InputCorrupt, with the stored offset and the number of good bytes, if the file is
    truncated or damaged, if junk follows it, or if it expands beyond `max_ratio`. A gzip file that
    is refused is looked at again by zlib, whose words are the same wherever isal is installed.
    """

    def __init__(self, stored: BinaryIO, file: InputFile, max_ratio: int) -> None:
        self._stored, self._file, self._max_ratio = stored, file, max_ratio
        self._piece = _ZSTD_PIECE if file.compression == "zstd" else PIECE
        self._ready = memoryview(b"")
        self._begin(careful=file.compression != "gzip")

    def _begin(self, *, careful: bool) -> None:
        """Be before the first byte. The last word on what is wrong has a careful reader."""
        self._careful = careful
        self._make, self._damage = _decompressor(self._file.compression, self._file.uri, careful)
        self._member: Any = self._make()
        self._held = b""
        self._follows = False
        self._fed = self._given = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end only."""
        if not self._ready:
            made = self._checked(size)
            if len(made) <= size:
                return made
            self._ready = memoryview(made)
        data, self._ready = self._ready[:size], self._ready[size:]
        return bytes(data)

    def _checked(self, limit: int) -> bytes:
        try:
            return self._next(limit)
        except InputCorrupt:
            if not self._careful:
                self._examine()
            raise

    def _examine(self) -> None:
        """Read all again, to raise what is wrong with it."""
        self._stored.seek(0)
        self._begin(careful=True)
        while self._next(_STEP):
            pass

    def _next(self, limit: int) -> bytes:
        """Some bytes, about `limit` at the most; none at the end only."""
        while not self._member.eof or self._next_member():
            made = self._decompress(limit)
            if made:
                self._given += len(made)
                self._check_ratio()
                return made
        return b""

    def _decompress(self, limit: int) -> bytes:
        hungry = self._member.needs_input
        data, self._held = (self._held or self._more(), b"") if hungry else (b"", b"")
        try:
            made: bytes = self._member.decompress(data, limit)
        except self._damage as error:
            why = f"what follows a whole part of it is none ({error})" if self._follows else f"{error}"
            raise self._corrupt("is damaged", why) from error
        if hungry and not data and not made and not self._member.eof:
            raise self._corrupt("is truncated", "it ends before its data does")
        self._follows = False
        return made

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
        self._member, self._held, self._follows = self._make() if data else self._member, data, True
        return bool(data)

    def _more(self) -> bytes:
        data = self._stored.read(self._piece)
        self._fed += len(data)
        return data

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

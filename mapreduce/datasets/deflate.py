"""Deflate data from the middle: where a block begins, and how to read on from there.

Deflate is a sequence of blocks of bits, without marks; a block may copy from the 32 KiB of plain bytes
before it. A decompressor of zlib's interface takes such a window, but begins at a whole byte.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any

from mapreduce.datasets.decompression import Raw

WINDOW = 32 * 2**10
"""Plain bytes that a block may copy from."""

_EMPTY_BLOCK = (0b010, 10)
"""A block without content, in the fixed code, and its number of bits: type 1 after the flag that it is
not the last, lowest bit first, and the code of the end, seven zeros."""

_COPY_BLOCK = (0b010 | 1 << 9 | 0b10111 << 10 | 0x1FFF << 15, 35)
"""A block that copies 3 bytes from 32,768 bytes before: length code 257 and distance code 29, which have
their highest bit first, and 13 bits more of the distance, all ones."""

_COPIED = 3


class Middle(Raw):
    """A member's data from one of its blocks on.

    The first bytes given to `decompress` begin with the one that holds the block's first bit; `bit` is its
    number in there, and `window` the plain bytes before the block.
    """

    def __init__(self, module: Any, bit: int, window: bytes) -> None:
        window = window[-WINDOW:].rjust(WINDOW, b"\0")
        self._bit = bit
        self._blocks, self._width, self._surplus = _aligned(bit)
        if self._surplus:  # what will be copied then stands behind the rest, as the data expects it
            window = window[-_COPIED:] + window[:-_COPIED]
        super().__init__(module, window)

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._width and data:
            data, self._width = self._head(data[0]) + data[1:], 0
        made = super().decompress(data, limit)
        if self._surplus:
            made, self._surplus = made[self._surplus :], max(self._surplus - len(made), 0)
        return made

    def _head(self, first: int) -> bytes:
        """The blocks that make up for the bits of another block in the first byte, and its other bits."""
        bits = self._blocks | first >> self._bit << self._width
        return bits.to_bytes((self._width + 8 - self._bit) // 8, "little")


def _aligned(bit: int) -> tuple[int, int, int]:
    """Blocks that end at this bit of a byte: their bits, how many, and how many bytes they give."""
    bits, width = _COPY_BLOCK if bit % 2 else (0, 0)
    while width % 8 != bit:
        bits |= _EMPTY_BLOCK[0] << width
        width += _EMPTY_BLOCK[1]
    return bits, width, _COPIED if bit % 2 else 0


# ---------------------------------------------------------------- finding a block

_CHUNK = 8 * 2**10
_AHEAD = 4 * 2**10
"""Bytes behind a block's beginning that are looked at: more than its header has."""

_TYPE = 0b100
"""The first three bits of a block that has a code of its own and is not the last."""

_MOST_CODES = 29
"""Beyond the least, the codes of literals and lengths, and of distances, that a header may say."""


def _class_of(fits: list[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % byte for byte in fits) + b"]"


_HEADER = re.compile(
    _class_of([byte for byte in range(256) if byte & 7 == _TYPE and byte >> 3 <= _MOST_CODES])
    + b"(?=%s)" % _class_of([byte for byte in range(256) if byte & 31 <= _MOST_CODES]),
    re.DOTALL,
)
"""The beginning of a header, where it begins with a byte."""

_SHARES = [
    sum(128 >> (four >> place & 7) for place in (0, 3, 6, 9) if four >> place & 7) for four in range(2**12)
]
"""What part of 128 codes of such lengths take: four lengths of three bits."""

_LENGTHS = [(1 << 3 * (count + 4)) - 1 for count in range(16)]
"""The bits of the lengths that a header has, by what it says of their number."""

_BLANK = bytes(WINDOW)


def find_block(data: bytes) -> int | None:
    """The bit of the data at which a block seems to begin: its header is right, and what follows can be read.

    Blocks with a code of their own are found, but not the last one of a member.
    """
    return next(_blocks(data), None)


def _blocks(data: bytes) -> Iterator[int]:
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK + _AHEAD]
        number = int.from_bytes(chunk, "little")
        shifted = [(number >> shift).to_bytes(len(chunk), "little") for shift in range(8)]
        found = sorted(
            byte * 8 + shift
            for shift in range(8)
            for byte in _headers(shifted[shift])
            if _can_be_read(shifted[shift][byte:])
        )
        yield from (start * 8 + bit for bit in found)


def _headers(data: bytes) -> Iterator[int]:
    """The bytes of a chunk at which a header may begin: the code of its code lengths, which follows 13
    bits, is complete.
    """
    number, shares = int.from_bytes, _SHARES
    for match in _HEADER.finditer(data, 0, _CHUNK + 1):
        byte = match.start()
        bits = number(data[byte + 1 : byte + 10], "little") >> 5
        lengths = bits >> 4 & _LENGTHS[bits & 15]
        share = shares[lengths & 0xFFF] + shares[lengths >> 12 & 0xFFF]
        if (
            share <= 128
            and share
            + shares[lengths >> 24 & 0xFFF]
            + sum(shares[lengths >> place & 0xFFF] for place in (36, 48))
            == 128
        ):
            yield byte


def _can_be_read(data: bytes) -> bool:
    try:
        return bool(zlib.decompressobj(-15, _BLANK).decompress(data[:_AHEAD], _AHEAD))
    except zlib.error:
        return False

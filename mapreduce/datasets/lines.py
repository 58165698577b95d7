"""Cutting a byte stream at line ends. Only LF ends a line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from mapreduce.errors import RecordTooLarge
from mapreduce.model import Location

LF = b"\n"
PROBE = 8 * 2**10
"""Bytes in which the end of a block is looked for, before the block is read."""
PROBED_BLOCK = 2**20
"""Smaller blocks lie in the processor's cache, where copying them costs less than looking."""
LARGE_SHOWN = 4096
"""Bytes of a line that is too long which are kept when it is left out."""

TakeLarge = Callable[[Location, bytes, RecordTooLarge], None]


def read_fully(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the stream."""
    data = stream.read(size)
    if 0 < len(data) < size:
        pieces = [data]
        missing = size - len(data)
        while missing and (data := stream.read(missing)):
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)
    return data


def line_blocks(
    stream: BinaryIO,
    start: int,
    stop: int | None,
    block_size: int,
    max_record: int,
    uri: str,
    take_large: TakeLarge | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Whole lines whose first byte lies in [start, stop), about `block_size` bytes at a time.

    Gives (offset, bytes); the bytes end with LF, but perhaps at the end of the stream. The stream
    is before the byte `start` - 1, which tells whether a line begins at `start`, or at its beginning.
    `stop` None: all lines. The cuts depend on the arguments and the content alone. Raises
    RecordTooLarge; with `take_large` a line that is too long is left out, and its place, its beginning
    and the error are given to that.
    """
    probes = block_size >= PROBED_BLOCK and isinstance(stream, io.BufferedReader)
    offset, data = _first_line(stream, start, stop, PROBE if probes else block_size)
    window = offset
    if probes and start:
        stream.seek(offset)
        data = b""
        window = start - 1 + (offset - start + 1) // block_size * block_size
    head: list[bytes] = []  # the beginning of a line, in pieces that are joined once
    held = 0
    while stop is None or offset < stop:
        if data:
            window = offset + held + len(data)
        else:
            window += block_size
            whole = _line_end(stream, offset + held, window, stop) if probes else 0
            data = read_fully(stream, (whole or window) - offset - held)
        end = _whole_lines(data, None if stop is None else stop - offset - held)
        if end or not data:
            block = data if end == len(data) and not held else b"".join((*head, memoryview(data)[:end]))
            if len(block) > max_record:
                yield from _without_large(block, offset, max_record, uri, take_large)
            elif block:
                yield offset, block
            offset += len(block)
            head = [data[end:]]
            held = len(head[0])
        else:
            head.append(data)
            held += len(data)
            if held > max_record + 2:
                error = record_too_large(uri, offset, max_record)
                if take_large is None:
                    raise error
                length, data = _rest_of_line(stream, block_size)
                take_large(Location(uri, offset, held + length), b"".join(head)[:LARGE_SHOWN], error)
                offset += held + length + 1
                head, held, window = [], 0, offset
                continue
        if not data:
            return
        data = b""


def _first_line(stream: BinaryIO, start: int, stop: int | None, block_size: int) -> tuple[int, bytes]:
    """The offset of the first line that begins at or after `start`, and what has been read from there."""
    if start == 0:
        return 0, b""
    offset = start - 1
    while stop is None or offset < stop:
        data = read_fully(stream, block_size)
        if not data:
            break
        found = data.find(LF)
        if found >= 0:
            return offset + found + 1, data[found + 1 :]
        offset += len(data)
    return (offset if stop is None else max(offset, stop)), b""


def _line_end(stream: BinaryIO, offset: int, window: int, stop: int | None) -> int:
    """Where the last line ends that should be read from `offset` on, if that is easily seen; else 0. The
    stream is at `offset` before and after.

    A block that is read to its end is not copied to be cut.
    """
    ends_split = stop is not None and stop <= window
    start = stop - 1 if ends_split and stop is not None else max(offset, window - PROBE)
    stream.seek(start)
    data = stream.read(min(PROBE, window - start))
    stream.seek(offset)
    found = data.find(LF) if ends_split else data.rfind(LF)
    return 0 if found < 0 else start + found + 1


def _whole_lines(data: bytes, limit: int | None) -> int:
    """Length of the lines that end in `data` and begin before `limit`; one has begun before it."""
    if limit is not None and limit <= len(data):
        end = data.find(LF, max(limit - 1, 0)) + 1
        if end:
            return end
    return data.rfind(LF) + 1


def _without_large(
    block: bytes, offset: int, max_record: int, uri: str, take_large: TakeLarge | None
) -> Iterator[tuple[int, bytes]]:
    """The stretches of a block between lines that are too long."""
    first = start = 0
    while start < len(block):
        found = block.find(LF, start)
        end = len(block) if found < 0 else found
        length = len(block[start:end].removesuffix(b"\r"))
        if length > max_record:
            error = record_too_large(uri, offset + start, max_record)
            if take_large is None:
                raise error
            if start > first:
                yield offset + first, block[first:start]
            take_large(Location(uri, offset + start, length), block[start : start + LARGE_SHOWN], error)
            first = end + 1
        start = end + 1
    if first < len(block):
        yield offset + first, block[first:]


def _rest_of_line(stream: BinaryIO, block_size: int) -> tuple[int, bytes]:
    """Read to the next line's beginning: how long the rest of this one is, and what was read of the next."""
    length = 0
    while data := read_fully(stream, block_size):
        found = data.find(LF)
        if found >= 0:
            return length + found, data[found + 1 :]
        length += len(data)
    return length, b""


def record_too_large(uri: str, offset: int, max_record: int) -> RecordTooLarge:
    """The error for a record, with where it begins."""
    return RecordTooLarge(
        f"{uri}: the record at byte {offset:,} is longer than max_record ({max_record:,} bytes).",
        hint="Raise max_record, or look whether the file is text at all.",
        place="too large",
    )

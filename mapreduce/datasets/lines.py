"""Cutting a byte stream at line ends. Only LF ends a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from mapreduce.errors import RecordTooLarge

LF = b"\n"


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
    stream: BinaryIO, start: int, stop: int | None, block_size: int, max_record: int, uri: str
) -> Iterator[tuple[int, bytes]]:
    """Whole lines whose first byte lies in [start, stop), about `block_size` bytes at a time.

    Gives (offset, bytes); the bytes end with LF, but perhaps at the end of the stream. The stream
    is before the byte `start` - 1, which tells whether a line begins at `start`, or at its beginning.
    `stop` None: all lines. The cuts depend on the arguments and the content alone. Raises
    RecordTooLarge.
    """
    offset, data = _first_line(stream, start, stop, block_size)
    head: list[bytes] = []  # the beginning of a line, in pieces that are joined once
    held = 0
    while stop is None or offset < stop:
        data = data or read_fully(stream, block_size)
        end = _whole_lines(data, None if stop is None else stop - offset - held)
        if end or not data:
            block = b"".join((*head, memoryview(data)[:end]))
            if block:
                _check_lengths(block, offset, max_record, uri)
                yield offset, block
            offset += len(block)
            head = [data[end:]]
            held = len(head[0])
        else:
            head.append(data)
            held += len(data)
            if held > max_record + 2:
                raise record_too_large(uri, offset, max_record)
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


def _whole_lines(data: bytes, limit: int | None) -> int:
    """Length of the lines that end in `data` and begin before `limit`; one has begun before it."""
    if limit is not None and limit <= len(data):
        end = data.find(LF, max(limit - 1, 0)) + 1
        if end:
            return end
    return data.rfind(LF) + 1


def _check_lengths(block: bytes, offset: int, max_record: int, uri: str) -> None:
    if len(block) <= max_record:
        return
    for line in block.split(LF):
        if len(line.removesuffix(b"\r")) > max_record:
            raise record_too_large(uri, offset, max_record)
        offset += len(line) + 1


def record_too_large(uri: str, offset: int, max_record: int) -> RecordTooLarge:
    """The error for a record, with where it begins."""
    return RecordTooLarge(
        f"{uri}: the record at byte {offset:,} is longer than max_record ({max_record:,} bytes).",
        hint="Raise max_record, or look whether the file is text at all.",
    )

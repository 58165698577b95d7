"""Blocks: consecutive records of a file, and where each stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol, TypeVar

from mapreduce.datasets.lines import LF
from mapreduce.model import Location


class LineBlock:
    """Records that are lines of one file: their bytes and their records.

    `lines` are the numbers, within the block, of the lines that are records; None: all are.
    """

    __slots__ = ("_data", "_lines", "_offset", "_starts", "_uri", "records")

    def __init__(
        self, uri: str, offset: int, data: bytes, records: list[Any], lines: Sequence[int] | None = None
    ) -> None:
        self._uri, self._offset, self._data = uri, offset, data
        self.records = records
        self._lines = lines
        self._starts: list[int] = []

    @property
    def size(self) -> int:
        """Bytes of the lines with their ends."""
        return len(self._data)

    @property
    def location(self) -> Location:
        """Of the whole block."""
        return Location(self._uri, self._offset, len(self._data))

    def locate(self, index: int) -> Location:
        """Of one record: its own bytes, without the line's end."""
        if not self._starts:
            self._starts = line_starts(self._data)
        line = index if self._lines is None else self._lines[index]
        start = self._starts[line]
        end = min(self._starts[line + 1], len(self._data) + 1) - 1
        if self._data[end - 1 : end] == b"\r" and end < len(self._data):
            end -= 1
        return Location(self._uri, self._offset + start, end - start)


def line_starts(data: bytes) -> list[int]:
    """Where each line begins, and the place behind the last one."""
    return list(accumulate((len(line) + 1 for line in data.split(LF)), initial=0))


class SpanBlock:
    """Records that may have several lines, each with its place in the file."""

    __slots__ = ("_size", "_spans", "_uri", "records")

    def __init__(self, uri: str, records: list[Any], spans: list[tuple[int, int]], size: int) -> None:
        self._uri, self._spans, self._size = uri, spans, size
        self.records = records

    @property
    def size(self) -> int:
        """Bytes of the records with their line ends."""
        return self._size

    @property
    def location(self) -> Location:
        """Of the whole block."""
        start = self._spans[0][0]
        return Location(self._uri, start, sum(self._spans[-1]) - start)

    def locate(self, index: int) -> Location:
        """Of one record: its own bytes, without the line's end."""
        return Location(self._uri, *self._spans[index])


class _Place(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def location(self) -> Location: ...

    def locate(self, index: int) -> Location: ...


class PlacedFrame:
    """A frame whose rows are the records of a block."""

    __slots__ = ("_block", "frame")

    def __init__(self, frame: Any, block: _Place) -> None:
        self.frame = frame
        self._block = block

    @property
    def size(self) -> int:
        """Bytes, after decompression."""
        return self._block.size

    @property
    def location(self) -> Location:
        """Of the whole block."""
        return self._block.location

    def locate(self, index: int) -> Location:
        """Of one row's record."""
        return self._block.locate(index)


class _Records(Protocol):
    records: list[Any]


B = TypeVar("B", bound=_Records)


def first_records(blocks: Iterable[B], count: int | None) -> Iterator[B]:
    """The blocks that hold the first `count` records, the last one cut short; no empty ones."""
    left = count
    for block in blocks:
        if left is not None:
            block.records = block.records[:left]
            left -= len(block.records)
        if block.records:
            yield block
        if left == 0:
            return


def first_rows(frames: Iterable[PlacedFrame], count: int | None) -> Iterator[PlacedFrame]:
    """The same for frames and rows."""
    left = count
    for block in frames:
        if left is not None:
            block.frame = block.frame.head(left)
            left -= block.frame.height
        if block.frame.height:
            yield block
        if left == 0:
            return

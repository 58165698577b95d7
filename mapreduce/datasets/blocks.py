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

    def of_lines(self, lines: Sequence[int]) -> LineBlock:
        """The same records, as those of other lines of the block."""
        return LineBlock(self._uri, self._offset, self._data, self.records, lines)

    def without(self, index: int) -> LineBlock:
        """The block without one record."""
        lines = range(len(self.records)) if self._lines is None else self._lines
        rest = [*self.records[:index], *self.records[index + 1 :]]
        return LineBlock(self._uri, self._offset, self._data, rest, [*lines[:index], *lines[index + 1 :]])


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

    def chosen(self, indexes: Sequence[int]) -> SpanBlock:
        """Some of the records."""
        records = [self.records[index] for index in indexes]
        return SpanBlock(self._uri, records, [self._spans[index] for index in indexes], self._size)


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


class Selection:
    """Some records of a block, or rows of a frame's block, as a block.

    first: the number of the block's first record within its split; a selection of a selection knows it.
    """

    __slots__ = ("_block", "_indexes", "_numbers", "frame", "records")

    frame: Any

    def __init__(self, block: Any, indexes: Sequence[int], first: int | None = None) -> None:
        self._block, self._indexes = block, indexes
        if first is None:
            self._numbers = getattr(block, "number", _unknown)
        else:
            self._numbers = range(first, first + size_of(block)).__getitem__
        self.frame = block.frame[list(indexes)] if _has_frame(block) else None
        self.records = [] if _has_frame(block) else [block.records[index] for index in indexes]

    @property
    def size(self) -> int:
        """Bytes of the whole block."""
        return self._block.size  # type: ignore[no-any-return]

    @property
    def location(self) -> Location:
        """Of a record that is alone, or of the whole block."""
        return self.locate(0) if len(self._indexes) == 1 else self._block.location

    def locate(self, index: int) -> Location:
        """Of one record."""
        return self._block.locate(self._indexes[index])  # type: ignore[no-any-return]

    def number(self, index: int) -> int:
        """Of one record, within its split; -1 if it is not known."""
        return self._numbers(self._indexes[index])


def _unknown(_: int) -> int:
    return -1


def size_of(block: Any) -> int:
    """Number of a block's records, or rows."""
    return block.frame.height if _has_frame(block) else len(block.records)


def record_of(block: Any, index: int) -> Any:
    """One record of a block; of a frame's block, one row as a dict."""
    return block.frame.row(index, named=True) if _has_frame(block) else block.records[index]


def _has_frame(block: Any) -> bool:
    return getattr(block, "frame", None) is not None


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

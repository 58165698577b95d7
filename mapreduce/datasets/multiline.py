"""Records of several lines: one begins where a pattern matches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from mapreduce.datasets.blocks import SpanBlock, line_starts
from mapreduce.datasets.lines import record_too_large


class Grouping:
    """Makes records of lines that are added block by block.

    A record belongs to the split if its first line begins in [start, stop). Lines before the first
    match are a record at the file's beginning only; elsewhere they belong to the split before.
    """

    def __init__(self, pattern: str, uri: str, start: int, stop: int | None, max_record: int) -> None:
        self._match = re.compile(pattern).match
        self._uri, self._stop, self._max_record = uri, stop, max_record
        self._begins_file = start == 0
        self._lines: list[str] = []
        """Of the open record; no lines: none is open."""
        self._first = self._end = 0
        """Where the open record begins, and where its last line ends."""
        self.ended = False
        """All records of the split have been given."""

    def add(self, offset: int, data: bytes, lines: list[str]) -> SpanBlock | None:
        """Take whole lines; give the records that they complete."""
        starts = line_starts(data)
        begins = [index for index, line in enumerate(lines) if self._match(line)]
        if self._begins_file and lines and begins[:1] != [0]:
            begins.insert(0, 0)
        end = self._last_line(begins, starts, offset, len(lines))
        begins = [index for index in begins if index < end]
        done: list[tuple[str, int, int]] = []
        if self._lines and (head := begins[0] if begins else end):
            self._extend(offset, data, lines[:head], starts, head)
        if begins:
            self._close(done)
            done += self._whole(offset, data, lines, starts, begins)
            self._first = offset + starts[begins[-1]]
            self._extend(offset, data, lines[begins[-1] : end], starts, end)
        if not self._lines and self._stop is not None and offset + len(data) >= self._stop:
            self.ended = True
        if self.ended:
            self._close(done)
        return self._block(done)

    def _whole(
        self, offset: int, data: bytes, lines: list[str], starts: list[int], begins: list[int]
    ) -> Iterator[tuple[str, int, int]]:
        """The records that begin and end in a block: all but the last one that begins."""
        has_cr = b"\r" in data
        for first, following in pairwise(begins):
            text = lines[first] if following - first == 1 else "\n".join(lines[first:following])
            length = starts[following] - 1 - starts[first]
            if has_cr:
                last = starts[following - 1]
                length = last + _length(data, last, starts[following]) - starts[first]
            if length > self._max_record:
                raise record_too_large(self._uri, offset + starts[first], self._max_record)
            yield text, offset + starts[first], length

    def _last_line(self, begins: list[int], starts: list[int], offset: int, count: int) -> int:
        """The number of the lines before the first record of the next split."""
        first_of_file, self._begins_file = self._begins_file and count > 0, self._begins_file and not count
        if self._stop is None or offset + starts[-1] <= self._stop:
            return count
        for index in begins[1:] if first_of_file else begins:  # a byte order mark may stand before it
            if offset + starts[index] >= self._stop:
                self.ended = True
                return index
        return count

    def _extend(self, offset: int, data: bytes, lines: list[str], starts: list[int], following: int) -> None:
        """Add lines to the open record; `following` is the number of the line behind them."""
        self._lines += lines
        start = starts[following - 1]
        self._end = offset + start + _length(data, start, starts[following])
        if self._end - self._first > self._max_record:
            raise record_too_large(self._uri, self._first, self._max_record)

    def finish(self) -> SpanBlock | None:
        """The record that the end of the file completes."""
        done: list[tuple[str, int, int]] = []
        self._close(done)
        return self._block(done)

    def _close(self, done: list[tuple[str, int, int]]) -> None:
        if self._lines:
            done.append(("\n".join(self._lines), self._first, self._end - self._first))
            self._lines = []

    def _block(self, done: list[tuple[str, int, int]]) -> SpanBlock | None:
        if not done:
            return None
        spans = [(first, length) for _, first, length in done]
        return SpanBlock(
            self._uri, [text for text, *_ in done], spans, sum(length + 1 for _, length in spans)
        )


def _length(data: bytes, start: int, following: int) -> int:
    """Bytes of a line without its end."""
    end = min(following, len(data) + 1) - 1
    if end < len(data) and data[end - 1 : end] == b"\r" and end > start:
        end -= 1
    return end - start

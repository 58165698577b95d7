"""Records of several lines: one begins where a pattern matches."""

from __future__ import annotations

import re

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
        records: list[str] = []
        spans: list[tuple[int, int]] = []
        for index, line in enumerate(lines):
            at = 0 if self._begins_file else offset + starts[index]  # 0: before a byte order mark
            begins = self._match(line) is not None
            if begins:
                self._close(records, spans)
            if not self._lines and self._stop is not None and at >= self._stop:
                self.ended = True
                break
            if not self._lines:
                if not begins and not self._begins_file:
                    continue
                self._first = offset + starts[index]
            self._begins_file = False
            self._lines.append(line)
            self._end = offset + starts[index] + _length(data, starts[index], starts[index + 1])
            self._check_length()
        return self._block(records, spans)

    def finish(self) -> SpanBlock | None:
        """The record that the end of the file completes."""
        records: list[str] = []
        spans: list[tuple[int, int]] = []
        self._close(records, spans)
        return self._block(records, spans)

    def _close(self, records: list[str], spans: list[tuple[int, int]]) -> None:
        if self._lines:
            records.append("\n".join(self._lines))
            spans.append((self._first, self._end - self._first))
            self._lines = []

    def _block(self, records: list[str], spans: list[tuple[int, int]]) -> SpanBlock | None:
        if not records:
            return None
        return SpanBlock(self._uri, records, spans, sum(length + 1 for _, length in spans))

    def _check_length(self) -> None:
        if self._end - self._first > self._max_record:
            raise record_too_large(self._uri, self._first, self._max_record)


def _length(data: bytes, start: int, following: int) -> int:
    """Bytes of a line without its end."""
    end = min(following, len(data) + 1) - 1
    if end < len(data) and data[end - 1 : end] == b"\r" and end > start:
        end -= 1
    return end - start

"""The footer of a Parquet file: where its row groups lie.

Thrift's compact protocol, as far as a footer needs it: github.com/apache/thrift,
doc/specs/thrift-compact-protocol.md; the fields are those of parquet-format's parquet.thrift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

from mapreduce.datasets.lines import read_fully

MAGIC = b"PAR1"


class NoParquet(Exception):
    """Why bytes are no Parquet file."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that are stored together."""

    first_row: int
    rows: int
    start: int
    """Of its first stored byte."""
    stop: int
    """Behind its last stored byte."""
    size: int
    """Bytes before compression."""


def read_row_groups(stream: BinaryIO, size: int) -> list[RowGroup]:
    """The row groups of a file of `size` bytes, in order, without empty ones. Raises NoParquet."""
    stream.seek(max(size - 8, 0))
    tail = read_fully(stream, 8)
    if size < 12 or tail[4:] != MAGIC:
        raise NoParquet("it is encrypted" if tail[4:] == b"PARE" else "it does not end as Parquet does")
    length = int.from_bytes(tail[:4], "little")
    if length > size - 12:
        raise NoParquet("its footer is longer than the file")
    stream.seek(size - 8 - length)
    try:
        footer = _Compact(read_fully(stream, length)).struct()
        return _groups(footer, size)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise NoParquet("its footer is damaged") from error


def _groups(footer: dict[int, Any], size: int) -> list[RowGroup]:
    groups: list[RowGroup] = []
    row = 0
    for group in footer.get(4, []):
        rows = group[3]
        if rows < 0:
            raise ValueError("a negative number of rows")
        if rows:
            groups.append(RowGroup(row, rows, *_range(group), max(group[2], 0)))
        row += rows
    if row != footer[3]:
        raise ValueError("rows that no group has")
    starts = [group.start for group in groups]
    if starts != sorted(set(starts)) or any(not 0 < group.start < group.stop < size for group in groups):
        raise ValueError("row groups that overlap")
    return groups


def _range(group: dict[int, Any]) -> tuple[int, int]:
    """From the first byte of the first column (its dictionary, if there is one) to the last one's end."""
    ranges = []
    for column in group[1]:
        meta = column[3]
        start = min(filter(None, (meta.get(11), meta[9])))
        ranges.append((start, start + meta[7]))
    return min(start for start, _ in ranges), max(stop for _, stop in ranges)


class _Compact:
    """Values as numbers, bytes, lists, and structs as dicts of field number → value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind, delta = head & 15, head >> 4
            number = number + delta if delta else self._number()
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2):  # in lists a boolean is a byte
            return self._byte() == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._number()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._unsigned())
        if kind in (9, 10):
            return self._list()
        if kind == 12:
            return self.struct()
        raise ValueError(f"type {kind}")

    def _list(self) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._unsigned()
        if count > len(self._data):
            raise ValueError("a list longer than the footer")
        return [self._value(kind) for _ in range(count)]

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _bytes(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count]
        if len(data) < count:
            raise IndexError("the footer ends early")
        self._at += count
        return data

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _number(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

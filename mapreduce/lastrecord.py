"""The record that a careful attempt gave to the function last: a few bytes that outlive a killed process."""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapreduce.failures import shown

_SIZE = 4096
_HEAD = struct.Struct("<Iqq")
"""Length of the text, number of the record within its split or -1, how many records."""


class LastRecord:
    """Notes one record after another in a small file, which the system keeps whatever ends the process.

    suspected: numbers of records one of which has ended a process, where it is not known which.
    """

    def __init__(self, path: Path, suspected: range = range(0)) -> None:
        self._suspected = suspected
        with open(path, "w+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)

    def note(self, where: object, record: object = None, number: int = -1, count: int = 1) -> None:
        """Say where the function is, and the record or key that it is about to get.

        number, count: which records of the split they are; -1 for what is none.
        """
        text = f"{where}\0{shown(record) if record is not None else ''}"
        data = text.encode("utf-8", "backslashreplace")[: _SIZE - _HEAD.size]
        self.clear()
        self._map[_HEAD.size : _HEAD.size + len(data)] = data
        self._map[: _HEAD.size] = _HEAD.pack(len(data), number, count)

    def clear(self) -> None:
        """The function is at no record."""
        self._map[: _HEAD.size] = bytes(_HEAD.size)

    def suspects(self, block: Any) -> bool:
        """Whether a block holds suspected records, and so must be given record by record."""
        return bool(self._suspected) and any(
            block.number(index) in self._suspected for index in range(block.frame.height)
        )


@dataclass(frozen=True, slots=True)
class Noted:
    """Where a function was when its process ended; empty if it did not say."""

    where: str = ""
    record: str = ""
    records: range | None = None
    """Numbers within the split."""


def last_record(path: Path) -> Noted:
    """What a process noted last."""
    with suppress(OSError):
        data = path.read_bytes()
        if len(data) < _HEAD.size:
            return Noted()
        length, number, count = _HEAD.unpack_from(data)
        where, _, record = data[_HEAD.size : _HEAD.size + length].decode("utf-8", "replace").partition("\0")
        numbers = range(number, number + count) if where and number >= 0 else None
        return Noted(where, record, numbers)
    return Noted()

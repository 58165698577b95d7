"""The record that a careful attempt gave to the function last: a few bytes that outlive a killed process."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path

from mapreduce.failures import shown

_SIZE = 4096
_COUNT = 4
"""Bytes of the length that stands in front."""


class LastRecord:
    """Notes one record after another in a small file, which the system keeps whatever ends the process."""

    def __init__(self, path: Path) -> None:
        with open(path, "w+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)

    def note(self, where: object, record: object = None) -> None:
        """Say where the function is, and the record or key that it is about to get."""
        text = f"{where}\0{shown(record) if record is not None else ''}"
        data = text.encode("utf-8", "backslashreplace")[: _SIZE - _COUNT]
        self.clear()
        self._map[_COUNT : _COUNT + len(data)] = data
        self._map[:_COUNT] = len(data).to_bytes(_COUNT, "little")

    def clear(self) -> None:
        """The function is at no record."""
        self._map[:_COUNT] = bytes(_COUNT)


def last_record(path: Path) -> tuple[str, str]:
    """Where a process was and the record as text; two empty strings if it did not say."""
    with suppress(OSError):
        data = path.read_bytes()
        text = data[_COUNT : _COUNT + int.from_bytes(data[:_COUNT], "little")].decode("utf-8", "replace")
        where, _, record = text.partition("\0")
        return where, record
    return "", ""

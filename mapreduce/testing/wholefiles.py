"""What a file's records are, in plain Python: all bytes at once, no blocks, no splits."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mapreduce.datasets import Csv, JsonLines, Parquet, Text
from mapreduce.model import InputFile, Location
from mapreduce.store import inputs


@dataclass
class Whole:
    """All records of one file, with the place of each."""

    records: list[Any]
    places: list[Location]
    location: Location

    @property
    def size(self) -> int:
        """Bytes, or what the format counts in."""
        return self.location.length

    def locate(self, index: int) -> Location:
        """Of one record."""
        return self.places[index]


Line = tuple[str, int, int]
"""Text, offset and length of a record."""


def read_whole(source: Text | JsonLines | Csv | Parquet, file: InputFile, *, lenient: bool = False) -> Whole:
    """The records of one file. For a file that isn't valid, any exception.

    lenient: lines and rows that are no records are left out. (Not in CSV with quotes that don't match.)
    """
    if isinstance(source, Parquet):
        return _read_parquet(source, file)
    with inputs.opened(file) as stream:
        data = _unpacked(stream.read())
    start = 3 if source.encoding == "utf-8" and data.startswith(b"\xef\xbb\xbf") else 0
    found: list[tuple[Any, int, int]]
    if isinstance(source, Csv):
        found = list(_rows(source, data, start, lenient))
    elif isinstance(source, JsonLines):
        lines = [line for line in _lines(source, data, start, lenient) if line[0].strip()]
        found = [(json.loads(text), *place) for text, *place in lines if not lenient or _is_json(text)]
    elif source.record_start is not None:
        found = _grouped(source.record_start, list(_lines(source, data, start, False)))
    else:
        found = list(_lines(source, data, start, lenient))
    places = [Location(file.uri, offset, length) for _, offset, length in found]
    return Whole([record for record, *_ in found], places, Location(file.uri, start, len(data) - start))


def _unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"BZh") and data[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return bz2.decompress(data)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        pieces = []
        while data:
            frame = zstandard.ZstdDecompressor().decompressobj()
            pieces.append(frame.decompress(data))
            data = frame.unused_data
        return b"".join(pieces)
    return data


def _lines(source: Text | JsonLines, data: bytes, start: int, lenient: bool) -> Iterator[Line]:
    *ended, rest = data[start:].split(b"\n")
    for line, text in [(line, line.removesuffix(b"\r")) for line in ended] + ([(rest, rest)] if rest else []):
        try:
            if not lenient or len(text) <= source.max_record:
                yield text.decode(source.encoding, source.errors), start, len(text)
        except UnicodeDecodeError:
            if not lenient:
                raise
        start += len(line) + 1


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _grouped(pattern: str, lines: list[Line]) -> list[Line]:
    groups: list[list[Line]] = []
    for line in lines:
        if not groups or re.match(pattern, line[0]):
            groups.append([])
        groups[-1].append(line)
    return [
        ("\n".join(text for text, *_ in group), group[0][1], group[-1][1] + group[-1][2] - group[0][1])
        for group in groups
    ]


def _read_parquet(source: Parquet, file: InputFile) -> Whole:
    import polars as pl

    with inputs.opened(file) as stream:
        records = pl.read_parquet(stream.read(), columns=source.columns).to_dicts()
    places = [Location(file.uri, index, 1, "row") for index in range(len(records))]
    return Whole(records, places, Location(file.uri, 0, len(records), "row"))


# ---------------------------------------------------------------- CSV


def _rows(source: Csv, data: bytes, start: int, lenient: bool) -> Iterator[tuple[Any, int, int]]:
    """The records of a CSV file: its bytes one after another, in an encoding whose bytes stand alone."""
    names: list[str] | None = source.header if isinstance(source.header, list) else None
    for row, offset, length in _split_rows(source, data, start):
        if source.header is False:
            yield tuple(row), offset, length
        elif names is None:
            names = row
        elif not lenient or len(row) == len(names):
            yield dict(zip(names, row, strict=True)), offset, length


def _split_rows(source: Csv, data: bytes, start: int) -> Iterator[tuple[list[str], int, int]]:
    at = start
    while at < len(data):
        row, end, following = _one_row(source, data, at)
        if end > at:
            yield row, at, end - at
        at = following


def _one_row(source: Csv, data: bytes, at: int) -> tuple[list[str], int, int]:
    """The fields of the row that begins at `at`, its end, and the beginning of the next line."""
    quote = source.quote.encode(source.encoding) if source.quote else b"\n"
    separator = source.separator.encode(source.encoding)
    fields: list[str] = []
    while True:
        field = b""
        if source.quote and data.startswith(quote, at):
            at += len(quote)
            while True:
                end = data.index(quote, at)
                field += data[at:end]
                at = end + len(quote)
                if not data.startswith(quote, at):
                    break
                field += quote
                at += len(quote)
        while at < len(data) and not data.startswith((b"\n", b"\r\n", separator), at):
            field += data[at : at + 1]
            at += 1
        fields.append(field.decode(source.encoding, source.errors))
        if at >= len(data) or not data.startswith(separator, at):
            return fields, at, at + (2 if data.startswith(b"\r\n", at) else 1)
        at += len(separator)

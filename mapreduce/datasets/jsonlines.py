"""JSON lines: a JSON value a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.scanner import make_scanner
from typing import Any, BinaryIO

from mapreduce.datasets.base import FRAMES_BLOCK, RECORDS_BLOCK, LineDataset, Paths
from mapreduce.datasets.blocks import LineBlock, PlacedFrame, SpanBlock, first_records
from mapreduce.datasets.lines import LF
from mapreduce.datasets.schema import Misfit, checked_schema, column, demanded_schema
from mapreduce.datasets.writers import JsonLinesWriter
from mapreduce.errors import RecordMalformed
from mapreduce.keys import as_key
from mapreduce.model import Location, Split
from mapreduce.protocols import RecordWriter

_SPACE = " \t\r"
_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]


class JsonLines(LineDataset):
    """A source of JSON values, one a line, and an output of JSON objects.

    A record is what Python's json makes of the line: integers of any size stay exact, NaN and
    Infinity are taken, of equal names in an object the last one counts. A line of spaces, tabs and
    CR is no record; a UTF-8 byte order mark at the start of a file goes. A line that is no JSON ends
    the job with RecordMalformed.

    As an output, in UTF-8, a dict is written as it is, a pair as `{"key": …, "value": …}`.

    paths: a path, glob, directory, URL, or a list of these; as an output one directory.
    schema: the columns of frames, a dict of name → str, int, float, bool, date, datetime (in ISO
        form) or a polars type. A field that is missing is null, other fields are left out; a value
        of another type ends the job, but an integer fits into a float column.
    encoding, errors, split_size, block_size, max_record, max_ratio, growing, storage_options,
    compression: as for `Text`.
    """

    format_suffix = ".jsonl"

    def __init__(
        self,
        paths: Paths,
        *,
        schema: dict[str, Any] | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        split_size: int | str = "32MB",
        block_size: int | str | None = None,
        max_record: int | str = "64MB",
        max_ratio: int = 500,
        growing: str | None = None,
        storage_options: str | None = None,
        compression: str | None = None,
    ) -> None:
        super().__init__(
            paths,
            encoding=encoding,
            errors=errors,
            split_size=split_size,
            block_size=block_size,
            max_record=max_record,
            max_ratio=max_ratio,
            growing=growing,
            storage_options=storage_options,
            compression=compression,
        )
        self.schema = checked_schema(schema, "JsonLines")

    def read(self, split: Split) -> Iterator[LineBlock]:
        """The values of the lines whose first byte lies in the split."""
        return first_records(self._blocks(split, RECORDS_BLOCK), split.records)

    def read_frames(self, split: Split) -> Iterator[PlacedFrame]:
        """The same records, objects all, as frames with the columns of `schema`."""
        schema = demanded_schema(self.schema, "JsonLines")
        blocks = first_records(self._blocks(split, FRAMES_BLOCK), split.records)
        return (self._placed(block, schema) for block in blocks)

    def _placed(self, block: LineBlock, schema: dict[str, Any]) -> PlacedFrame:
        """A frame of a block; objects that do not fit the schema are left out, where they are set aside."""
        while True:
            try:
                return PlacedFrame(_frame(block, schema), block)
            except _NoRow as error:
                if self._take_bad is None:
                    raise error.told from None
                line = json.dumps(block.records[error.row], ensure_ascii=False)
                self._take_bad(block.locate(error.row), line.encode(), error.told)
                block = block.without(error.row)

    def _blocks(self, split: Split, size: int) -> Iterator[LineBlock]:
        uri = split.file.uri
        with self._opened(split) as stream:
            for offset, data in self._data(stream, split.file, *self._range(split), size):
                lines, numbers = self._decoded(data, offset, uri)
                kept = [index for index, line in enumerate(lines) if line.strip(_SPACE)]
                if len(kept) < len(lines):
                    lines, numbers = [lines[i] for i in kept], [numbers[i] if numbers else i for i in kept]
                yield self._parsed(lines, LineBlock(uri, offset, data, [], numbers), numbers)

    def _parsed(self, lines: list[str], block: LineBlock, numbers: list[int] | None) -> LineBlock:
        """The block with what its lines say."""
        try:
            block.records = _values(lines, block)
            return block
        except RecordMalformed:
            if self._take_bad is None:
                raise
        good = []
        for index, line in enumerate(lines):
            try:
                block.records.append(_value(line, block, index))
                good.append(index)
            except RecordMalformed as error:
                self._take_bad(block.locate(index), line.encode(self.encoding, "surrogateescape"), error)
        return block.of_lines([numbers[index] if numbers else index for index in good])

    def parse(self, data: bytes, place: Location) -> Any:
        """The value of a line that stood at a place. Raises DecodeError, RecordMalformed."""
        (line,) = self._lines.decode(data + LF, place.offset, place.uri)
        return _value(line, SpanBlock(place.uri, [None], [(place.offset, place.length)], place.length), 0)

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of one part."""
        return JsonLinesWriter(stream)

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """Dicts; of pairs, (key, value), a key that is an array as a tuple."""
        for line in stream:
            record = json.loads(line)
            yield (as_key(record["key"]), record["value"]) if pairs else record


def _values(lines: list[str], block: LineBlock) -> list[Any]:
    """What the lines say. The decoder's own scanner spares each line two searches for space."""
    values: list[Any] = []
    append, scan = values.append, _scan
    for line in lines:
        try:
            value, end = scan(line, 0)
        except (StopIteration, ValueError, RecursionError):
            end = -1
        append(value if end == len(line) else _value(line, block, len(values)))
    return values


def _value(line: str, block: LineBlock | SpanBlock, index: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise malformed(block.locate(index), f"no JSON: {error}", line) from error


def malformed(place: Location, why: str, line: str) -> RecordMalformed:
    """The error for a line, with its place and its beginning."""
    return RecordMalformed(
        f"{place}: {why}: {line[:200]!r}{'…' if len(line) > 200 else ''}.",
        hint="Mend the file, or set such records aside with on_error=Quarantine(…).",
        place=f"malformed:{why}",
    )


def _frame(block: LineBlock, schema: dict[str, Any]) -> Any:
    import polars as pl

    records = block.records
    for index, record in enumerate(records):
        if type(record) is not dict:
            told = malformed(block.locate(index), "a frame needs objects", json.dumps(record))
            raise _NoRow(index, told)
    try:
        return pl.DataFrame(
            [column(name, [record.get(name) for record in records], kind) for name, kind in schema.items()]
        )
    except Misfit as error:
        line = json.dumps(records[error.row], ensure_ascii=False)
        raise _NoRow(error.row, malformed(block.locate(error.row), str(error), line)) from None


class _NoRow(Exception):
    """A record that is no row of a frame, and what to say about it."""

    def __init__(self, row: int, told: RecordMalformed) -> None:
        super().__init__(row)
        self.row, self.told = row, told

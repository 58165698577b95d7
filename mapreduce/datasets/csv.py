"""CSV: fields between separators, a row a line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from mapreduce.datasets.base import FRAMES_BLOCK, RECORDS_BLOCK, LineDataset, Paths
from mapreduce.datasets.blocks import (
    LineBlock,
    PlacedFrame,
    Selection,
    SpanBlock,
    first_records,
    first_rows,
    line_starts,
)
from mapreduce.datasets.csvframes import plain_text_frame, text_frame, typed
from mapreduce.datasets.csvrows import BadRow, RowJoiner, RowParser
from mapreduce.datasets.csvwriter import CsvWriter, read_rows
from mapreduce.datasets.lines import LF, record_too_large
from mapreduce.datasets.schema import Misfit, checked_schema, demanded_schema
from mapreduce.errors import InputError, JobError, RecordMalformed
from mapreduce.model import InputFile, Location, Split
from mapreduce.protocols import RecordWriter
from mapreduce.store import inputs

_ROWS_HINT = "Mend the file, or set such rows aside with on_error=Quarantine(…)."
_LINES_HINT = "If fields have line breaks within quotes, give multiline=True."


class Csv(LineDataset):
    """A source of rows, and an output of rows.

    A record is a dict of field name → str, or with header=False a tuple of str; an empty field is
    "". A field that begins with a quote ends with the quote that is not doubled. An empty line is no
    record. Only LF ends a line; a CR before it goes. A row that has more or fewer fields than the
    header (or the first row of its file), or whose quotes don't match, ends the job with
    RecordMalformed.

    As an output, every part begins with a header line, unless header=False. The first record of a
    part says which fields there are: a dict's, or `key` and `value` of a pair. None is an empty
    field, an empty str `""`; floats are written as Python's repr; lists, tuples and dicts as JSON.

    paths: a path, glob, directory, URL, or a list of these; as an output one directory.
    separator, quote: one character each; quote=None: no quotes.
    header: True: the first line of each file names the fields; False: there is none; or a list of
        names for files without a header line.
    multiline: fields may have line breaks within quotes; a file is then read by one task.
    schema: the columns of frames, a dict of name → str, int, float, bool ("true", "false"), date,
        datetime (in ISO form) or a polars type; with header=False, of all columns in order. An empty
        field is null where the type isn't str.
    encoding, errors, split_size, block_size, max_record, max_ratio, growing, storage_options,
    compression: as for `Text`.
    """

    format_suffix = ".csv"

    def __init__(
        self,
        paths: Paths,
        *,
        separator: str = ",",
        quote: str | None = '"',
        header: bool | Sequence[str] = True,
        multiline: bool = False,
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
        _check_characters(separator, quote)
        self.separator, self.quote, self.multiline = separator, quote, multiline
        self.header = _checked_header(header)
        self.schema = checked_schema(schema, "Csv")

    @property
    def _parser(self) -> RowParser:
        return RowParser(self.separator, self.quote)

    @property
    def _needs_whole_files(self) -> bool:
        return self.multiline

    # ------------------------------------------------------------ reading

    def read(self, split: Split) -> Iterator[LineBlock | SpanBlock]:
        """The rows whose first byte lies in the split."""
        return first_records(self._records(split), split.records)

    def _records(self, split: Split) -> Iterator[LineBlock | SpanBlock]:
        names, behind = self._head(split.file)
        for block in self._rows(split, RECORDS_BLOCK, len(names), behind):
            if self.header is False:
                block.records = list(map(tuple, block.records))
            else:
                block.records = [dict(zip(names, row, strict=True)) for row in block.records]
            yield block

    def read_frames(self, split: Split) -> Iterator[PlacedFrame]:
        """The same records as frames with the columns of `schema`."""
        schema = demanded_schema(self.schema, "Csv")
        return self._frames(split, schema)

    def _frames(self, split: Split, schema: dict[str, Any]) -> Iterator[PlacedFrame]:
        names, behind = self._head(split.file)
        columns = list(schema) if self.header is False else names
        if missing := [name for name in schema if name not in columns]:
            raise InputError(
                f"{split.file.uri} has no column {missing[0]!r}; it has {', '.join(names)[:200]}.",
                hint="Mend schema=, or give header=[names] for a file without a header line.",
            )
        frames = self._text_frames(split, columns, list(schema), behind)
        for placed in first_rows(frames, split.records):
            yield self._typed(placed, schema)

    def _typed(self, placed: PlacedFrame | Selection, schema: dict[str, Any]) -> PlacedFrame:
        """A frame with its types; rows that don't fit are left out, where they are set aside."""
        while True:
            try:
                return PlacedFrame(typed(placed.frame, schema), placed)
            except Misfit as error:
                place = placed.locate(error.row)
                told = RecordMalformed(f"{place}: {error}.", hint=_ROWS_HINT, place="malformed")
                if self._take_bad is None:
                    raise told from None
                row = self.separator.join(value or "" for value in placed.frame.row(error.row))
                self._take_bad(place, row.encode(self.encoding, "surrogateescape"), told)
                rows = range(placed.frame.height)
                placed = Selection(placed, [row for row in rows if row != error.row])

    def _text_frames(
        self, split: Split, columns: Sequence[str], wanted: Sequence[str], behind: int
    ) -> Iterator[PlacedFrame]:
        """Frames of String columns: by polars where a block has no quote, else row by row."""
        file, quote = split.file, (self.quote or "").encode()
        make = self._joined(file) if self.multiline else self._lined(file)
        simple = not self.multiline and (self.encoding, self.errors) == ("utf-8", "strict")
        with self._opened(split) as stream:
            for offset, data in self._data(stream, file, *self._range(split), FRAMES_BLOCK):
                skip = max(behind - offset, 0)
                frame = None
                if simple and not (quote and quote in data):
                    frame = plain_text_frame(columns, data[skip:], self.separator, wanted)
                if frame is not None:
                    yield PlacedFrame(frame, LineBlock(file.uri, offset + skip, data[skip:], []))
                elif block := make(offset, data, skip, len(columns)):
                    yield self._row_frame(block, columns, wanted)
        if block := make(file.size, b"", 0, len(columns)):
            yield self._row_frame(block, columns, wanted)

    @staticmethod
    def _row_frame(
        block: LineBlock | SpanBlock, columns: Sequence[str], wanted: Sequence[str]
    ) -> PlacedFrame:
        try:
            return PlacedFrame(text_frame(columns, block.records, wanted), block)
        except Misfit as error:
            raise RecordMalformed(f"{block.locate(error.row)}: {error}.", hint=_ROWS_HINT) from None

    def _rows(self, split: Split, size: int, width: int, behind: int) -> Iterator[LineBlock | SpanBlock]:
        """Blocks of rows, each a list of str, all of one width, from the byte `behind` the header on."""
        make = self._joined(split.file) if self.multiline else self._lined(split.file)
        with self._opened(split) as stream:
            for offset, data in self._data(stream, split.file, *self._range(split), size):
                if block := make(offset, data, max(behind - offset, 0), width):
                    yield block
        if block := make(split.file.size, b"", 0, width):
            yield block

    def _head(self, file: InputFile) -> tuple[list[str], int]:
        """The names of the fields, or the first row where there are none, and where the rows begin."""
        if isinstance(self.header, list):
            return self.header, 0
        make = self._joined(file) if self.multiline else self._lined(file)
        with self._opened(Split(0, file, 0, file.size)) as stream:
            for offset, data in self._data(stream, file, 0, None, RECORDS_BLOCK):
                if block := make(offset, data, 0, None):
                    return self._checked_head(block)
        block = make(file.size, b"", 0, None)
        return self._checked_head(block) if block else ([], 0)

    def _checked_head(self, block: LineBlock | SpanBlock) -> tuple[list[str], int]:
        names, place = block.records[0], block.locate(0)
        if self.header is False:
            return names, 0
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            why = f"two fields of the header are named {double!r}"
            raise self._malformed(place, why, self.separator.join(names), "Give header=[names].")
        return names, place.offset + place.length + 1

    def _lined(self, file: InputFile) -> Callable[..., LineBlock | None]:
        parser = self._parser

        def make(offset: int, data: bytes, skip: int, width: int | None) -> LineBlock | None:
            data, offset = data[skip:], offset + skip
            lines, numbers = self._decoded(data, offset, file.uri)
            kept = [index for index, line in enumerate(lines) if line]
            if len(kept) < len(lines):
                lines, numbers = [lines[i] for i in kept], [numbers[i] if numbers else i for i in kept]
            block = LineBlock(file.uri, offset, data, [], numbers)
            if width is None:
                lines = lines[:1]
            good, block.records = self._parsed(parser, lines, block, width)
            if len(good) < len(lines):
                block = block.of_lines([numbers[index] if numbers else index for index in good])
            return block if block.records else None

        return make

    def _joined(self, file: InputFile) -> Callable[..., SpanBlock | None]:
        parser = self._parser
        joiner = RowJoiner(parser)

        def make(offset: int, data: bytes, skip: int, width: int | None) -> SpanBlock | None:
            lines = self._lines.decode(data[skip:], offset + skip, file.uri, keep_cr=True)
            starts = line_starts(data[skip:])
            texts: list[str] = []
            spans: list[tuple[int, int]] = []
            for index, line in enumerate(lines):
                ended = starts[index + 1] <= len(data) - skip
                length = starts[index + 1] - starts[index] - 1
                text = joiner.add(line, ended, offset + skip + starts[index], length)
                if joiner.is_open and joiner.length > self.max_record:
                    raise record_too_large(file.uri, joiner.first, self.max_record)
                if text:
                    texts.append(text)
                    spans.append((joiner.first, joiner.length))
                    if width is None:
                        break
            if not data and joiner.is_open:
                place = Location(file.uri, joiner.first, joiner.length)
                raise self._malformed(place, "a quote is not closed", joiner.text)
            block = SpanBlock(file.uri, [], spans, sum(length + 1 for _, length in spans))
            good, rows = self._parsed(parser, texts, block, width)
            chosen = [spans[index] for index in good]
            return SpanBlock(file.uri, rows, chosen, block.size) if rows else None

        return make

    def _parsed(
        self, parser: RowParser, texts: list[str], block: LineBlock | SpanBlock, width: int | None
    ) -> tuple[Sequence[int], list[list[str]]]:
        """The rows of those texts that are rows, and their indexes."""
        try:
            rows = parser.parse_all(texts)
        except BadRow:
            rows = []
        if len(rows) == len(texts) and (width is None or all(len(row) == width for row in rows)):
            return range(len(rows)), rows
        good: list[int] = []
        rows = []
        for index, text in enumerate(texts):
            try:
                rows.append(self._row(parser, text, block.locate(index), width))
                good.append(index)
            except RecordMalformed as error:
                if self._take_bad is None or width is None:
                    raise
                self._take_bad(block.locate(index), text.encode(self.encoding, "surrogateescape"), error)
        return good, rows

    def parse(self, data: bytes, place: Location) -> Any:
        """The record of a row that stood at a place, under the header of its file as it is now.

        Raises InputError.
        """
        names, _ = self._head(inputs.describe(place.uri, self.profile))
        (text,) = self._lines.decode(data + LF, place.offset, place.uri)
        row = self._row(self._parser, text, place, len(names))
        return tuple(row) if self.header is False else dict(zip(names, row, strict=True))

    def _row(self, parser: RowParser, text: str, place: Location, width: int | None) -> list[str]:
        try:
            row = parser.parse(text)
        except BadRow as error:
            hint = _ROWS_HINT if self.multiline else f"{_ROWS_HINT} {_LINES_HINT}"
            raise self._malformed(place, str(error), text, hint) from None
        if width is not None and len(row) != width:
            raise self._malformed(place, f"{len(row)} fields where {width} belong", text)
        return row

    @staticmethod
    def _malformed(place: Location, why: str, row: str, hint: str = _ROWS_HINT) -> RecordMalformed:
        shown = f"{row[:200]!r}{'…' if len(row) > 200 else ''}"
        return RecordMalformed(f"{place}: {why}: {shown}.", hint=hint, place=f"malformed:{why}")

    # ------------------------------------------------------------ writing

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of one part; `header`, if it is a list, must be the fields of every record."""
        return CsvWriter(stream, self.separator, self.quote, self.header, self.encoding, self.errors)

    @property
    def reading(self) -> dict[str, Any]:
        """How text becomes fields."""
        return super().reading | {"separator": self.separator, "quote": self.quote, "header": self.header}

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """Dicts of str, or lists where there is no header; of pairs, (key, value) as two str."""
        text = io.TextIOWrapper(stream, self.encoding, self.errors, newline="\n")
        rows = read_rows(text, self._parser)
        names = next(rows, None) if self.header is not False else None
        for row in rows:
            if pairs:
                yield tuple(row)
            else:
                yield tuple(row) if names is None else dict(zip(names, row, strict=True))


def _check_characters(separator: object, quote: object) -> None:
    for name, given in (("separator", separator), ("quote", quote)):
        if given is None and name == "quote":
            continue
        if not isinstance(given, str) or len(given) != 1 or given in "\r\n":
            raise JobError(f"Csv: {name}={given!r}.", hint="Give one character.")
    if separator == quote:
        raise JobError(f"Csv: separator and quote are both {quote!r}.", hint="Give two characters.")


def _checked_header(header: Any) -> bool | list[str]:
    if isinstance(header, bool):
        return header
    names = list(header) if isinstance(header, (list, tuple)) else []
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise JobError(f"Csv: header={header!r}.", hint="Give True, False, or a list of different names.")
    return names

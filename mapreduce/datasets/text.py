"""Lines of text: a record is a line, as a str, without its end; or several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from mapreduce.datasets.base import FRAMES_BLOCK, RECORDS_BLOCK, LineDataset, Paths
from mapreduce.datasets.blocks import LineBlock, PlacedFrame, SpanBlock, first_records, first_rows
from mapreduce.datasets.lines import LF
from mapreduce.datasets.multiline import Grouping
from mapreduce.datasets.writers import TextWriter
from mapreduce.errors import DecodeError, JobError
from mapreduce.model import Location, Split
from mapreduce.protocols import RecordWriter


class Text(LineDataset):
    """A source of lines, and an output of lines.

    Only LF ends a line; a CR before it goes, and so does a UTF-8 byte order mark at the start of a
    file. gzip, bzip2, xz and zstd are recognised by content, with any number of members. As an
    output a str or bytes is a line, and a pair is key, TAB, value. A frame has the column `line`, to read
    and to write.

    paths: a path, glob, directory, URL, or a list of these; as an output one directory.
    record_start: a regular expression; a record begins at a line where it matches, and goes on
        until the next such line. Its lines are joined by LF. Lines before the first match in a file
        are one record.
    encoding: any whose LF is the one byte 0x0A; so not UTF-16 or UTF-32.
    errors: what to do with bytes that are not text: "strict" ends the job.
    split_size: at most so many bytes of a file for each map task; a compressed file is one task, but for
        a large gzip file.
    block_size: bytes read at once, and given to a `@blocks` or `@frames` function (128 KB, for
        frames 4 MB).
    max_record: bytes that a record may have.
    max_ratio: a compressed file that gives more than 16 MB, and more than so many times the bytes
        read of it, ends the job.
    growing: "snapshot" reads a local file as long as it was when the run was planned, though others
        append to it; the last line may then be half of one.
    storage_options: the name of a profile, a table in the file $MAPREDUCE_PROFILES (or
        ~/.config/mapreduce/profiles.toml) with keyword arguments for fsspec.
    compression: of the output: None, "gz", "bz2", "xz" or "zst".
    """

    format_suffix = ".txt"

    def __init__(
        self,
        paths: Paths,
        *,
        record_start: str | None = None,
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
        self.record_start = _checked_regex(record_start)

    def read(self, split: Split) -> Iterator[LineBlock | SpanBlock]:
        """The records whose first byte lies in the split."""
        blocks: Iterator[LineBlock | SpanBlock]
        blocks = self._blocks(split, RECORDS_BLOCK) if self.record_start is None else self._groups(split)
        return first_records(blocks, split.records)

    def read_frames(self, split: Split) -> Iterator[PlacedFrame]:
        """The same records as frames with one String column, `line`."""
        if self.errors == "surrogateescape":
            raise JobError(
                'Text: errors="surrogateescape" gives text that a frame can\'t hold.',
                hint='Give errors="replace", or read records.',
            )
        frames = self._line_frames(split) if self.record_start is None else self._group_frames(split)
        return first_rows(frames, split.records)

    def _blocks(self, split: Split, size: int) -> Iterator[LineBlock]:
        uri = split.file.uri
        with self._opened(split) as stream:
            for offset, data in self._data(stream, split.file, *self._range(split), size):
                yield LineBlock(uri, offset, data, *self._decoded(data, offset, uri))

    def _line_frames(self, split: Split) -> Iterator[PlacedFrame]:
        uri = split.file.uri
        with self._opened(split) as stream:
            for offset, data in self._data(stream, split.file, *self._range(split), FRAMES_BLOCK):
                if data:
                    yield self._line_frame(data, offset, uri)

    def _line_frame(self, data: bytes, offset: int, uri: str) -> PlacedFrame:
        try:
            return PlacedFrame(self._lines.frame(data, offset, uri), LineBlock(uri, offset, data, []))
        except DecodeError:
            if self._take_bad is None:
                raise
        import polars as pl

        lines, numbers = self._decoded(data, offset, uri)
        frame = pl.DataFrame({"line": lines}, schema={"line": pl.String})
        return PlacedFrame(frame, LineBlock(uri, offset, data, [], numbers))

    def parse(self, data: bytes, place: Location) -> str:
        """The record of bytes that stood at a place. Raises DecodeError."""
        return "\n".join(self._lines.decode(data + LF, place.offset, place.uri))

    def _groups(self, split: Split, size: int = RECORDS_BLOCK) -> Iterator[SpanBlock]:
        start, stop = self._range(split)
        grouping = Grouping(self.record_start or "", split.file.uri, start, stop, self.max_record)
        sifts = self._take_bad is not None and self.errors == "strict"
        decoder = self._lines.with_surrogates() if sifts else self._lines
        with self._opened(split) as stream:
            for offset, data in self._data(stream, split.file, start, None, size):
                lines = decoder.decode(data, offset, split.file.uri)
                if block := grouping.add(offset, data, lines):
                    yield from self._of_text(block)
                if grouping.ended:
                    return
            if block := grouping.finish():
                yield from self._of_text(block)

    def _of_text(self, block: SpanBlock) -> Iterator[SpanBlock]:
        """The records that are text; the others are set aside, or have been refused before."""
        if self._take_bad is None or self.errors != "strict":
            yield block
            return
        good = []
        for index, record in enumerate(block.records):
            data, place = record.encode(self.encoding, "surrogateescape"), block.locate(index)
            try:
                data.decode(self.encoding)
                good.append(index)
            except UnicodeDecodeError:
                error = self._lines.decode_error(data, place.offset, place.uri)
                self._take_bad(place, data, error)
        if good:
            yield block.chosen(good)

    def _group_frames(self, split: Split) -> Iterator[PlacedFrame]:
        import polars as pl

        for block in self._groups(split, FRAMES_BLOCK):
            yield PlacedFrame(pl.DataFrame({"line": block.records}, schema={"line": pl.String}), block)

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of lines in this encoding."""
        return TextWriter(stream, self.encoding, self.errors)

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """Lines; of pairs, (key, value) as two str. Bytes that are not text become surrogates."""
        errors = "surrogateescape" if self.errors == "strict" else self.errors
        for line in stream:
            text = line.removesuffix(LF).decode(self.encoding, errors)
            yield tuple(text.split("\t", 1)) if pairs else text


def _checked_regex(pattern: Any) -> str | None:
    if pattern is None:
        return None
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise JobError(
            f"Text: record_start={pattern!r} is no regular expression: {error}.",
            hint='Write a pattern for the first line of a record, such as r"^\\d{4}-\\d\\d-\\d\\d ".',
        ) from None
    if not isinstance(pattern, str):
        raise JobError(f"Text: record_start={pattern!r}.", hint="Give the pattern as a str.")
    return pattern

"""Lines of text: a record is a line, as a str, without its end."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, BinaryIO, cast

from mapreduce.datasets.lines import LF, line_blocks
from mapreduce.datasets.writers import TextWriter
from mapreduce.errors import DecodeError, InputCorrupt, JobError
from mapreduce.model import Cut, InputFile, Location, Split
from mapreduce.protocols import RecordWriter
from mapreduce.store import inputs
from mapreduce.units import parse_size

_BOM = codecs.BOM_UTF8
_ERRORS = ("strict", "replace", "ignore", "backslashreplace", "surrogateescape")
_STATEFUL = ("utf-7", "iso2022", "hz", "raw-unicode-escape", "unicode-escape", "idna", "punycode")
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Text:
    """A source of lines, and an output of lines.

    Only LF ends a line; a CR before it goes, and so does a UTF-8 byte order mark at the start of a
    file. gzip is recognised by content, with any number of members. As an output a str or bytes is
    a line, and a pair is key, TAB, value.

    paths: a path, glob, directory, URL, or a list of these; as an output one directory.
    encoding: any whose LF is the one byte 0x0A; so not UTF-16 or UTF-32.
    errors: what to do with bytes that are not text: "strict" ends the job.
    split_size: bytes of a file for each map task; a compressed file is one task.
    block_size: bytes read at once, and given to a `@blocks` function.
    max_record: bytes that a line may have.
    """

    suffix = ".txt"
    compression = ""

    def __init__(
        self,
        paths: Paths,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        split_size: int | str = "32MB",
        block_size: int | str = "128KB",
        max_record: int | str = "64MB",
    ) -> None:
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self.paths = [os.fspath(path) for path in given]
        self.encoding = _checked_encoding(encoding)
        if errors not in _ERRORS:
            raise JobError(f"Text: errors={errors!r}.", hint=f"Give one of {', '.join(_ERRORS)}.")
        self.errors = errors
        self.split_size = parse_size("split_size", split_size)
        self.block_size = parse_size("block_size", block_size)
        self.max_record = parse_size("max_record", max_record)

    @property
    def path(self) -> str | None:
        """The directory, as an output."""
        return self.paths[0] if len(self.paths) == 1 else None

    def __repr__(self) -> str:
        return f"Text({', '.join(self.paths)})"

    def files(self) -> list[InputFile]:
        """The input's files in order, each with size, fingerprint and compression."""
        return [inputs.describe(path) for path in inputs.expand(self.paths)]

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        """Byte ranges of `split_size`; a compressed file is one."""
        return [
            Cut(file, start, file.size if file.compression else min(start + self.split_size, file.size))
            for file in files
            for start in ([0] if file.compression else range(0, file.size, self.split_size))
        ]

    def read(self, split: Split) -> Iterator[LineBlock]:
        """The lines whose first byte lies in the split."""
        left = split.records
        for block in self._blocks(split):
            if left is not None:
                block.records = block.records[:left]
                left -= len(block.records)
            if block.records:
                yield block
            if left == 0:
                return

    def _blocks(self, split: Split) -> Iterator[LineBlock]:
        file, packed = split.file, bool(split.file.compression)
        with inputs.opened(file) as stored, _decompressed(stored, file) as stream:
            start, stop = (0, None) if packed else (split.start, split.stop)
            for offset, data in line_blocks(stream, start, stop, self.block_size, self.max_record, file.uri):
                if offset == 0 and self.encoding == "utf-8" and data.startswith(_BOM):
                    offset, data = len(_BOM), data[len(_BOM) :]
                yield LineBlock(file.uri, offset, data, self._decode(data, offset, file.uri))

    def _decode(self, data: bytes, offset: int, uri: str) -> list[str]:
        try:
            bare = data.replace(b"\r\n", LF) if b"\r" in data else data
            if _is_simple(self.encoding):
                records = bare.decode(self.encoding, self.errors).split("\n")
            else:
                records = [line.decode(self.encoding, self.errors) for line in bare.split(LF)]
        except UnicodeDecodeError as error:
            raise self._decode_error(data, offset, uri) from error
        if not records[-1] and (not data or data.endswith(LF)):
            records.pop()
        return records

    def _decode_error(self, data: bytes, offset: int, uri: str) -> DecodeError:
        for line in data.split(LF):
            try:
                line.decode(self.encoding)
            except UnicodeDecodeError as error:
                where = f"{uri}, byte {offset + error.start:,}"
                wrong = line[error.start : error.start + 4].hex(" ")
                return DecodeError(
                    f"{where}: not {self.encoding} text ({wrong}): {line[:200]!r}.",
                    hint='Give the encoding: Text(…, encoding="latin-1"), or errors="replace".',
                )
            offset += len(line) + 1
        return DecodeError(f"{uri}, byte {offset:,}: not {self.encoding} text.")

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of lines in this encoding."""
        return TextWriter(stream, self.encoding, self.errors)

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """Lines; of pairs, (key, value) as two str."""
        for line in stream:
            text = line.removesuffix(LF).decode(self.encoding, self.errors)
            yield tuple(text.split("\t", 1)) if pairs else text


class LineBlock:
    """Consecutive lines of one file: their bytes and their records."""

    __slots__ = ("_data", "_offset", "_starts", "_uri", "records")

    def __init__(self, uri: str, offset: int, data: bytes, records: list[str]) -> None:
        self._uri, self._offset, self._data = uri, offset, data
        self.records = records
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
            lengths = (len(line) + 1 for line in self._data.split(LF))
            self._starts = list(accumulate(lengths, initial=0))
        start = self._starts[index]
        end = min(self._starts[index + 1], len(self._data) + 1) - 1
        if self._data[end - 1 : end] == b"\r" and end < len(self._data):
            end -= 1
        return Location(self._uri, self._offset + start, end - start)


def _checked_encoding(name: str) -> str:
    try:
        info = codecs.lookup(name)
        normal = "utf-8" if info.name == "utf-8-sig" else info.name
        fits = not any(normal.replace("_", "-").startswith(prefix) for prefix in _STATEFUL) and all(
            (bytes([byte]).decode(normal, "replace") == "\n") == (byte == 10) for byte in range(256)
        )
    except LookupError:
        raise JobError(f"Text: there is no encoding {name!r}.", hint='Try "utf-8" or "latin-1".') from None
    if not fits:
        raise JobError(
            f"Text: {name} can't be cut at line ends: its line feed is not the one byte 0x0A.",
            hint="Convert the files to UTF-8 first, for example with iconv.",
        )
    return normal


def _is_simple(encoding: str) -> bool:
    """No character's bytes contain a line feed, whatever the bytes are: blocks decode as lines do."""
    return encoding in ("utf-8", "ascii", "iso8859-1")


@contextmanager
def _decompressed(stored: BinaryIO, file: InputFile) -> Iterator[BinaryIO]:
    if not file.compression:
        yield stored
        return
    stream = gzip.GzipFile(fileobj=stored)
    try:
        yield cast(BinaryIO, stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        kind = "is truncated" if isinstance(error, EOFError) else "is damaged"
        raise InputCorrupt(
            f"{file.uri} {kind}: {error} (at byte {stored.tell():,} of {file.size:,} stored, "
            f"after {stream.tell():,} good bytes).",
            hint=f"Get it again, or see how far `gzip -t {file.uri}` comes.",
        ) from error

"""Writing records: one text of each, whoever writes it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from operator import countOf
from typing import Any, BinaryIO

from mapreduce.codec import dump_value
from mapreduce.datasets.columntext import json_lines, tabbed_lines
from mapreduce.datasets.jsontext import TEXTS, ObjectTexts, escaped, json_text, refused
from mapreduce.datasets.linetext import SIMPLE
from mapreduce.errors import RecordError

_SHOWN = 200
_BATCH = 4096


class Writer:
    """What all writers share: of a record its writer holds nothing that could still change, and batches of
    what was made of them go to the stream.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.records = 0
        self.pairs = True

    def write(self, records: Iterable[Any]) -> None:
        """Append records."""
        made = map(self.encode, records)  # each before the next is asked for
        while lines := list(islice(made, _BATCH)):
            self._flush(lines)

    def _flush(self, lines: list[Any]) -> None:
        self._stream.write(self.joined(lines))
        self.records += len(lines)

    def write_pairs(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Append pairs."""
        self.write(zip(keys, values, strict=True))

    def write_frame(self, frame: Any) -> bool:
        """Append the rows of a frame, if the format has a quick way; False: nothing was written."""
        pairs = set(frame.columns) == {"key", "value"}
        texts = self.texts(frame.select("key", "value") if pairs else frame)
        if texts is None:
            return False
        for rows, text in texts:
            self._stream.write(text)
            self.records += rows
            self.pairs = self.pairs and pairs
        return True

    def texts(self, frame: Any) -> Iterator[tuple[int, bytes]] | None:
        """Numbers of rows, and their bytes, as `encode` makes them of records; None: it must."""
        return None

    def close(self) -> None:
        """Nothing is held back."""

    def encode(self, record: Any) -> Any:
        """One record, as `joined` takes it; tells `pairs` if it is no tuple."""
        raise TypeError(f"{type(self).__name__} does not say how to encode")

    def joined(self, lines: list[Any]) -> bytes:
        """The bytes of records."""
        return b"".join(lines)


class JsonLinesWriter(Writer):
    """A JSON object a line: a dict as it is, a pair as `key` and `value`. UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._objects = ObjectTexts()

    def encode(self, record: Any) -> str:
        """A line with its line feed. Lone surrogates are escaped when it is written."""
        try:
            if type(record) is tuple and len(record) == 2:
                key, value = record
                return f'{{"key":{TEXTS[type(key)](key)},"value":{TEXTS[type(value)](value)}}}\n'
            self.pairs = False
            if type(record) is dict:
                return self._objects.text(record) + "\n"
            if isinstance(record, dict):
                return TEXTS[type(record)](record)
        except (RecursionError, ValueError) as error:
            raise refused(error) from None
        raise RecordError(
            f"JsonLines can't write a record of type {type(record).__name__}: {repr(record)[:_SHOWN]}.",
            hint="Give a dict, or a pair (key, value).",
        )

    def joined(self, lines: list[str]) -> bytes:
        """The bytes of lines."""
        return escaped("".join(lines)).encode()

    def texts(self, frame: Any) -> Iterator[tuple[int, bytes]] | None:
        """Of columns whose JSON polars writes as we do."""
        return json_lines(frame)


class TextWriter(Writer):
    """A str or bytes as a line, or a dict with the one field `line`; a pair as key, TAB, value."""

    def __init__(self, stream: BinaryIO, encoding: str, errors: str) -> None:
        super().__init__(stream)
        self._encoding = encoding
        self._errors = errors

    def write(self, records: Iterable[Any]) -> None:
        """Append records."""
        lines: list[bytes | str] = []
        for record in records:
            if type(record) is str:
                self.pairs = False
                lines.append(record)
            else:
                lines.append(self.encode(record))
            if len(lines) == _BATCH:
                self._flush(lines)
                lines = []
        if lines:
            self._flush(lines)

    def encode(self, record: Any) -> bytes:
        """A line with its line feed."""
        if type(record) is not tuple:
            self.pairs = False
        return self._line(record)

    def joined(self, lines: list[bytes | str]) -> bytes:
        """The bytes of lines. Raises RecordError for one of the str."""
        if self._encoding in SIMPLE and countOf(map(type, lines), str) == len(lines):
            text = "\n".join(lines) + "\n" if lines else ""  # type: ignore[arg-type]
            # A search for two characters takes eighty times as long as for one.
            if text.count("\n") == len(lines) and not ("\r" in text and "\r\n" in text):
                with suppress(UnicodeEncodeError):  # one by one it is told which
                    return text.encode(self._encoding, self._errors)
        return b"".join(self._line(line) if type(line) is str else line for line in lines)  # type: ignore[misc]

    def _line(self, record: Any) -> bytes:
        if type(record) is dict and record.keys() == {"line"} and type(record["line"]) in (str, bytes):
            record = record["line"]
        if type(record) is tuple and len(record) == 2:
            key, value = self._field(record[0]), self._field(record[1])
            if b"\t" in key:
                raise RecordError(
                    f"A key with a TAB can't be told from its value: {repr(record)[:_SHOWN]}.",
                    hint="Replace it, or write JsonLines.",
                )
            line = key + b"\t" + value
        elif type(record) is str or type(record) is bytes:
            line = self._field(record)
        else:
            raise RecordError(
                f"Text can't write a record of type {type(record).__name__}: {repr(record)[:_SHOWN]}.",
                hint="Give a str, bytes or a pair, a frame with the one column line, or write JsonLines.",
            )
        if b"\n" in line or line.endswith(b"\r"):
            raise RecordError(
                f"A record with a line end in it would be read back as another: {repr(record)[:_SHOWN]}.",
                hint="Replace it, or write JsonLines.",
            )
        return line + b"\n"

    def texts(self, frame: Any) -> Iterator[tuple[int, bytes]] | None:
        """Of lines, or of pairs, in UTF-8."""
        known = frame.columns in (["line"], ["key", "value"]) and self._encoding == "utf-8"
        return tabbed_lines(frame) if known else None

    def _field(self, value: Any) -> bytes:
        if type(value) is bytes:
            return value
        text = value if type(value) is str else json_text(value)
        return encoded(text, self._encoding, self._errors)


def encoded(text: str, encoding: str, errors: str) -> bytes:
    """A text's bytes. Raises RecordError."""
    try:
        return text.encode(encoding, errors)
    except UnicodeEncodeError as error:
        raise RecordError(
            f"{encoding} can't hold {text[error.start : error.end]!r}: {text[:_SHOWN]!r}.",
            hint="Write UTF-8, or JsonLines.",
        ) from None


class KeptWriter(Writer):
    """Records with all their types: a length of four bytes, then the packed record."""

    def encode(self, record: Any) -> bytes:
        """A frame."""
        if type(record) is not tuple:
            self.pairs = False
        data = dump_value(record)
        return struct.pack(">I", len(data)) + data

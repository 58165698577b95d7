"""Writing records: one text of each, whoever writes it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from json.encoder import encode_basestring
from typing import Any, BinaryIO

from mapreduce.codec import dump_value
from mapreduce.datasets.columntext import json_lines, tabbed_lines
from mapreduce.errors import RecordError
from mapreduce.keys import order_bytes

_SHOWN = 200
_BATCH = 4096


class Writer:
    """What all writers share: a record becomes bytes at once, bytes go to the stream in batches."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.records = 0
        self.pairs = True

    def write(self, records: Iterable[Any]) -> None:
        """Append records."""
        encode, lines = self.encode, []
        for record in records:
            if type(record) is not tuple:
                self.pairs = False
            lines.append(encode(record))
            if len(lines) == _BATCH:
                self._flush(lines)
                lines = []
        self._flush(lines)

    def _flush(self, lines: list[bytes]) -> None:
        self._stream.write(b"".join(lines))
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

    def encode(self, record: Any) -> bytes:
        """The bytes of one record."""
        raise TypeError(f"{type(self).__name__} does not say how to encode")


class JsonLinesWriter(Writer):
    """A JSON object a line: a dict as it is, a pair as `key` and `value`."""

    def encode(self, record: Any) -> bytes:
        """UTF-8, or for lone surrogates an escape; ends with a newline."""
        return (_json_record(record) + "\n").encode()

    def texts(self, frame: Any) -> Iterator[tuple[int, bytes]] | None:
        """Of columns whose JSON polars writes as we do."""
        return json_lines(frame)


class TextWriter(Writer):
    """A str or bytes as a line, or a dict with the one field `line`; a pair as key, TAB, value."""

    def __init__(self, stream: BinaryIO, encoding: str, errors: str) -> None:
        super().__init__(stream)
        self._encoding = encoding
        self._errors = errors

    def encode(self, record: Any) -> bytes:
        """A line with its line feed."""
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
        data = dump_value(record)
        return struct.pack(">I", len(data)) + data


# ---------------------------------------------------------------- JSON


def _json_record(record: Any) -> str:
    kind = type(record)
    if kind is tuple and len(record) == 2:
        return f'{{"key":{json_text(record[0])},"value":{json_text(record[1])}}}'
    if isinstance(record, dict):
        return json_text(record)
    raise RecordError(
        f"JsonLines can't write a record of type {kind.__name__}: {repr(record)[:_SHOWN]}.",
        hint="Give a dict, or a pair (key, value).",
    )


def json_text(value: Any) -> str:
    """The one JSON text of a value, compact.

    Floats as Python's repr, NaN and infinities as null; tuples and sets as arrays (a set in key
    order); dates in ISO form; bytes as UTF-8 text, with surrogate escapes for other bytes.
    """
    kind = type(value)
    try:
        if kind is int:
            return repr(value)
        if kind is str:
            text = encode_basestring(value)
            return text if text.isascii() else _escape_surrogates(text)
        return _json_text(_plain(value))
    except RecursionError:
        raise RecordError("A record is nested too deeply for JSON.") from None
    except ValueError as error:  # Python refuses to write ints of thousands of digits
        raise RecordError(f"A number can't be written: {error}.", hint="Round it first.") from None


def field_text(value: Any) -> str:
    """A value as the text of a field: JSON's, but text, bytes and dates without quotes."""
    try:
        plain = _plain(value)
        return plain if isinstance(plain, str) else json_text(plain)
    except RecursionError:
        raise RecordError("A record is nested too deeply for a field.") from None


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)


def _json_text(value: Any) -> str:
    text = _ENCODER.encode(value)
    return text if text.isascii() else _escape_surrogates(text)


def _escape_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def _plain(value: Any) -> Any:
    """The value with only what JSON has."""
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is tuple or kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        named = {_json_name(name): _plain(item) for name, item in value.items()}
        if len(named) < len(value):
            raise RecordError(
                f"Two names of a dict are one as text: {repr(value)[:_SHOWN]}.",
                hint="Give it names of type str.",
            )
        return named
    if kind is bytes:
        return value.decode("utf-8", "surrogateescape")
    if kind is datetime or kind is date or kind is time:
        return value.isoformat()
    if kind is set or kind is frozenset:
        return [_plain(item) for item in sorted(value, key=order_bytes)]
    raise RecordError(
        f"JSON has no form for a value of type {kind.__qualname__}: {repr(value)[:_SHOWN]}.",
        hint="Convert it in the function that gives it.",
    )


def _json_name(name: Any) -> str:
    if type(name) is str:
        return name
    if name is None or type(name) in (bool, int, float, bytes, date, datetime):
        plain = _plain(name)
        return plain if isinstance(plain, str) else _json_text(plain)
    raise RecordError(
        f"A dict in a record has the key {repr(name)[:_SHOWN]}; JSON's names are text.",
        hint="Convert it in the function that gives it.",
    )

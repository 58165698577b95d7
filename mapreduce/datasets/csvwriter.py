"""Writing rows: one text of each, and reading them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from mapreduce.datasets.csvrows import RowJoiner, RowParser
from mapreduce.datasets.fields import fields, in_order
from mapreduce.datasets.jsontext import field_text
from mapreduce.datasets.writers import Writer, encoded
from mapreduce.errors import RecordError

_SHOWN = 200


class CsvWriter(Writer):
    """Rows of one part; the first record says which fields there are."""

    def __init__(
        self,
        stream: BinaryIO,
        separator: str,
        quote: str | None,
        header: bool | list[str],
        encoding: str,
        errors: str,
    ) -> None:
        super().__init__(stream)
        self._separator, self._quote = separator, quote
        self._header = header is not False
        self._names: list[str] | None = header if isinstance(header, list) else None
        self._encoding, self._errors = encoding, errors
        self._special = {separator, quote or separator, "\n", "\r"}

    def encode(self, record: Any) -> bytes:
        """A row with its line feed, after the header where it is the first."""
        if type(record) is not tuple:
            self.pairs = False
        names, values = fields(record, "Csv")
        if self._names is None:
            self._names = names
        if names != self._names:
            values = in_order(self._names, names, values)
        return self._head() + self._row(values)

    def _head(self) -> bytes:
        """The header line, once."""
        if not self._header or self._names is None:
            return b""
        self._header = False
        return self._row(self._names)

    def close(self) -> None:
        """A part without records has the header line if its names are known."""
        self._stream.write(self._head())

    def _row(self, values: Iterable[Any]) -> bytes:
        row = self._separator.join(map(self._field, values))
        if not row and self._quote:  # an empty line would be no row
            row = self._quote * 2
        return encoded(row, self._encoding, self._errors) + b"\n"

    def _field(self, value: Any) -> str:
        if value is None:
            return ""
        if type(value) is float:
            return "NaN" if value != value else repr(value)
        text = value if type(value) is str else field_text(value)
        if text and not any(special in text for special in self._special):
            return text
        if self._quote is None:
            if not text:
                return ""
            raise RecordError(
                f"A field with a separator or a line end in it needs quotes: {text[:_SHOWN]!r}.",
                hint="Give Csv(…, quote='\"').",
            )
        return self._quote + text.replace(self._quote, self._quote * 2) + self._quote


def read_rows(lines: Iterable[str], parser: RowParser) -> Iterator[list[str]]:
    """The rows of a part, whose quotes may have line ends in them."""
    joiner = RowJoiner(parser)
    for line in lines:
        text = joiner.add(line.removesuffix("\n"), False, 0, 0)
        if text:
            yield parser.parse(text)

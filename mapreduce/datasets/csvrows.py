"""Rows of separated fields: a line of text as a list of str, and where a row ends."""

from __future__ import annotations

import csv
import re


class BadRow(ValueError):
    """Why a text is no row."""


class RowParser:
    """Fields stand between separators. One that begins with a quote goes on to the quote that is not doubled.

    A quote within a field that does not begin with one is text as any other.
    """

    def __init__(self, separator: str, quote: str | None) -> None:
        self.separator, self.quote = separator, quote
        q = re.escape(quote or "\0")
        rest = f"[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}"
        self._quoted = re.compile(q + rest)
        self._rest = re.compile(rest)

    def parse(self, text: str) -> list[str]:
        """The fields of one row. Raises BadRow."""
        quote, separator = self.quote, self.separator
        if quote is None or quote not in text:
            return text.split(separator)
        fields: list[str] = []
        at = 0
        while True:
            if text.startswith(quote, at):
                match = self._quoted.match(text, at)
                if match is None:
                    raise BadRow("a quote is not closed")
                fields.append(text[at + 1 : match.end() - 1].replace(quote + quote, quote))
                end = match.end()
                if end < len(text) and text[end] != separator:
                    raise BadRow("there is text after a closing quote")
            else:
                end = text.find(separator, at)
                end = len(text) if end < 0 else end
                fields.append(text[at:end])
            if end == len(text):
                return fields
            at = end + 1

    def parse_all(self, texts: list[str]) -> list[list[str]]:
        """The fields of several rows. Raises BadRow.

        Python's csv reads what it reads as `parse` does: it refuses a CR and a very long field, and
        where a quote is open it makes one row of several texts.
        """
        quote, separator = self.quote, self.separator
        joined = "".join(texts)
        if quote is None or quote not in joined:
            return [text.split(separator) for text in texts]
        if "\r" not in joined:
            try:
                rows = list(csv.reader(texts, delimiter=separator, quotechar=quote, strict=True))
            except csv.Error:
                rows = []
            if len(rows) == len(texts):
                return rows
        return list(map(self.parse, texts))

    def open_after(self, line: str, inside: bool) -> bool:
        """Whether a quote is open at the end of a line; `inside`: at its beginning."""
        quote, at = self.quote, 0
        if quote is None or quote not in line:
            return inside
        while True:
            if inside or line.startswith(quote, at):
                match = (self._rest if inside else self._quoted).match(line, at)
                if match is None:
                    return True
                at, inside = match.end(), False
            at = line.find(self.separator, at) + 1
            if not at:
                return False


class RowJoiner:
    """Joins lines to rows: line breaks within quotes are a part of the field."""

    def __init__(self, parser: RowParser) -> None:
        self._parser = parser
        self._lines: list[str] = []
        self.first = 0
        """Where the open row begins."""
        self.length = 0
        """Bytes of the open row so far."""

    @property
    def is_open(self) -> bool:
        """Whether a row has begun that no line has ended yet."""
        return bool(self._lines)

    @property
    def text(self) -> str:
        """What there is of the open row."""
        return "\n".join(self._lines)

    def add(self, line: str, ended: bool, offset: int, length: int) -> str | None:
        """Take a line with its CR; the row's text if this line ends it.

        `ended`: by LF; length: bytes of the line with its CR, without LF.
        """
        inside = self.is_open
        if not inside:
            self.first, self.length = offset, 0
        self.length += length + inside
        self._lines.append(line)
        if self._parser.open_after(line, inside):
            return None
        text, self._lines = self.text, []
        if ended and text.endswith("\r"):
            self.length -= 1
            return text[:-1]
        return text

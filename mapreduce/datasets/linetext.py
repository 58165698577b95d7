"""Bytes of whole lines as text: encodings that can be cut at line ends, and errors with offsets."""

from __future__ import annotations

import codecs
from typing import Any

from mapreduce.datasets.lines import LF
from mapreduce.errors import DecodeError, JobError

SIMPLE = ("utf-8", "ascii", "iso8859-1")
"""Encodings in which no character's bytes contain a line feed, whatever the bytes are."""
_ERRORS = ("strict", "replace", "ignore", "backslashreplace", "surrogateescape")
_STATEFUL = ("utf-7", "iso2022", "hz", "raw-unicode-escape", "unicode-escape", "idna", "punycode")


class LineText:
    """How a dataset's lines are decoded. Raises JobError for an encoding that has no lines."""

    def __init__(self, encoding: str, errors: str, owner: str) -> None:
        self._owner = owner
        self.encoding = _checked_encoding(encoding, owner)
        if errors not in _ERRORS:
            raise JobError(f"{owner}: errors={errors!r}.", hint=f"Give one of {', '.join(_ERRORS)}.")
        self.errors = errors

    @property
    def is_simple(self) -> bool:
        """Blocks decode as lines do."""
        return self.encoding in SIMPLE

    def decode(self, data: bytes, offset: int, uri: str, *, keep_cr: bool = False) -> list[str]:
        """The lines of a block, without their ends, or with their CR. Raises DecodeError."""
        try:
            bare = data.replace(b"\r\n", LF) if b"\r" in data and not keep_cr else data
            if self.is_simple:
                records = bare.decode(self.encoding, self.errors).split("\n")
            else:
                records = [line.decode(self.encoding, self.errors) for line in bare.split(LF)]
        except UnicodeDecodeError as error:
            raise self.decode_error(data, offset, uri) from error
        if not records[-1] and (not data or data.endswith(LF)):
            records.pop()
        return records

    def with_surrogates(self) -> LineText:
        """The same, with bytes that are not text as surrogates."""
        return LineText(self.encoding, "surrogateescape", self._owner)

    def undecodable(self, data: bytes) -> int:
        """How many of a block's lines are no text in the encoding."""
        try:
            data.decode(self.encoding)
        except UnicodeDecodeError:
            return sum(not self._is_text(line) for line in data.split(LF))
        return 0

    def _is_text(self, line: bytes) -> bool:
        try:
            line.decode(self.encoding)
        except UnicodeDecodeError:
            return False
        return True

    def decode_error(self, data: bytes, offset: int, uri: str) -> DecodeError:
        """What is wrong in a block that can't be decoded, and where."""
        for line in data.split(LF):
            try:
                line.decode(self.encoding)
            except UnicodeDecodeError as error:
                where = f"{uri}, byte {offset + error.start:,}"
                wrong = line[error.start : error.start + 4].hex(" ")
                return DecodeError(
                    f"{where}: not {self.encoding} text ({wrong}): {line[:200]!r}.",
                    hint=f'Give the encoding: {self._owner}(…, encoding="latin-1"), or errors="replace".',
                    place=f"not {self.encoding}",
                )
            offset += len(line) + 1
        return DecodeError(f"{uri}, byte {offset:,}: not {self.encoding} text.")

    def frame(self, data: bytes, offset: int, uri: str) -> Any:
        """The lines of a block as a polars DataFrame with the column `line`. Raises DecodeError."""
        import polars as pl

        # polars takes x\x01 for the beginning of compressed data, and drops a CR that no LF follows.
        like_ours = not data.startswith(b"x\x01") and not data.endswith(b"\r")
        if self.encoding == "utf-8" and self.errors == "strict" and like_ours:
            try:
                return pl.read_lines(data, name="line")
            except pl.exceptions.ComputeError:
                self.decode(data, offset, uri)
                raise
        return pl.DataFrame({"line": self.decode(data, offset, uri)}, schema={"line": pl.String})


def _checked_encoding(name: str, owner: str) -> str:
    try:
        info = codecs.lookup(name)
        normal = "utf-8" if info.name == "utf-8-sig" else info.name
        fits = not any(normal.replace("_", "-").startswith(prefix) for prefix in _STATEFUL) and all(
            (bytes([byte]).decode(normal, "replace") == "\n") == (byte == 10) for byte in range(256)
        )
    except LookupError:
        raise JobError(f"{owner}: there is no encoding {name!r}.", hint='Try "utf-8" or "latin-1".') from None
    if not fits:
        raise JobError(
            f"{owner}: {name} can't be cut at line ends: its line feed is not the one byte 0x0A.",
            hint="Convert the files to UTF-8 first, for example with iconv.",
        )
    return normal

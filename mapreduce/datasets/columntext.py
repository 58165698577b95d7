"""The rows of a frame as text, written by polars where that is what the writers of records write.

Floats, dates, binary and structs are not: polars has other texts of them than we do.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

ROWS = 2**14
"""That are one text, which stays in the processor's cache."""


def json_lines(frame: Any) -> Iterator[tuple[int, bytes]] | None:
    """Rows, and their lines, of a frame as JSON objects; None if there is no such text."""
    if not frame.width or not all(map(_is_plain, frame.dtypes)):
        return None
    return ((piece.height, _json(piece)) for piece in frame.iter_slices(ROWS))


def tabbed_lines(frame: Any) -> Iterator[tuple[int, bytes]] | None:
    """The same of a column of text, or of two with a TAB between them; None also where a text has a line
    end or a TAB of its own.
    """
    import polars as pl

    kinds = set(frame.dtypes)
    scalars = all(kind in (pl.String, pl.Boolean) or _is_integer(kind) for kind in kinds)
    if not scalars or (frame.width == 1 and kinds != {pl.String}) or any(frame.null_count().row(0)):
        return None
    pieces = [(piece.height, _tabbed(piece)) for piece in frame.iter_slices(ROWS)]
    # A search for two characters takes eighty times as long as for one.
    exact = all(
        text.count(b"\n") == rows
        and not (b"\r" in text and b"\r\n" in text)
        and (frame.width == 1 or text.count(b"\t") == rows)
        for rows, text in pieces
    )
    return iter(pieces) if exact else None


def _is_plain(kind: Any) -> bool:
    import polars as pl

    if kind == pl.List:
        return not kind.inner.is_nested() and _is_plain(kind.inner)
    return kind in (pl.String, pl.Boolean, pl.Null) or _is_integer(kind)


def _is_integer(kind: Any) -> bool:
    return bool(kind.is_integer()) and str(kind) not in ("Int128", "UInt128")


def _json(frame: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_ndjson(buffer)
    return buffer.getvalue()


def _tabbed(frame: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=False, separator="\t", quote_style="never")
    return buffer.getvalue()

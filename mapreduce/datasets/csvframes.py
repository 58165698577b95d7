"""Rows of text as frames with a schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from mapreduce.datasets.schema import Misfit


def rows_frame(names: Sequence[str], rows: Sequence[Sequence[str]], schema: dict[str, Any]) -> Any:
    """The columns of `schema`, in its order. Raises Misfit."""
    import polars as pl

    columns = []
    for name, kind in schema.items():
        at = names.index(name)
        columns.append(text_column(name, [row[at] for row in rows], kind))
    return pl.DataFrame(columns)


def text_column(name: str, texts: Sequence[str], kind: Any) -> Any:
    """Texts as a column: what polars' strict cast makes of them, dates in ISO form. Raises Misfit."""
    import polars as pl

    if kind == pl.String:
        try:
            return pl.Series(name, texts, dtype=pl.String)
        except UnicodeEncodeError:
            wrong = next(index for index, text in enumerate(texts) if not _is_unicode(text))
            raise Misfit(wrong, name, texts[wrong], "String") from None
    parse = _parser(kind)
    if parse is not None:
        return pl.Series(
            name, [_parsed(parse, name, row, text, kind) for row, text in enumerate(texts)], kind
        )
    given = pl.Series(name, [text or None for text in texts], dtype=pl.String)
    made = given.cast(kind, strict=False)
    wrong_rows = (made.is_null() & given.is_not_null()).arg_true()
    if len(wrong_rows):
        raise Misfit(wrong_rows[0], name, texts[wrong_rows[0]], kind)
    return made


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _parser(kind: Any) -> Callable[[str], Any] | None:
    """Python's reading of a text, where polars' cast would guess a format from the first rows."""
    import polars as pl

    if kind == pl.Boolean:
        return {"true": True, "false": False}.__getitem__
    if kind == pl.Date:
        return date.fromisoformat
    return datetime.fromisoformat if kind == pl.Datetime else None


def _parsed(parse: Callable[[str], Any], name: str, row: int, text: str, kind: Any) -> Any:
    try:
        return parse(text) if text else None
    except (ValueError, KeyError):
        raise Misfit(row, name, text, kind) from None

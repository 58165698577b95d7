"""Rows of text as frames: first of text, then with the types of a schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from mapreduce.datasets.schema import Misfit


def text_frame(names: Sequence[str], rows: Sequence[Sequence[str]], wanted: Sequence[str]) -> Any:
    """Some columns of rows, as String. Raises Misfit for text that is no Unicode."""
    import polars as pl

    places = [(name, names.index(name)) for name in wanted]
    return pl.DataFrame([_text_column(name, [row[at] for row in rows]) for name, at in places])


def _text_column(name: str, texts: list[str]) -> Any:
    import polars as pl

    try:
        return pl.Series(name, texts, dtype=pl.String)
    except UnicodeEncodeError:
        wrong = next(row for row, text in enumerate(texts) if not _is_unicode(text))
        raise Misfit(wrong, name, texts[wrong], "String") from None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def plain_text_frame(names: Sequence[str], data: bytes, separator: str, wanted: Sequence[str]) -> Any:
    """The same of the bytes of whole UTF-8 lines without a quote, read by polars.

    None where polars might read something else than we do: the rows must then be read one by one.
    """
    import polars as pl

    data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
    rows = data.count(b"\n") + (not data.endswith(b"\n"))
    unusual = (
        not separator.isascii()
        or data.startswith((b"\n", b"x\x01", b"\xef\xbb\xbf"))
        or b"\n\n" in data
        or b"\r" in data
        or data.count(separator.encode()) != rows * (len(names) - 1)
    )
    if unusual:
        return None
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            schema=dict.fromkeys(map(str, range(len(names))), pl.String),
            separator=separator,
            quote_char=None,
            empty_string_is_null=False,
        )
    except pl.exceptions.PolarsError:
        return None
    if frame.height != rows or any(frame.null_count().row(0)):
        return None
    return frame.select(frame.get_column(str(names.index(name))).alias(name) for name in wanted)


def typed(frame: Any, schema: dict[str, Any]) -> Any:
    """String columns with the types of a schema: what polars' cast makes of them, dates in ISO form.

    An empty text is null where the type isn't String. Raises Misfit.
    """
    import polars as pl

    return pl.DataFrame([_typed_column(frame.get_column(name), kind) for name, kind in schema.items()])


def _typed_column(texts: Any, kind: Any) -> Any:
    import polars as pl

    if kind == pl.String:
        return texts
    parse = _parser(kind)
    if parse is not None:
        values = [_parsed(parse, texts.name, row, text, kind) for row, text in enumerate(texts)]
        return pl.Series(texts.name, values, dtype=kind)
    given = texts.replace("", None)
    made = given.cast(kind, strict=False)
    wrong = (made.is_null() & given.is_not_null()).arg_true()
    if len(wrong):
        raise Misfit(wrong[0], texts.name, texts[wrong[0]], kind)
    return made


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

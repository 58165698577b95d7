"""The law of frames as text: what polars writes of a frame are the bytes of its rows as records."""

import io
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapreduce import JsonLines, Text
from mapreduce.datasets import columntext
from mapreduce.datasets.naming import KeyNaming
from mapreduce.errors import RecordError
from mapreduce.shuffle.frames import frame_records, write_rows

TEXTS = st.text(
    st.sampled_from('ab"\\/\t\r\b\f\0\x1b\x1f\x7f\x80\x85\u2028\ufeffé😀')
    | st.characters(exclude_categories=["Cs"])
)
LINES = st.text(st.sampled_from('ab",;\\ \0\ré😀'), max_size=6)
KINDS: dict[Any, Any] = {
    pl.String: TEXTS | st.text(st.sampled_from("\n\r\ta")),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.UInt64: st.integers(0, 2**64 - 1),
    pl.Int8: st.integers(-128, 127),
    pl.Boolean: st.booleans(),
    pl.Float64: st.floats(),
    pl.Int128: st.integers(-(2**100), 2**100),
    pl.Binary: st.binary(max_size=3),
    pl.Date: st.dates(),
    pl.Null: st.none(),
    pl.List(pl.String): st.lists(st.none() | TEXTS, max_size=3),
    pl.List(pl.Int32): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    pl.List(pl.Float64): st.lists(st.floats(), max_size=3),
    pl.Struct({"a": pl.String, "b": pl.Int64}): st.fixed_dictionaries({"a": TEXTS, "b": st.integers(0, 9)}),
}


@st.composite
def frames(draw: st.DrawFn, names: list[str]) -> pl.DataFrame:
    height = draw(st.integers(0, 6))
    columns = []
    for name in names:
        kind = draw(st.sampled_from(list(KINDS)))
        values = KINDS[kind] if draw(st.booleans()) else st.none() | KINDS[kind]
        columns.append(
            pl.Series(name, draw(st.lists(values, min_size=height, max_size=height)), dtype=kind, strict=True)
        )
    return pl.DataFrame(columns)


def written(make: Any, frame: pl.DataFrame, by_columns: bool) -> Any:
    """Bytes, number of records and whether they are pairs, or the error."""
    stream = io.BytesIO()
    writer = make(stream)
    try:
        if by_columns:
            write_rows(writer, frame)
        else:
            writer.write(frame_records(frame))
        writer.close()
    except RecordError as error:
        return str(error)
    return stream.getvalue(), writer.records, writer.pairs


def hold(make: Any, frame: pl.DataFrame) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columntext, "ROWS", 2)
        assert written(make, frame, True) == written(make, frame, False)


NAMES = st.sampled_from([["key", "value"], ["value", "key"], ["a"], ['a"\n', "é", "key"], ["line"]])


@given(NAMES.flatmap(frames))
@example(pl.DataFrame({"key": ['"\\\x00\x1f\x7f\u2028/'], "value": [1]}))
@example(pl.DataFrame({"key": [["a", None], None], "value": [[1], []]}))
@example(pl.DataFrame({"key": ["a"], "value": [1e-7]}))
def test_json(frame: pl.DataFrame) -> None:
    hold(JsonLines("out").writer, frame)


@given(NAMES.flatmap(frames))
@example(pl.DataFrame({"key": ["a\tb"], "value": ["c"]}))
@example(pl.DataFrame({"key": ["a", "b\r"], "value": ["c", "d"]}))
@example(pl.DataFrame({"line": ["a", "b\r"]}))
@example(pl.DataFrame({"line": ["a\n", "b"]}))
@example(pl.DataFrame({"line": [1]}))
@example(pl.DataFrame({"line": ["a", None]}))
@example(pl.DataFrame({"key": ["a", None], "value": [True, False]}))
def test_text(frame: pl.DataFrame) -> None:
    hold(Text("out").writer, frame)
    hold(Text("out", encoding="latin-1", errors="replace").writer, frame)


@given(st.lists(st.tuples(LINES, LINES), max_size=9))
def test_text_without_line_ends(rows: list[tuple[str, str]]) -> None:
    frame = pl.DataFrame(rows, schema={"key": pl.String, "value": pl.String}, orient="row")
    hold(Text("out").writer, frame)
    hold(Text("out").writer, frame.select(line="value"))


@given(frames(["key", "value"]), st.booleans())
def test_names_of_a_key(frame: pl.DataFrame, keep: bool) -> None:
    def make(stream: Any) -> KeyNaming:
        return KeyNaming(JsonLines("out").writer(stream), ("n", "l"), keep_pairs=keep)

    hold(make, frame)


@pytest.mark.parametrize("output", [JsonLines("out"), Text("out")])
def test_most_frames_are_written_by_columns(output: Any) -> None:
    frame = pl.DataFrame({"value": [1, 2], "key": ["a", "b"]})
    writer = output.writer(io.BytesIO())
    assert writer.write_frame(frame)
    assert (writer.records, writer.pairs) == (2, True)

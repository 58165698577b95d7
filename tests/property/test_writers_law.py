"""What writers write: each record's text depends on the record alone, and is JSON's where it is JSON.

The texts are held against Python's own encoder, which gets values with only what JSON has.
"""

from __future__ import annotations

import io
import json
import math
from datetime import date, datetime, time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapreduce.datasets.jsontext import json_text
from mapreduce.datasets.writers import JsonLinesWriter, TextWriter, Writer
from mapreduce.errors import RecordError
from mapreduce.keys import order_bytes
from tests.property import strategies

names = strategies.texts | st.sampled_from(["%", "%s", '"', "key", "value"])
other_names = st.none() | st.booleans() | strategies.numbers | strategies.binaries | strategies.dates
values = st.recursive(
    strategies.json_values | st.frozensets(strategies.texts, max_size=3),
    lambda inner: st.dictionaries(names | other_names, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=4,
)
records = st.dictionaries(names, values, max_size=3) | st.tuples(values, values)
shapes = st.lists(names, unique=True, max_size=4).flatmap(
    lambda fields: st.fixed_dictionaries(dict.fromkeys(fields, values))
)
"""Dicts of which most have the same names."""


CODINGS = [("utf-8", "strict"), ("ascii", "replace"), ("iso8859-1", "ignore"), ("cp1252", "strict")]


def plain(value: Any) -> Any:
    """With only what JSON has. Raises LookupError if two names are one."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in sorted(value, key=order_bytes)]
    if isinstance(value, dict):
        named = {name_of(name): plain(item) for name, item in value.items()}
        if len(named) < len(value):
            raise LookupError
        return named
    return value


def name_of(name: Any) -> str:
    made = plain(name)
    return made if isinstance(made, str) else json.dumps(made)


def expected(value: Any) -> str:
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


@given(values)
@example({1: "one", "1": "text"})
@example(["\ud800", b"\xff", -0.0, math.nan, 2**70])
def test_a_value_has_the_text_that_pythons_encoder_gives(value: Any) -> None:
    try:
        text = expected(value)
    except LookupError:
        with pytest.raises(RecordError, match="one as text"):
            json_text(value)
    else:
        assert json_text(value) == text


def written(writer: Writer, given: list[Any]) -> bytes:
    """What a writer adds to its stream."""
    writer.write(iter(given))
    stream: Any = writer._stream
    return bytes(stream.getvalue())


@given(st.lists(records | shapes, max_size=6) | shapes.flatmap(lambda one: st.lists(st.just(one) | shapes)))
@example([{"%": 1}, {"%": "%s"}, {1: 2}, {True: 2}, {1.0: 2}, {}])
def test_a_line_of_json_depends_on_its_record_alone(given: list[Any]) -> None:
    alone = []
    for record in given:
        try:
            alone.append(written(JsonLinesWriter(io.BytesIO()), [record]))
        except RecordError:
            return
    assert written(JsonLinesWriter(io.BytesIO()), given) == b"".join(alone)


@given(
    st.lists(st.text(max_size=4) | st.sampled_from(["a\n", "\r", "a\r", "\n", "é\ud800"]), max_size=5)
    | st.lists(st.text(max_size=3) | st.binary(max_size=3) | st.tuples(st.text(max_size=2), st.integers())),
    st.sampled_from(
        [("utf-8", "strict"), ("ascii", "replace"), ("iso8859-1", "ignore"), ("cp1252", "strict")]
    ),
)
@example(["a\r", "b"], ("utf-8", "strict"))
def test_a_line_of_text_depends_on_its_record_alone(given: list[Any], how: tuple[str, str]) -> None:
    """And what can't be a line is refused in either way."""
    alone, refused = [], []
    for record in given:
        try:
            alone.append(written(TextWriter(io.BytesIO(), *how), [record]))
        except RecordError as error:
            refused.append(str(error))
    if refused:
        with pytest.raises(RecordError) as caught:
            written(TextWriter(io.BytesIO(), *how), given)
        assert str(caught.value) in refused
    else:
        assert written(TextWriter(io.BytesIO(), *how), given) == b"".join(alone)


def test_a_record_that_is_changed_after_it_was_given_is_written_as_it_was() -> None:
    def changing() -> Any:
        record = {"n": [0]}
        for number in range(3):
            record["n"][0] = number
            yield record

    writer = JsonLinesWriter(io.BytesIO())
    writer.write(changing())
    stream: Any = writer._stream
    assert stream.getvalue() == b'{"n":[0]}\n{"n":[1]}\n{"n":[2]}\n'

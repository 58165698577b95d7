"""A report as plain text: what it says, its width, and that nothing in it steers a terminal."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce import Job, Records, Sum, run
from mapreduce.sinks.news import news_of
from mapreduce.sinks.plain import WIDTH, plain
from mapreduce.sinks.report import Report, Section

TEXT = st.text(max_size=200)


def widest(text: str) -> int:
    """By the East Asian Width of Unicode, character by character."""
    return max(
        sum(
            0
            if unicodedata.category(one) in ("Mn", "Me")
            else 2
            if unicodedata.east_asian_width(one) in "WF"
            else 1
            for one in line
        )
        for line in text.split("\n")
    )


def report(*sections: Section) -> Report:
    return Report("words", "SUCCEEDED", "today", [("time", "1 s")], 0.25, list(sections), "the end")


def test_the_text_of_a_run() -> None:
    result = run(Job("words", Records(["a", "b", "a"]), lambda word: [(word, 1)], Sum(), "out"), on="serial")
    text = plain(news_of(result).report)
    assert text.startswith("words: SUCCEEDED\n================\n\n")
    assert "\nkey  value\na        2\nb        1\n" in text
    assert result.manifest.digest in text
    assert widest(text) <= WIDTH


def test_the_whole_text() -> None:
    table = Section("Jobs", ["job", "records"], [False, True], [["a", "10"], ["long", "9"]], note="2 of 3.")
    facts = Section("Run", [], [False, False], [["time", "1 s"]])
    assert plain(report(table, facts)) == (
        "words: SUCCEEDED\n================\n\ntoday\n\ntime 1 s\n\n"
        "Time in functions 25 %, in the engine 75 %.\n\n"
        "Jobs\n----\njob   records\na          10\nlong        9\n\n2 of 3.\n\n"
        "Run\n---\ntime  1 s\n\nthe end\n"
    )


def test_long_texts_are_wrapped_in_their_column() -> None:
    section = Section("Errors", ["times", "what"], [True, False], [["3", "word " * 30], ["4", "x" * 200]])
    lines = plain(report(section)).split("\n")
    start = lines.index("------") + 2
    assert lines[start] == "    3  " + "word " * 13 + "word"
    assert lines[start + 1] == "       " + "word " * 13 + "word"
    assert lines[start + 3] == "    4  " + "x" * 71
    assert lines[start + 4] == "       " + "x" * 71


def test_a_table_that_is_too_wide_is_written_row_by_row() -> None:
    columns = [f"column {number}" for number in range(9)]
    section = Section("Wide", columns, [False] * 9, [["text of a cell"] * 9, ["another"] * 9])
    text = plain(report(section))
    assert "\ncolumn 8: text of a cell\n\ncolumn 0: another\n" in text


def test_no_share_of_functions_is_told_where_there_is_none() -> None:
    assert "Time in functions" not in plain(replace(report(), functions=0.0))


@pytest.mark.covers("Q12", "control characters, ANSI, bidi in the text of a mail")
@given(TEXT, TEXT, st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=4), st.lists(TEXT, max_size=3))
def test_any_text_is_printable_and_narrow(
    title: str, label: str, rows: list[list[str]], columns: list[str]
) -> None:
    head = columns if len(columns) == 3 else []
    section = Section(title, head, [False, True, False], rows, note=label)
    text = plain(Report(title, label, title, [(label, title)], 0.5, [section], title))
    assert all(line.isprintable() for line in text.split("\n"))
    assert widest(text) <= WIDTH

"""Figures in words, and hostile text made visible."""

import pytest

from mapreduce.errors import WorkerCrash
from mapreduce.figures import causes, count, duration, is_of_cause, shares, visible, visible_lines, when
from mapreduce.model import AttemptRecord


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/index.html", "/index.html"),
        ("日本語 é ☃", "日本語 é ☃"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\tb\nc\rd", r"a\tb\nc\rd"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("no\xa0break", r"no\xa0break"),
        ("\ud800", r"\ud800"),
        ("\x9b31m", r"\x9b31m"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


def test_visible_lines_keeps_line_feeds_only():
    assert visible_lines("a\n\x1bb\rc") == "a\n\\x1bb\\rc"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 00 min"),
        (93_784, "26 h 03 min"),
    ],
)
def test_duration(seconds, shown):
    assert duration(seconds) == shown


def test_count():
    assert [count(n, "part") for n in (0, 1, 2000)] == ["0 parts", "1 part", "2,000 parts"]


@pytest.mark.parametrize(
    ("times", "shown"), [((0, 0), ("0 %", "0 %")), ((1, 2), ("33 %", "67 %")), ((5, 0), ("100 %", "0 %"))]
)
def test_shares_add_up(times, shown):
    assert shares(*times) == shown


def test_when():
    assert when("2026-11-21T22:43:58.123+00:00") == "2026-11-21 22:43:58 UTC"
    assert when("\x1byesterday") == r"\x1byesterday"


def test_causes_that_differ_in_numbers_are_one():
    errors = ["worker 17 died", "disk full\nmore", "worker 4 died", "worker 99 died"]
    attempts = [AttemptRecord("map 0", 1, 0, "failed", 0.1, error) for error in errors]
    attempts.append(AttemptRecord("map 0", 1, 0, "succeeded", 0.1))
    assert causes(attempts) == [(3, "worker 17 died"), (1, "disk full")]


def test_causes_are_told_by_class_and_place():
    attempts = [
        AttemptRecord("map 0", 1, 0, "failed", 0.1, "ValueError at a", "UserFunctionError", "job.py:1"),
        AttemptRecord("map 1", 1, 0, "failed", 0.1, "ValueError at b", "UserFunctionError", "job.py:1"),
        AttemptRecord("map 1", 2, 0, "lost", 0.1, "killed", "WorkerKilled", "job.py:1"),
    ]
    assert causes(attempts) == [(2, "ValueError at a"), (1, "killed")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError:/a/job.py:12", "KeyError:/a/job.py:21"),
        ("crash:-11", "crash:-6"),
        ("crash:1", "crash:2"),
        ("killed:-9", "killed:-15"),
    ],
)
def test_lines_signals_and_exit_codes_tell_causes_apart(one, other):
    attempts = [AttemptRecord("map 0", 1, 0, "failed", 0.1, place, "Kind", place) for place in (one, other)]
    assert causes(attempts) == [(1, one), (1, other)]


@pytest.mark.parametrize(
    ("kind", "place", "same"),
    [
        ("WorkerCrash", "crash:-11:in.txt, byte 7", True),
        ("WorkerCrash", "crash:-11:in.txt, byte 70", True),
        ("WorkerCrash", "crash:-11", True),
        ("WorkerCrash", "crash:-1", False),
        ("WorkerCrash", "crash:-6:in.txt, byte 7", False),
        ("WorkerCrash", "crash:-11:other.txt, byte 7", False),
        ("WorkerKilled", "crash:-11", False),
        ("", "", False),
    ],
)
def test_an_attempt_that_could_not_name_its_record_has_the_same_cause(kind, place, same):
    error = WorkerCrash("crashed", place="crash:-11:in.txt, byte 7")
    assert is_of_cause(AttemptRecord("map 0", 1, 0, "lost", 0.1, place, kind, place), error) is same

"""Result rows in a table of SQLite: each once, whatever happens, and with what they hold. See also
tests/system/test_table_postgres.py.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pickle
import signal
import sqlite3
import tracemalloc
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Count, Job, JobResult, JobSetResult, Records, Secret, Sum, Table, run
from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.model import ErrorGroup, SetJob, SetManifest, Status
from mapreduce.sinks import table as tables

URL = "sqlite:///results.db"
KEY, OTHER = "f" * 64, "0" * 64


def ask(query: str, *parameters) -> list[Any]:
    """What the database answers to another reader."""
    with closing(sqlite3.connect("results.db")) as connection, connection:
        return connection.execute(query, parameters).fetchall()


def rows(table: str = "t") -> list[Any]:
    """All rows without the run, sorted."""
    return sorted((row[1:] for row in ask(f'SELECT * FROM "{table}"')), key=repr)


def result_of(records, name="job", **more) -> JobResult:
    """A result that has these records, with all their types."""
    options = {"on": "serial", "overwrite": True}
    return run(Job(name, Records(list(records)), lambda record: [record], **more), **options)


def counted(words, **more) -> JobResult:
    return run(Job("words", Records(words), lambda word: [(word, 1)], Sum(), **more), on="serial")


def test_pairs_become_key_and_value(own_folder: Path):
    result = counted(["a", "b", "a"], sinks=[Table(URL, "t")])
    assert [delivery.error for delivery in result.deliveries] == [""]
    assert rows() == [("a", 2), ("b", 1)]
    assert ask("SELECT DISTINCT run_id FROM t") == [(result.manifest.run_id,)]
    ((key, run_id, job, table, number),) = ask(
        "SELECT delivery_key, run_id, job, table_name, row_count FROM mapreduce_deliveries WHERE run_id <> ''"
    )
    assert (key, run_id, job) == (result.deliveries[0].key, result.manifest.run_id, "words")
    assert (table, number) == ("t", 2)


@pytest.mark.parametrize(
    ("more", "options"),
    [({"key_names": ("host", "status")}, {}), ({}, {"key_names": ("host", "status")})],
    ids=["of the job", "of the sink"],
)
@pytest.mark.parametrize("reduce", [Sum(), {"hits": Count(), "bytes": Sum()}], ids=["pairs", "fields"])
@pytest.mark.parametrize("output", [None, "out"])
def test_tuple_keys_become_columns(own_folder: Path, more, options, reduce, output):
    job = Job("hits", Records([1, 2]), lambda n: [(("a", 200), n)], reduce, output=output, **more)
    Table(URL, "t", **options).deliver(run(job, on="serial"), KEY)
    fields = ["value"] if isinstance(reduce, Sum) else ["hits", "bytes"]
    columns = [row[1] for row in ask("PRAGMA table_info(t)")]
    assert columns == ["run_id", "host", "status", *fields]
    assert rows() == [("a", 200, 3)] if isinstance(reduce, Sum) else [("a", 200, 2, 3)]


@pytest.mark.parametrize("key_names", [(), ("a", "b", "c"), ("value", "x")])
def test_a_tuple_key_without_names_of_its_own_is_json(own_folder: Path, key_names):
    Table(URL, "t", key_names=key_names).deliver(result_of([(("a", 1), 2)]), KEY)
    assert rows() == [('["a",1]', 2)]


DAY = datetime(2026, 1, 2, 3, 4, 5, 678)
TYPES: list[tuple[Any, str, Any]] = [
    (True, "BOOLEAN", 1),
    (-(2**63), "BIGINT", -(2**63)),
    (2**63 - 1, "BIGINT", 2**63 - 1),
    (2**63, "TEXT", str(2**63)),
    (-(2**70), "TEXT", str(-(2**70))),
    (1.5, "DOUBLE", 1.5),
    (-0.0, "DOUBLE", -0.0),
    (math.nan, "DOUBLE", None),
    (math.inf, "DOUBLE", None),
    (-math.inf, "DOUBLE", None),
    (None, "TEXT", None),
    ("täglich", "TEXT", "täglich"),
    ("a\0b", "TEXT", r"a\u0000b"),
    ("\ud800x", "TEXT", r"\ud800x"),
    ("'; DROP TABLE t; --", "TEXT", "'; DROP TABLE t; --"),
    (b"\xff\0", "BLOB", b"\xff\0"),
    (DAY, "DATETIME", "2026-01-02 03:04:05.000678"),
    (DAY.replace(tzinfo=UTC), "DATETIME", "2026-01-02 03:04:05.000678"),
    (DAY.replace(tzinfo=timezone(timedelta(hours=2))), "DATETIME", "2026-01-02 01:04:05.000678"),
    (date(2026, 1, 2), "DATE", "2026-01-02"),
    (time(3, 4), "TIME", "03:04:00.000000"),
    (Decimal("1.50"), "TEXT", "1.50"),
    ([1, "a", None], "TEXT", '[1,"a",null]'),
    ({"a": (1, 2)}, "TEXT", '{"a":[1,2]}'),
    ({"a\0": math.nan}, "TEXT", '{"a\\u0000":null}'),
    ({1, 2}, "TEXT", "[1,2]"),
]


def columns_of(table: str) -> list[str]:
    """The types of the columns but for the run."""
    return [row[2] for row in ask(f"PRAGMA table_info({table})")[1:]]


def test_types(own_folder: Path):
    """All in one row, each in a column of its own."""
    record = {f"c{index}": value for index, (value, *_) in enumerate(TYPES)}
    Table(URL, "t").deliver(result_of([record]), KEY)
    (row,) = rows()
    assert list(zip(row, columns_of("t"), strict=True)) == [(there, kind) for _, kind, there in TYPES]


SEVERAL: list[tuple[list[Any], str, list[Any]]] = [
    ([1, None, 2], "BIGINT", [1, None, 2]),
    ([None, 1.5], "DOUBLE", [None, 1.5]),
    ([1, 1.5], "DOUBLE", [1.0, 1.5]),
    ([1, 2**64], "TEXT", ["1", str(2**64)]),
    ([1, "1", "x"], "TEXT", ["1", "1", "x"]),
    ([True, 2], "TEXT", ["true", "2"]),
    ([b"ab", "x"], "TEXT", ["ab", "x"]),
    ([2**64, 1.5], "TEXT", [str(2**64), "1.5"]),
    ([DAY, DAY.replace(tzinfo=UTC)], "TEXT", [DAY.isoformat(), DAY.isoformat() + "+00:00"]),
    ([[1], "x", None], "TEXT", ["[1]", "x", None]),
]


def test_values_of_several_types(own_folder: Path):
    """Each in a column of its own."""
    longest = max(len(values) for values, *_ in SEVERAL)
    records: list[dict[str, Any]] = [
        {f"c{index}": values[row] for index, (values, *_) in enumerate(SEVERAL) if row < len(values)}
        for row in range(longest)
    ]
    Table(URL, "t").deliver(result_of(records), KEY)
    columns = list(zip(*[row[1:] for row in ask("SELECT * FROM t ORDER BY rowid")], strict=True))
    assert columns == [tuple(there + [None] * (longest - len(there))) for *_, there in SEVERAL]
    assert columns_of("t") == [kind for _, kind, _ in SEVERAL]


def test_fields_that_are_missing_are_null(own_folder: Path):
    Table(URL, "t").deliver(result_of([{"a": 1}, {"b": "x"}, {"c": None, "a": 2}]), KEY)
    assert ask("SELECT a, b, c FROM t ORDER BY rowid") == [
        (1, None, None),
        (None, "x", None),
        (2, None, None),
    ]


def test_other_records_are_one_column(own_folder: Path):
    Table(URL, "t").deliver(result_of(["a line", [1, 2]]), KEY)
    assert ask("SELECT record FROM t ORDER BY rowid") == [("a line",), ("[1,2]",)]


# ---------------------------------------------------------------- once


@pytest.mark.covers("X1", "a second delivery of one run, by the same key and by another")
def test_a_run_is_there_once(own_folder: Path):
    result = counted(["a", "b", "a"])
    for key in (KEY, KEY, OTHER):
        Table(URL, "t").deliver(result, key)
        assert rows() == [("a", 2), ("b", 1)]
    assert ask("SELECT count(*) FROM mapreduce_deliveries WHERE run_id <> ''") == [(2,)]


def test_what_was_delivered_is_not_written_again(own_folder: Path):
    result = counted(["a"])
    Table(URL, "t").deliver(result, KEY)
    ask("DELETE FROM t")
    Table(URL, "t").deliver(result, KEY)
    assert rows() == []


def test_rows_of_other_runs_stay(own_folder: Path):
    Table(URL, "t").deliver(counted(["a"]), KEY)
    Table(URL, "t").deliver(counted(["a", "a"]), OTHER)
    assert rows() == [("a", 1), ("a", 2)]
    assert len(ask("SELECT DISTINCT run_id FROM t")) == 2


def test_replace_removes_the_rows_of_earlier_runs_of_this_job(own_folder: Path):
    first, other, later = counted(["a"]), result_of([("x", 1)], name="other"), counted(["b"])
    sink = Table(URL, "t", mode="replace")
    sink.deliver(first, KEY)
    sink.deliver(other, KEY[::-1].replace("f", "1", 1))
    sink.deliver(later, OTHER)
    assert rows() == [("b", 1), ("x", 1)]
    sink.deliver(first, KEY)
    assert rows() == [("b", 1), ("x", 1)], "the earlier run was delivered already"
    with pytest.raises(SinkRefused, match=f"run {later.manifest.run_id}, which began after"):
        sink.deliver(first, "2" * 64)
    assert rows() == [("b", 1), ("x", 1)]


def deliver(result: JobResult, key: str, stop_after: int | None = None) -> None:
    """In another process, which is killed before it commits, or between two batches."""
    insert = tables._insert

    def killed(connection, target, given):
        tables._BATCH = 10
        written = insert(connection, target, given)
        assert written > 10
        os.kill(os.getpid(), signal.SIGKILL)

    if stop_after is not None:
        tables._insert = killed
    Table(URL, "t").deliver(result, key)


def in_process(*arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=deliver, args=arguments)
    process.start()
    return process


@pytest.mark.covers("X1", "SIGKILL between the rows and their commit")
def test_a_delivery_that_is_killed_leaves_no_row(own_folder: Path):
    result = counted([f"w{number}" for number in range(35)])
    process = in_process(result, KEY, 1)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert ask("SELECT count(*) FROM t") == [(0,)]
    Table(URL, "t").deliver(result, KEY)
    assert ask("SELECT count(*), count(DISTINCT key) FROM t") == [(35, 35)]


@pytest.mark.covers("X1", "two deliveries of one run race, in two processes")
def test_of_two_deliveries_at_once_one_writes(own_folder: Path):
    result = counted([f"w{number}" for number in range(2_000)])
    racers = [in_process(result, KEY) for _ in range(2)]
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    assert ask("SELECT count(*), count(DISTINCT key) FROM t") == [(2_000, 2_000)]
    assert ask("SELECT count(*) FROM mapreduce_deliveries WHERE run_id <> ''") == [(1,)]


def test_an_error_on_the_way_leaves_no_row(own_folder: Path, monkeypatch):
    monkeypatch.setattr(tables, "_BATCH", 1)
    result = result_of([{"a": 1}, {"a": complex(1, 2)}])
    with pytest.raises(SinkRefused, match="The column 'a': JSON has no form") as refused:
        Table(URL, "t").deliver(result, KEY)
    assert refused.value.hint
    assert rows() == []
    assert ask("SELECT count(*) FROM mapreduce_deliveries WHERE run_id <> ''") == [(0,)]


def test_many_rows_are_not_a_list(own_folder: Path, monkeypatch):
    """What is held at once does not grow with the number of parts."""
    monkeypatch.setattr(tables, "_BATCH", 100)
    records = [{"number": number, "text": "x" * 100} for number in range(6_000)]
    job = Job("many", Records(records, split_size=300), lambda record: [record], output="out")
    result = run(job, on="serial")
    assert len(result.parts) == 20
    Table("sqlite:///warm.db", "t").deliver(result_of([{"a": 1}]), KEY)
    tracemalloc.start()
    try:
        Table(URL, "t").deliver(result, KEY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ask("SELECT count(*), sum(number) FROM t") == [(6_000, sum(range(6_000)))]
    assert peak < 1_000_000


# ---------------------------------------------------------------- tables that are there


def made(columns: str) -> None:
    ask(f"CREATE TABLE t ({columns})")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("run_id TEXT, key TEXT", "The table t lacks the columns value."),
        ("key TEXT, value BIGINT", "The table t lacks the columns run_id."),
        (
            "run_id TEXT, key TEXT, value BIGINT, day TEXT NOT NULL",
            "The table t needs values of day, which the records lack.",
        ),
        ("run_id TEXT, day TEXT NOT NULL", "lacks the columns key, value and needs values of day"),
        (
            "run_id TEXT, key BIGINT, value BIGINT",
            "'key' of the table t is BIGINT; the records have text",
        ),
        (
            "run_id TEXT, key TEXT, value BLOB",
            "'value' of the table t is BLOB; the records have int",
        ),
    ],
)
def test_a_table_with_other_columns_is_refused(own_folder: Path, columns, message):
    made(columns)
    with pytest.raises(SinkRefused) as refused:
        Table(URL, "t").deliver(counted(["a"]), KEY)
    assert message in refused.value.message
    assert "give another table" in refused.value.hint
    assert ask("SELECT * FROM t") == []


@pytest.mark.parametrize(
    ("columns", "there"),
    [
        ("value BIGINT, key TEXT, run_id TEXT", ("a", 2)),
        ("id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, key VARCHAR(9), value INTEGER NOT NULL", ("a", 2)),
        ("run_id TEXT, key TEXT, value DOUBLE, more TEXT, day TEXT NOT NULL DEFAULT 'x'", ("a", 2.0)),
        ("run_id TEXT, key TEXT, value TEXT", ("a", "2")),
    ],
)
def test_a_table_that_takes_the_rows_is_used(own_folder: Path, columns, there):
    made(columns)
    Table(URL, "t").deliver(counted(["a", "a"]), KEY)
    assert ask("SELECT key, value FROM t") == [there]


def test_ints_and_large_ints_of_several_runs(own_folder: Path):
    Table(URL, "t").deliver(result_of([{"n": 2**64}]), KEY)
    Table(URL, "t").deliver(result_of([{"n": 1}]), OTHER)
    assert rows() == [("1",), (str(2**64),)]
    Table(URL, "u").deliver(result_of([{"n": 1}]), "1" * 64)
    with pytest.raises(SinkRefused, match="'n' of the table u is BIGINT; the records have large"):
        Table(URL, "u").deliver(result_of([{"n": 2**64}]), "2" * 64)


def test_a_result_without_records(own_folder: Path):
    Table(URL, "t").deliver(counted([]), KEY)
    assert ask("SELECT row_count FROM mapreduce_deliveries WHERE run_id <> ''") == [(0,)]
    assert ask("SELECT name FROM sqlite_master WHERE name = 't'") == []
    sink = Table(URL, "t", mode="replace")
    sink.deliver(counted(["a"]), OTHER)
    sink.deliver(counted([]), "1" * 64)
    assert rows() == []


@pytest.mark.covers("Q8", "fields of records as names of columns")
@pytest.mark.parametrize(
    "name", ["a b", "a-b", "", "ä", '"; DROP TABLE t; --', "a" * 64, "1a", "a\0", "a\n", "run_id", "RUN_ID"]
)
def test_a_field_that_is_no_name_of_a_column_is_refused(own_folder: Path, name):
    with pytest.raises(SinkRefused, match="The records have a field") as refused:
        Table(URL, "t").deliver(result_of([{"good": 1, name: 2}]), KEY)
    assert "ename" in refused.value.hint
    assert ask("SELECT name FROM sqlite_master WHERE name = 't'") == []


def test_fields_that_differ_in_letters_only_are_refused(own_folder: Path):
    with pytest.raises(SinkRefused, match="another of this name in other letters"):
        Table(URL, "t").deliver(result_of([{"a": 1}, {"A": 1}]), KEY)


@pytest.mark.parametrize("name", ["select", "table", "group", "Key", "from", "_", "a" * 63])
def test_words_of_sql_are_names_too(own_folder: Path, name):
    Table(URL, name).deliver(result_of([{name: 1, "order": 2}]), KEY)
    assert ask(f'SELECT "{name}", "order" FROM "{name}"') == [(1, 2)]


# ---------------------------------------------------------------- other results


@pytest.mark.covers("X6", "a run that failed, and one that was cancelled: no rows")
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_of_a_failed_run_there_are_no_rows(own_folder: Path, status):
    result = counted(["a"])
    failure = ErrorGroup("WorkerCrash", "it crashed")
    manifest = replace(result.manifest, status=status, failure=failure, parts=())
    Table(URL, "t").deliver(JobResult(result.place, manifest), KEY)
    assert not Path("results.db").exists()


def test_of_a_set_there_is_a_row_for_each_job(own_folder: Path):
    error = ErrorGroup("WorkerCrash", "it crashed", number=2)
    jobs = (
        SetJob("one", Status.SUCCEEDED, "r1", "/one", "d", 1.5, 10, 5, 100, 50, 1, 2),
        SetJob("two", Status.FAILED, "r2", "/two", errors=(error,)),
        SetJob("three", Status.CANCELLED),
    )
    started = "2026-01-01T00:00:00+00:00"
    manifest = SetManifest(1, "nightly", "set-1", Status.FAILED, "continue", jobs, 2, started, {}, {})
    for key in (KEY, KEY, OTHER):
        Table(URL, "t").deliver(JobSetResult(Path("set"), manifest), key)
    query = "SELECT run_id, name, status, job_run_id, place, seconds, records_in, bytes_out, errors FROM t"
    one, two, three = ask(f"{query} ORDER BY rowid")
    assert one == ("set-1", "one", "SUCCEEDED", "r1", "/one", 1.5, 10, 50, "[]")
    assert two[:5] == ("set-1", "two", "FAILED", "r2", "/two")
    assert json.loads(two[-1])[0]["message"] == "it crashed"
    assert three[:5] == ("set-1", "three", "CANCELLED", "", "")


# ---------------------------------------------------------------- errors and secrets


@pytest.mark.covers("X2", "a database that is locked, and one whose folder is missing")
def test_a_database_that_fails_is_tried_again(own_folder: Path, monkeypatch):
    from mapreduce.sinks import database

    monkeypatch.setitem(database._PATIENT, "sqlite", {"timeout": 0.05})
    result = counted(["a"])
    with closing(sqlite3.connect("results.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SinkError, match="database is locked") as failed:
            Table(URL, "t").deliver(result, KEY)
        assert type(failed.value) is SinkError
        other.execute("ROLLBACK")
    Table(URL, "t").deliver(result, KEY)
    assert rows() == [("a", 1)]
    with pytest.raises(SinkError, match="unable to open database file"):
        Table("sqlite:///missing/x.db", "t").deliver(result, KEY)


@pytest.mark.parametrize(
    "url", ["nothing://x", "postgresql+nothing://x", "sqlite+nothing:///x", "oracle://x"]
)
def test_an_unknown_driver_is_refused(own_folder: Path, url):
    with pytest.raises(SinkRefused, match="There is no driver for") as refused:
        Table(url, "t").deliver(counted(["a"]), KEY)
    assert "Install the driver" in refused.value.hint


def test_without_sqlalchemy_it_is_refused(own_folder: Path, monkeypatch):
    result = counted(["a"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SinkRefused, match="needs sqlalchemy") as refused:
        Table(URL, "t").deliver(result, KEY)
    assert "pip install 'mapreduce[sql]'" in refused.value.hint


PASSWORD = "ge/heim%41 x"


@pytest.mark.covers("Q4", "a database's password, when nobody listens and when the URL is none")
@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql+psycopg://user:ge%2Fheim%2541 x@127.0.0.1:1/db", ""),
        ("postgresql+psycopg://user@127.0.0.1:1/db", PASSWORD),
        ("postgresql+psycopg://user@127.0.0.1:1/db?passfile=ge%2Fheim%2541%20x", ""),
        (f"no url {PASSWORD}", ""),
        (f"postgresql+nothing://user:{PASSWORD}@127.0.0.1/db", ""),
        (f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:port/db", ""),
    ],
)
def test_no_password_gets_out(own_folder: Path, monkeypatch, url, password):
    monkeypatch.setenv("URL", url)
    monkeypatch.setenv("PASSWORD", password)
    sink = Table(Secret.env("URL"), "t", password=Secret.env("PASSWORD") if password else None)
    with pytest.raises(SinkError) as refused:
        sink.deliver(counted(["a"]), KEY)
    told = f"{refused.value!r} {refused.value} {refused.value.hint} {sink!r} {pickle.dumps(sink)!r}"
    assert "heim" not in told
    assert refused.value.hint


def test_messages_do_not_quote_rows(own_folder: Path):
    """A constraint of the table's that a row breaks."""
    made("run_id TEXT, key TEXT CHECK (key <> 'geheim'), value BIGINT")
    with pytest.raises(SinkRefused, match="CHECK constraint failed") as refused:
        Table(URL, "t").deliver(counted(["good", "secret-row", "geheim"]), KEY)
    assert "secret-row" not in str(refused.value)
    assert "INSERT" not in str(refused.value)
    assert rows() == []


@pytest.mark.covers("Q4", "a database's URL with a password, given as plain text")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:geheim@host/db",
        "postgresql://user:ge@heim@host/db",
        "postgresql://:geheim@host/db",
        "postgresql://user@host/db?password=geheim",
        "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dgeheim",
        "geheim",
        "",
    ],
)
def test_a_url_with_a_password_is_no_plain_text(url):
    with pytest.raises(JobError) as refused:
        Table(url, "t")
    assert "heim" not in str(refused.value)
    assert "Secret" in refused.value.hint


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((None, "t"), {}),
        ((URL, ""), {}),
        ((URL, "a b"), {}),
        ((URL, "public.t"), {}),
        ((URL, "x" * 64), {}),
        ((URL, "mapreduce_deliveries"), {}),
        ((URL, None), {}),
        ((URL, "t"), {"password": "geheim"}),
        ((URL, "t"), {"mode": "upsert"}),
        ((URL, "t"), {"key_names": "host"}),
        ((URL, "t"), {"key_names": ["a b"]}),
        ((URL, "t"), {"name": "a/b"}),
    ],
)
def test_arguments_are_checked(arguments, options):
    with pytest.raises(JobError) as refused:
        Table(*arguments, **options)
    assert "geheim" not in str(refused.value)
    assert refused.value.hint


def test_it_travels_with_the_job():
    sink = Table(
        Secret.env("URL"), "t", password=Secret.file("p"), mode="replace", key_names=["a"], patience=5
    )
    sink = pickle.loads(pickle.dumps(sink))
    assert sink.secrets == (Secret.env("URL"), Secret.file("p"))
    assert (sink.table, sink.mode, sink.key_names, sink.patience) == ("t", "replace", ("a",), 5)
    assert repr(sink) == "Table(Secret.env('URL'), 't')"

"""Result rows in a table of PostgreSQL, which the tests start: each once, whatever happens to its writer."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import servers

from mapreduce import Job, JobResult, Records, Secret, Sum, Table, run
from mapreduce.errors import SinkError, SinkRefused
from mapreduce.sinks import table as tables

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

KEY, OTHER = "f" * 64, "0" * 64


@pytest.fixture(scope="session")
def server() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


class Database:
    """An empty database, and what it answers to another reader."""

    def __init__(self, server: servers.Postgres) -> None:
        self.server = server
        self.url = f"postgresql+psycopg://{servers.USER}@127.0.0.1:{server.port}/postgres"
        self.ask("DROP SCHEMA public CASCADE")
        self.ask("CREATE SCHEMA public")

    def ask(self, query: str, *parameters: object) -> list[Any]:
        import psycopg

        with psycopg.connect(self.server.address("postgres"), autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def sink(self, table: str = "t", **options: Any) -> Table:
        return Table(self.url, table, password=Secret.env("PASSWORD"), **options)


@pytest.fixture
def database(server: servers.Postgres, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("PASSWORD", servers.PASSWORD)
    return Database(server)


def result_of(records, name="job", **more) -> JobResult:
    """A result that has these records, with all their types."""
    job = Job(name, Records(list(records)), lambda record: [record], **more)
    return run(job, on="serial", overwrite=True)


def counted(words, **more) -> JobResult:
    return run(Job("words", Records(words), lambda word: [(word, 1)], Sum(), **more), on="serial")


def test_a_job_with_a_table(database: Database, own_folder: Path):
    result = counted(["a", "b", "a"], sinks=[database.sink()])
    assert [delivery.error for delivery in result.deliveries] == [""]
    run_id = result.manifest.run_id
    assert database.ask("SELECT * FROM t ORDER BY key") == [(run_id, "a", 2), (run_id, "b", 1)]


DAY = datetime(2026, 1, 2, 3, 4, 5, 678)
TYPES: list[tuple[Any, str, Any]] = [
    (True, "boolean", True),
    (-(2**63), "bigint", -(2**63)),
    (2**63, "text", str(2**63)),
    (1.5, "double precision", 1.5),
    (math.inf, "double precision", math.inf),
    (None, "text", None),
    ("a\0b\ud800", "text", r"a\u0000b\ud800"),
    (b"\xff\0", "bytea", b"\xff\0"),
    (DAY, "timestamp without time zone", DAY),
    (DAY.replace(tzinfo=UTC), "timestamp with time zone", DAY.replace(tzinfo=UTC)),
    (
        DAY.replace(tzinfo=timezone(timedelta(hours=2))),
        "timestamp with time zone",
        DAY.replace(tzinfo=UTC) - timedelta(hours=2),
    ),
    (date(2026, 1, 2), "date", date(2026, 1, 2)),
    ({"a": (1, "\0")}, "text", '{"a":[1,"\\u0000"]}'),
]


def test_types(database: Database, own_folder: Path):
    record = {f"c{index}": value for index, (value, *_) in enumerate(TYPES)} | {"nan": math.nan}
    database.sink().deliver(result_of([record]), KEY)
    (row,) = database.ask("SELECT * FROM t")
    assert list(row[1:-1]) == [there for *_, there in TYPES]
    assert math.isnan(row[-1])
    kinds = database.ask(
        "SELECT data_type FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position"
    )
    assert [kind for (kind,) in kinds[1:-1]] == [kind for _, kind, _ in TYPES]


def test_columns_of_a_table_that_is_there(database: Database, own_folder: Path):
    database.ask(
        "CREATE TABLE t (id serial PRIMARY KEY, run_id text, day date DEFAULT now(), big numeric, n integer,"
        " f numeric, moment timestamp, g int GENERATED ALWAYS AS IDENTITY)"
    )
    record = {"big": 2**70, "n": 5, "f": 0.1, "moment": DAY.replace(tzinfo=UTC)}
    database.sink().deliver(result_of([record]), KEY)
    assert database.ask("SELECT big, n, f, moment FROM t") == [(Decimal(2**70), 5, Decimal("0.1"), DAY)]


@pytest.mark.covers("X1", "a second delivery of one run to PostgreSQL, by the same key and by another")
def test_a_run_is_there_once(database: Database, own_folder: Path):
    result = counted(["a", "b", "a"])
    for key in (KEY, KEY, OTHER):
        database.sink().deliver(result, key)
        assert database.ask("SELECT key, value FROM t ORDER BY key") == [("a", 2), ("b", 1)]


def test_replace_removes_the_rows_of_earlier_runs(database: Database, own_folder: Path):
    first, later = counted(["a"]), counted(["b"])
    database.sink(mode="replace").deliver(first, KEY)
    database.sink(mode="replace").deliver(later, OTHER)
    assert database.ask("SELECT key FROM t") == [("b",)]


def deliver(sink: Table, result: JobResult, key: str, killed: bool) -> None:
    """In another process, which may be killed when it has sent its rows and not committed them."""
    insert = tables._insert

    def inserted(connection, target, rows):
        written = insert(connection, target, rows)
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    tables._insert = inserted
    sink.deliver(result, key)


def in_process(*arguments: object) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=deliver, args=arguments)
    process.start()
    return process


@pytest.mark.covers("X1", "SIGKILL between the rows and their commit, PostgreSQL")
def test_a_delivery_that_is_killed_leaves_no_row(database: Database, own_folder: Path):
    result = counted([f"w{number}" for number in range(3_500)])
    process = in_process(database.sink(), result, KEY, True)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert database.ask("SELECT count(*) FROM t") == [(0,)]
    database.sink().deliver(result, KEY)
    assert database.ask("SELECT count(*), count(DISTINCT key) FROM t") == [(3_500, 3_500)]


@pytest.mark.covers("X1", "three deliveries of one run race in processes, to tables that are not there yet")
def test_of_deliveries_at_once_one_writes(database: Database, own_folder: Path):
    result = counted([f"w{number}" for number in range(2_000)])
    racers = [in_process(database.sink(), result, KEY, False) for _ in range(3)]
    for racer in racers:
        racer.join(120)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert database.ask("SELECT count(*), count(DISTINCT key) FROM t") == [(2_000, 2_000)]
    assert database.ask("SELECT row_count FROM mapreduce_deliveries WHERE run_id <> ''") == [(2_000,)]


@pytest.mark.covers("X1", "a delivery waits for another that has not committed yet")
def test_a_delivery_waits_for_the_one_before(database: Database, own_folder: Path, monkeypatch):
    result = counted(["a", "b"])
    insert = tables._insert
    second = threading.Thread(target=database.sink().deliver, args=(result, KEY))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    calls = []

    def slowly(connection, target, rows):
        calls.append(target.name)
        written = insert(connection, target, rows)
        second.start()
        while database.ask(waiting) == [(0,)]:
            assert second.is_alive()
        return written

    monkeypatch.setattr(tables, "_insert", slowly)
    database.sink().deliver(result, KEY)
    second.join()
    assert calls == ["t"]
    assert database.ask("SELECT key FROM t ORDER BY key") == [("a",), ("b",)]


@pytest.mark.covers("X2", "another transaction holds the table's lock for too long")
def test_a_lock_that_stays_is_told(database: Database, own_folder: Path, monkeypatch):
    monkeypatch.setattr(tables, "LOCK_SECONDS", 1)
    database.sink().deliver(counted(["a"]), KEY)
    import psycopg

    with psycopg.connect(database.server.address("postgres")) as other:
        other.execute("UPDATE mapreduce_deliveries SET row_count = 0")
        with pytest.raises(SinkError, match="lock timeout") as failed:
            database.sink().deliver(counted(["b"]), OTHER)
    assert type(failed.value) is SinkError


@pytest.mark.covers("X2", "a user without rights")
def test_a_user_without_rights_is_refused(database: Database, own_folder: Path):
    database.ask(f"CREATE ROLE reader LOGIN PASSWORD '{servers.PASSWORD}'")
    database.ask("GRANT USAGE ON SCHEMA public TO reader")
    url = f"postgresql+psycopg://reader@127.0.0.1:{database.server.port}/postgres"
    with pytest.raises(SinkRefused, match="permission denied") as refused:
        Table(url, "t", password=Secret.env("PASSWORD")).deliver(counted(["a"]), KEY)
    assert "rights" in refused.value.hint


@pytest.mark.covers("Q4", "a password that PostgreSQL does not accept, and one beside values that it refuses")
@pytest.mark.parametrize("form", ["separate", "in the URL"])
def test_no_password_and_no_row_gets_out(database: Database, own_folder: Path, monkeypatch, form):
    monkeypatch.setenv("PASSWORD", "ge/heim%41")
    address = f"127.0.0.1:{database.server.port}/postgres"
    monkeypatch.setenv("URL", f"postgresql+psycopg://{servers.USER}:ge%2Fheim%2541@{address}")
    sink = database.sink() if form == "separate" else Table(Secret.env("URL"), "t")
    with pytest.raises(SinkError, match="password authentication failed") as refused:
        sink.deliver(counted(["a"]), KEY)
    assert "heim" not in f"{refused.value!r} {refused.value} {sink!r}"
    monkeypatch.setenv("PASSWORD", servers.PASSWORD)
    database.ask("CREATE TABLE t (run_id text, key varchar(3), value bigint CHECK (value < 2))")
    for words in (["longer-row"], ["row", "row"]):
        with pytest.raises(SinkRefused) as refused:
            database.sink().deliver(counted(words), KEY)
        assert "row" not in str(refused.value).replace("new row for relation", "").replace("the rows", "")
        assert servers.PASSWORD not in str(refused.value)
    assert database.ask("SELECT * FROM t") == []


@pytest.mark.covers("X2", "PostgreSQL ends the connection between the rows and their commit")
def test_a_connection_that_breaks_is_tried_again(database: Database, own_folder: Path, monkeypatch):
    result = counted(["a"])
    insert = tables._insert

    def broken(connection, target, rows):
        written = insert(connection, target, rows)
        database.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        )
        return written

    with monkeypatch.context() as patch:
        patch.setattr(tables, "_insert", broken)
        with pytest.raises(SinkError) as failed:
            database.sink().deliver(result, KEY)
    assert type(failed.value) is SinkError
    database.sink().deliver(result, KEY)
    assert database.ask("SELECT key, value FROM t") == [("a", 1)]

"""Result rows in a table of a database, once a run, in one transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from mapreduce.codec import to_plain
from mapreduce.datasets.jsontext import json_text
from mapreduce.errors import JobError, SinkRefused
from mapreduce.model import SetJob, Status
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.columns import (
    NAME,
    NAMES,
    RUN,
    Conversion,
    conversion,
    converted,
    kinds_of,
    row_of,
    type_for,
)
from mapreduce.sinks.database import LOCK_SECONDS, opened
from mapreduce.sinks.news import News, Result
from mapreduce.sinks.secret import Secret, is_secret
from mapreduce.sinks.teller import Teller

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Connection, Engine

Mode = Literal["append", "replace"]

LEDGER = "mapreduce_deliveries"
"""The table that tells what was delivered; a row whose key is a table's name is that table's lock."""
_BATCH = 1_000
"""Rows that are sent at once."""
_RUN_ID = 100
"""Characters of a run's id."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9_+]*://")
_SECRET = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)


class Table(Teller):
    """A sink that writes a result's records into a table of a database, by SQLAlchemy.

    url: a Secret, or the URL as text without a password. password: its Secret. table: made if it is missing,
    with a column for each field: of a pair `key` and `value`, of a tuple key the job's `key_names`, or these.
    mode: "append" keeps rows of other runs, "replace" removes those of the job's earlier runs.

    The rows, marked by a column `run_id`, and a line in the table `mapreduce_deliveries` are written in one
    transaction, and not again for the same key: each row is there once, however often a run is delivered.
    Nested and mixed values are JSON text, and so are ints beyond 64 bits in a new table; times with a zone
    are in UTC; but for PostgreSQL, nan and infinities are null. Of a run that failed or was cancelled there
    are no rows, which is no error. Of a JobSet there is a row for each job. Tested with PostgreSQL, SQLite.
    """

    def __init__(
        self,
        url: Secret | str,
        table: str,
        *,
        password: Secret | None = None,
        mode: Mode = "append",
        key_names: Sequence[str] = (),
        name: str = "table",
        patience: float = 60.0,
    ) -> None:
        super().__init__(name, patience=patience)
        self.url = _checked_url(url)
        self.password = None if password is None else is_secret(password, "The password of Table")
        if type(table) is not str or not NAME.match(table) or table.lower() == LEDGER:
            raise JobError(f"Table: table={table!r}.", hint=NAMES)
        if mode not in get_args(Mode):
            raise JobError(f"Table: mode={mode!r}.", hint=f"Give one of {', '.join(get_args(Mode))}.")
        if isinstance(key_names, str) or not all(type(n) is str and NAME.match(n) for n in key_names):
            raise JobError(f"Table: key_names={key_names!r}.", hint=f"Give a list of names. {NAMES}")
        self.table = table
        self.mode = mode
        self.key_names = tuple(key_names)
        self.secrets = tuple(secret for secret in (url, password) if isinstance(secret, Secret))

    def __repr__(self) -> str:
        return f"Table({self.url!r}, {self.table!r})"

    def deliver(self, result: Result, key: str) -> None:
        """Write the rows, unless they are there. Reads the result twice, and holds one part of it at a time.

        Raises SinkError, SinkRefused, ManifestError.
        """
        is_set = isinstance(result, JobSetResult)
        if not is_set and result.status not in (Status.SUCCEEDED, Status.COMPLETED_WITH_ERRORS):
            return
        url = self.url.reveal() if isinstance(self.url, Secret) else self.url
        password = self.password.reveal() if self.password else ""
        with opened(url, password) as engine:
            deliveries = _Deliveries(engine, self.table, self.mode)
            deliveries.prepare()
            if not deliveries.has(key):
                deliveries.add(key, result, partial(_rows, result, self.key_names))

    def tell(self, news: News, key: str) -> None:
        """Nothing: it is the records that are written."""


def _checked_url(url: Any) -> Secret | str:
    if not isinstance(url, str):
        return is_secret(url, "The URL of Table")
    authority, _, query = url.partition("?")
    user = authority.partition("://")[2].rpartition("@")[0]
    if ":" in user or _SECRET.search(query):
        raise JobError(
            "Table: the URL has a password in it, which would travel with the job.",
            hint='Give it as password=Secret.env("NAME"), or the whole URL as a Secret.',
        )
    if not _URL.match(url):
        raise JobError("Table: the URL is none.", hint="Write driver://user@host/database, or give a Secret.")
    return url


def _rows(result: Result, key_names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    if isinstance(result, JobSetResult):
        return map(_row_of_job, result.jobs)
    names = result.manifest.key_names or key_names
    return (row_of(record, names) for record in result)


def _row_of_job(job: SetJob) -> dict[str, Any]:
    return {
        "name": job.name,
        "status": job.status.value,
        "job_run_id": job.run_id,
        "place": job.place,
        "seconds": float(job.seconds),
        "records_in": job.records_in,
        "records_out": job.records_out,
        "bytes_in": job.bytes_in,
        "bytes_out": job.bytes_out,
        "set_aside": job.set_aside,
        "errors": json_text(to_plain(job.errors)),
    }


class _Deliveries:
    """What a database knows of deliveries to one table."""

    def __init__(self, engine: Engine, table: str, mode: Mode) -> None:
        import sqlalchemy as sa

        self._engine, self._table, self._mode = engine, table, mode
        self._ledger = sa.Table(
            LEDGER,
            sa.MetaData(),
            sa.Column("delivery_key", sa.String(64), primary_key=True),
            sa.Column("run_id", sa.String(_RUN_ID), nullable=False),
            sa.Column("job", sa.String(100), nullable=False),
            sa.Column("table_name", sa.String(63), nullable=False),
            sa.Column("row_count", sa.BigInteger, nullable=False),
            sa.Column("started", sa.String(40), nullable=False),
            sa.Column("delivered", sa.String(40), nullable=False),
        )

    def prepare(self) -> None:
        """Have the ledger, and the table's lock in it. May be repeated, and by several at once."""
        from sqlalchemy.exc import IntegrityError

        self._make(self._ledger)
        if not self.has(self._table):
            try:
                with self._engine.begin() as connection:
                    self._note(connection, delivery_key=self._table)
            except IntegrityError:  # another was first
                return

    def _make(self, table: sa.Table) -> None:
        """Make a table that is not there; another may do so at the same time."""
        import sqlalchemy as sa

        try:
            with self._engine.begin() as connection:
                table.create(connection, checkfirst=True)
        except sa.exc.DBAPIError:
            if not sa.inspect(self._engine).has_table(table.name):
                raise

    def _note(self, connection: Connection, **given: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"run_id": "", "job": "", "table_name": self._table, "row_count": 0, "started": ""}
        connection.execute(self._ledger.insert(), line | {"delivered": now} | given)

    def has(self, key: str, connection: Connection | None = None) -> bool:
        """Whether the rows of this key were delivered."""
        if connection is None:
            with self._engine.begin() as connection:
                return self.has(key, connection)
        query = self._ledger.select().where(self._ledger.c.delivery_key == key)
        return connection.execute(query).first() is not None

    def add(self, key: str, result: Result, rows: Callable[[], Iterator[Mapping[str, Any]]]) -> None:
        """Write a run's rows and the line that tells so, and nothing if the line is there by then."""
        manifest = result.manifest
        kinds = kinds_of(rows())
        if kinds:
            self._make(_new_table(self._table, kinds))
        target, conversions = self._target(kinds)
        with self._engine.begin() as connection:
            self._lock(connection)
            if self.has(key, connection):
                return
            if target is not None:
                self._remove(connection, target, result)
                written = _insert(connection, target, converted(rows(), conversions, manifest.run_id))
            else:
                written = 0
            self._note(
                connection,
                delivery_key=key,
                run_id=manifest.run_id,
                job=result.name,
                row_count=written,
                started=manifest.started,
            )

    def _lock(self, connection: Connection) -> None:
        """Wait for other deliveries to the table, until the end of the transaction."""
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        ours = self._ledger.c.delivery_key == self._table
        connection.execute(self._ledger.update().where(ours).values(row_count=self._ledger.c.row_count + 1))

    def _target(self, kinds: Mapping[str, str]) -> tuple[sa.Table | None, dict[str, Conversion]]:
        """The table as it is, and how values are written into it. Raises SinkRefused if rows don't fit.

        None if it is not there, because there were no rows yet to tell its columns.
        """
        import sqlalchemy as sa

        inspector = sa.inspect(self._engine)
        if not inspector.has_table(self._table):
            return None, {}
        columns = {column["name"]: column for column in inspector.get_columns(self._table)}
        self._check(kinds, columns)
        conversions: dict[str, Conversion] = {}
        for name, kind in kinds.items():
            type_ = columns[name]["type"]
            convert = conversion(kind, type_, self._engine.dialect.name)
            if convert is None:
                told = (
                    f"The column {name!r} of the table {self._table} is {type_!s}; the records have {kind}."
                )
                raise SinkRefused(told, hint="Change the column's type, or give another table.")
            conversions[name] = convert
        used = [sa.Column(name, columns[name]["type"]) for name in (RUN, *kinds)]
        return sa.Table(self._table, sa.MetaData(), *used), conversions

    def _check(self, kinds: Mapping[str, str], columns: Mapping[str, Any]) -> None:
        missing = [name for name in (RUN, *kinds) if name not in columns]
        needed = [n for n, column in columns.items() if n not in (RUN, *kinds) and _is_needed(column)]
        if missing or (needed and kinds):
            lacks = f" lacks the columns {', '.join(missing)}" if missing else ""
            needs = f" needs values of {', '.join(needed)}, which the records lack" if needed else ""
            raise SinkRefused(
                f"The table {self._table}{' and'.join(filter(None, (lacks, needs)))}.",
                hint="Change it to what the records have, or give another table.",
            )

    def _remove(self, connection: Connection, target: sa.Table, result: Result) -> None:
        """Remove what this run has delivered, and what earlier ones have, if these rows are to replace it."""
        import sqlalchemy as sa

        ledger = self._ledger.c
        run_id = result.manifest.run_id
        connection.execute(target.delete().where(target.c[RUN] == run_id))
        if self._mode == "append":
            return
        of_job = sa.and_(ledger.job == result.name, ledger.table_name == self._table, ledger.run_id != run_id)
        for other, started in connection.execute(sa.select(ledger.run_id, ledger.started).where(of_job)):
            if datetime.fromisoformat(started) > datetime.fromisoformat(result.manifest.started):
                raise SinkRefused(
                    f"The table {self._table} holds the rows of run {other}, which began after run {run_id}.",
                    hint="Nothing is to be done, unless it is the older rows that you want.",
                )
        earlier = sa.select(ledger.run_id).where(of_job)
        connection.execute(target.delete().where(target.c[RUN].in_(earlier)))


def _new_table(name: str, kinds: Mapping[str, str]) -> sa.Table:
    import sqlalchemy as sa

    columns = [sa.Column(column, type_for(kind)) for column, kind in kinds.items()]
    run = sa.Column(RUN, sa.String(_RUN_ID), nullable=False, index=True)
    return sa.Table(name, sa.MetaData(), run, *columns)


def _is_needed(column: Mapping[str, Any]) -> bool:
    """Whether a row must have a value of it; keys that a database counts by itself need none."""
    given = ("default", "identity", "computed", "primary_key")
    return not column["nullable"] and not any(column.get(name) for name in given)


def _insert(connection: Connection, target: sa.Table, rows: Iterator[dict[str, Any]]) -> int:
    written = 0
    while batch := list(islice(rows, _BATCH)):
        connection.execute(target.insert(), batch)
        written += len(batch)
    return written

"""A database, reached by SQLAlchemy: opened, and its errors told apart, without a password in any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.figures import visible
from mapreduce.tabular import demand

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

_PATIENT: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 10},
    "psycopg": {"connect_timeout": 10, "tcp_user_timeout": 30_000},
    "psycopg2": {"connect_timeout": 10, "tcp_user_timeout": 30_000},
    "pymysql": {"connect_timeout": 10, "read_timeout": 30, "write_timeout": 30},
    "mysqldb": {"connect_timeout": 10, "read_timeout": 30, "write_timeout": 30},
}
"""What drivers are told of how long to wait, in seconds; `tcp_user_timeout` in milliseconds."""
LOCK_SECONDS = 30
"""For which another delivery to the same table is waited for."""
_DRIVER = "Install the driver that the URL names, such as psycopg for postgresql+psycopg://."
_LONGEST = 300
_SHORTEST = 4
"""Characters of an option of a URL that may be a secret."""


@contextmanager
def opened(text: str, password: str) -> Iterator[Engine]:
    """An engine for a URL, closed at the end of the block. Nothing is connected yet.

    Raises SinkRefused if there is no such driver, and what `errors` raises for the block.
    """
    try:
        demand("sqlalchemy", "sql", "Table")
    except JobError as error:
        raise SinkRefused(error.message, hint=error.hint) from None
    url = _url(text, password)
    with _errors(url):
        engine = _engine(url)
        try:
            yield engine
        finally:
            engine.dispose()


def _url(text: str, password: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # its message may quote it
        raise SinkRefused(
            "The database's URL is none.", hint="Write driver://user@host/database, as SQLAlchemy takes it."
        ) from None
    return url.set(password=password) if password else url


def _engine(url: URL) -> Engine:
    import sqlalchemy as sa
    from sqlalchemy.pool import NullPool

    try:
        driver = url.get_dialect().driver
        waits = _PATIENT.get("sqlite" if driver == "pysqlite" else driver, {})
        options = {name: value for name, value in waits.items() if name not in url.query}
        engine = sa.create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=options)
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        name = visible(url.drivername)
        raise SinkRefused(
            f"There is no driver for {name}:// ({type(error).__name__}).", hint=_DRIVER
        ) from None
    if engine.dialect.name == "sqlite":
        _begin_at_once(engine)
    return engine


def _begin_at_once(engine: Engine) -> None:
    """Have SQLite begin a transaction, and lock the file, when it is told to: Python begins one later, and
    leaves statements that make tables out of it.
    """
    from sqlalchemy import event

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


@contextmanager
def _errors(url: URL) -> Iterator[None]:
    """What another try may mend is a SinkError, what it won't a SinkRefused."""
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.DBAPIError as error:
        told = _told(error.orig or error, url)
        passing = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
        if error.connection_invalidated or isinstance(error, passing):
            raise SinkError(
                f"The database of {_shown(url)} failed: {told}",
                hint="Look whether it can be reached, and whether user and password are good.",
            ) from None
        raise SinkRefused(
            f"The database of {_shown(url)} refused: {told}",
            hint="Give the user the rights to create and write the table, or give another table.",
        ) from None
    except sa.exc.SQLAlchemyError as error:
        raise SinkRefused(f"The database of {_shown(url)} refused: {_told(error, url)}") from None


def _shown(url: URL) -> str:
    """The URL's driver, host and database alone: whatever else is in it may be secret."""
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return visible(f"{url.drivername}://{host}/{url.database or ''}")


def _told(error: BaseException, url: URL) -> str:
    """The first line of a message, without the URL's secrets; those that follow may quote rows."""
    text = str(error).strip().split("\n", 1)[0].strip().rstrip(".")
    options = chain.from_iterable(url.normalized_query.values())
    hidden = [str(url.password or ""), *(value for value in options if len(value) >= _SHORTEST)]
    forms = {form for secret in hidden for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, "…")
    text = visible(text) or type(error).__name__
    return f"{text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}."

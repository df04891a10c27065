"""Connections to SQLite and PostgreSQL, and their errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from serving.store.errors import StoreError

with contextlib.suppress(ImportError):
    # A process that imports TensorFlow before this aborts when it connects with TLS ("free():
    # invalid pointer": both bring a library for that). So it is imported here, in 0.08 s, and not
    # when the first connection is made.
    import psycopg  # noqa: F401

# Seconds; nothing in the store waits longer for a connection, a lock or a statement of a database
# that works. One that is frozen, and whose machine still answers for it, cannot be told from a slow
# one: the gateway bounds its own wait for the store.
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 15
_SCHEMES = "sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


def make_engine(url: str) -> sa.Engine:
    """An engine that writes durably: what is committed survives the loss of power.

    Args:
        url: of SQLAlchemy's form.

    Raises:
        StoreError: the URL names no database of a kind that is known here.
    """
    try:
        parsed = sa.make_url(url)
        port = parsed.port
    except (SQLAlchemyError, ValueError):
        raise StoreError(
            f"expected the store's URL as {_SCHEMES}. Received: another form"
        ) from None
    del port
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed.set(drivername="postgresql+psycopg"))
    raise StoreError(
        f"expected the store's URL as {_SCHEMES}. Received: a URL for {parsed.drivername}"
    )


def sqlite_file(url: str) -> Path | None:
    """The file that a URL of SQLite names; None for any other URL."""
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        return None
    named = parsed.get_backend_name() == "sqlite" and parsed.database
    return Path(named) if named else None


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("expected sqlite:///PATH with the path of a file. Received: none")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"expected a folder for {url.database}. Received: {error}") from None
    arguments = {"timeout": CONNECT_SECONDS, "check_same_thread": False}
    engine = sa.create_engine(
        url, connect_args=arguments, pool_timeout=CONNECT_SECONDS, hide_parameters=True
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        # Otherwise the driver begins transactions when it sees fit, and never before DDL.
        connection.isolation_level = None
        cursor = connection.cursor()
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and then writes could not wait for its turn to write.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    milliseconds = STATEMENT_SECONDS * 1000
    options = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c timezone=UTC"
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "options": options,
        # A server that vanished without a word is noticed.
        "keepalives_idle": STATEMENT_SECONDS,
        "tcp_user_timeout": milliseconds,
        "application_name": "loomline",
    }
    return sa.create_engine(
        url,
        connect_args=arguments,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )


@contextlib.contextmanager
def transaction(engine: sa.Engine, *, writes: bool) -> Iterator[sa.Connection]:
    """A transaction, committed at the end unless something is raised.

    Raises:
        StoreError: the database failed.
    """
    try:
        with engine.execution_options(writes=writes).begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(described(engine.url, error)) from error


def described(url: sa.URL, error: SQLAlchemyError) -> str:
    """One line that names the database and never its password."""
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    # PostgreSQL quotes the row that it refuses, and what people wrote stands in it.
    cause = cause.split("\nDETAIL:")[0]
    text = " ".join(cause.split())
    queried = url.query.get("password", ())
    for password in (url.password, *([queried] if isinstance(queried, str) else queried)):
        if password:
            text = text.replace(str(password), "***")
    where = (
        url.database if url.get_backend_name() == "sqlite" else url.set(query={}).render_as_string()
    )
    return f"the store {where} failed: {text}"


def insert(engine: sa.Engine, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT."""
    return sqlite.insert(table) if engine.dialect.name == "sqlite" else postgresql.insert(table)

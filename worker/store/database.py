"""Open the database, and give out short sessions to read and to write."""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import NullPool
from sqlmodel import Session, SQLModel, create_engine

from worker import settings
from worker.store import tables

_BUSY_TIMEOUT_SECONDS = 20

now = time.time  # rows keep seconds since 1970, which SQLite and PostgreSQL compare alike


@contextmanager
def reading() -> Iterator[Session]:
    """Give a session whose rows stay readable after it is closed."""
    with Session(_engine(settings.database_url()), expire_on_commit=False) as session:
        yield session


@contextmanager
def writing() -> Iterator[Session]:
    """Give a session that commits at its end and holds the write lock from its start, so none interleaves."""
    engine = _engine(settings.database_url()).execution_options(for_writing=True)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@functools.cache
def _engine(url: str) -> Engine:
    # No pool: Celery forks, and a connection must not cross a fork. Opening SQLite costs well under a millisecond.
    if not url.startswith("sqlite"):
        engine = create_engine(url, poolclass=NullPool)
        SQLModel.metadata.create_all(engine, tables=tables.ALL)
        return engine
    settings.home().mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    with engine.execution_options(for_writing=True).begin() as connection:  # web and worker start together
        SQLModel.metadata.create_all(connection, tables=tables.ALL)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions of its own: _begin_sqlite does
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a deferred one that starts to write after another wrote would fail.
    for_writing = connection.get_execution_options().get("for_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if for_writing else "BEGIN")

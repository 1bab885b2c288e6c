"""Open the database, and give out short sessions to read and to write."""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from sqlmodel import Session, SQLModel, create_engine

from fastvideo_engine.errors import StorageError
from worker import settings
from worker.store import tables

_BUSY_TIMEOUT_SECONDS = 20

now = time.time  # rows keep seconds since 1970, which SQLite and PostgreSQL compare alike


@contextmanager
def reading() -> Iterator[Session]:
    """Give a session whose rows stay readable after it is closed; raise `StorageError` when there is no reading."""
    with _failures_in_words(), Session(_engine(settings.database_url()), expire_on_commit=False) as session:
        yield session


@contextmanager
def writing() -> Iterator[Session]:
    """Give a session that commits at its end and holds the write lock from its start, so none interleaves.

    Raises `StorageError` when nothing can be written, on a full disk, say.
    """
    with _failures_in_words():
        engine = _engine(settings.database_url()).execution_options(for_writing=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session


def stay_open() -> None:
    """Keep a connection for as long as this process lives; for processes that never fork.

    When the last connection closes, SQLite removes the files beside the database; to make them anew, even for
    reading, takes room on the disk. So pages stay readable on a full one.
    """
    connection = _engine(settings.database_url()).connect()
    connection.exec_driver_sql("SELECT count(*) FROM job")  # only a first look makes those files
    connection.rollback()
    _kept_open.append(connection)


_kept_open: list[Connection] = []


@contextmanager
def _failures_in_words() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        why = str(error.orig).rstrip(".")
        told = f"The studio's database cannot be read or written ({why}); make room on the disk of {settings.home()}."
        raise StorageError(told) from error


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
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")  # the mode cannot be changed within a transaction
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file from then on
    with engine.execution_options(for_writing=True).begin() as connection:  # web and worker start together
        SQLModel.metadata.create_all(connection, tables=tables.ALL)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions of its own: _begin_sqlite does
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a deferred one that starts to write after another wrote would fail.
    for_writing = connection.get_execution_options().get("for_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if for_writing else "BEGIN")

"""Connecting to a database: an SQLite file, or PostgreSQL at a URL. Needs SQLAlchemy."""

import sqlite3
from typing import Any

import sqlalchemy as sa

from lmcraft.errors import UserError

BUSY_TIMEOUT_SECONDS = 30.0  # how long a writer waits for another


def connect(url: sa.URL, subject: str, **options: Any) -> sa.Engine:
    """An engine for a database. In SQLite a connection with the option `immediate` begins as a writer.

    Args:
        url: of the database.
        subject: the database as an error names it.
        options: of `sqlalchemy.create_engine`.

    Raises:
        UserError: a package is missing, or the URL is invalid.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    # A server may be restarted, and a network may fail.
    defaults = {"connect_args": {"timeout": BUSY_TIMEOUT_SECONDS}} if is_sqlite else {"pool_pre_ping": True}
    try:
        engine = sa.create_engine(url, **defaults | options)
    except ModuleNotFoundError as error:
        raise UserError(f"{subject} needs the package {error.name}; pip install {error.name}") from error
    except (sa.exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise UserError(f"{subject} has an invalid URL ({error}); correct it") from error
    if is_sqlite:
        control_transactions(engine)
    return engine


def control_transactions(engine: sa.Engine) -> None:
    """Have SQLAlchemy, not the driver, begin the transactions of an SQLite database."""
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)


def error_text(error: Exception) -> str:
    """The database's error message in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # else sqlite3 begins transactions itself, too late to wait for another writer
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: sa.Connection) -> None:
    """Begin a transaction. A writer takes the lock now, because after a read SQLite refuses to wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")

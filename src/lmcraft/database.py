"""Opening a database: an SQLite file, or PostgreSQL at a URL. Needs SQLAlchemy.

A `Schema` says which tables a kind of database has, and `open_database` creates them, checks them, or brings those of an
older version up to date. Kinds that have different table names may share one PostgreSQL database.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from lmcraft.errors import ErrorValues, UserError
from lmcraft.setting_values import expand_user

BUSY_TIMEOUT_SECONDS = 30.0  # how long a writer waits for another
MAX_MERGE_MILLISECONDS = 1000  # how long `close_database` waits for readers in other processes
POSTGRESQL_DRIVER = "postgresql+psycopg"
# Seconds, and milliseconds, after which a silent connection to PostgreSQL is given up; by default a quarter of an hour.
NETWORK = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
POOL_SIZE = 15  # connections to PostgreSQL that stay open; SQLAlchemy's own is 5, and closes what is more after each use
CREATION_LOCK = 0x6C6D6372616674  # of PostgreSQL, while tables are created or changed
MARKERS = ("lmcraft_store", "lmcraft_reviews", "lmcraft_searches_version")
"""The version tables of all kinds: a PostgreSQL database that has one is lmcraft's, and other kinds may join it."""

_INVALID_CHARACTERS = re.compile("[\0\ud800-\udfff]")  # PostgreSQL cannot store NUL, and UTF-8 cannot encode surrogates


@dataclass(frozen=True)
class Schema:
    """The tables of one kind of database."""

    subject: str
    """How errors call the database, such as "store"."""
    metadata: sa.MetaData
    marker: sa.Table
    """Has one row: `version`, and `id`, which is random for each database."""
    version: int
    example: str
    """A file name, for errors."""
    added_tables: Mapping[int, tuple[sa.Table, ...]] = field(default_factory=dict)
    """By version, the tables that it added."""
    added_columns: Mapping[int, tuple[sa.Column[Any], ...]] = field(default_factory=dict)
    """By version, the columns that it added to older tables; each needs a default in the server."""
    version_without_marker: int = 0
    """The version of databases that have the tables, but no marker; 0: there are none."""
    joins_others: bool = False
    """Whether the tables may stand beside another program's in PostgreSQL, since their names are lmcraft's own."""
    remedy: str = "use another, or restore its backup"
    """What to do if the database cannot be opened."""


def marker_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """The table that holds the version of a kind of database, and an id of its own."""
    return sa.Table(
        name,
        metadata,
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("id", sa.String(32), nullable=False, server_default=""),
    )


def open_database(location: str, schema: Schema, *, create: bool, upgrade: bool = True, **options: Any) -> sa.Engine:
    """Open the database in a file or at a URL.

    Args:
        location: a path, or a URL of SQLite or PostgreSQL.
        schema: its tables.
        create: create the file if it does not exist, and the tables if it is empty.
        upgrade: bring the tables of an older version up to date.
        options: of `sqlalchemy.create_engine`.

    Raises:
        UserError: it does not exist, is damaged, is of another kind, was made by a newer lmcraft, or cannot be reached.
    """
    url = parse_location(location, schema, create=create)
    is_sqlite = url.get_backend_name() == "sqlite"
    name = display_name(url)
    subject = f"{schema.subject} '{name}'"
    engine = connect(url, subject, **options)
    if is_sqlite:
        fold_case(engine)
    try:
        with engine.begin() as connection:  # reads only, so that nobody who writes has to wait
            number = _read_version(connection, schema)
            is_current = number == schema.version
            if is_current:
                check_tables(connection, schema, subject)
            elif not create:
                _check_present(connection, schema, subject, number, upgrade=upgrade)
        if not is_current:
            with engine.execution_options(immediate=True).begin() as connection:
                if not is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATION_LOCK)))
                check_tables(connection, schema, subject)
        if is_sqlite and create:
            _make_private(Path(name), schema.subject)  # not before: the file may be another program's
            with closing(engine.raw_connection()) as raw:  # not possible inside a transaction
                raw.cursor().execute("PRAGMA journal_mode=WAL")  # stays set in the file; lets readers run alongside a writer
    except (sa.exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        engine.dispose()
        raise UserError(f"{subject} cannot be opened ({error_text(error)}); {schema.remedy}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def close_database(engine: sa.Engine) -> None:
    """Merge what SQLite keeps beside its file into it, and close all connections."""
    if engine.dialect.name == "sqlite":
        # What cannot be merged now stays in the file beside, and the next process that opens the database reads it.
        with suppress(sa.exc.SQLAlchemyError, sqlite3.Error), closing(engine.raw_connection()) as raw:
            raw.cursor().execute(f"PRAGMA busy_timeout={MAX_MERGE_MILLISECONDS}")
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def memory_database(metadata: sa.MetaData) -> sa.Engine:
    """A database in memory. It lives in a single connection, which its users take in turn."""
    options: dict[str, Any] = {"poolclass": sa.QueuePool, "pool_size": 1, "max_overflow": 0}
    engine = sa.create_engine("sqlite://", hide_parameters=True, connect_args={"check_same_thread": False}, **options)
    control_transactions(engine)
    fold_case(engine)
    metadata.create_all(engine)
    return engine


def connect(url: sa.URL, subject: str, **options: Any) -> sa.Engine:
    """An engine for a database.

    In SQLite a connection with the option `immediate` begins as a writer. Its commit waits for the disk, unless the option
    `durable` is False: then a loss of power, but no kill, may undo the last transactions.

    Args:
        url: of the database.
        subject: the database as an error names it.
        options: of `sqlalchemy.create_engine`.

    Raises:
        UserError: a package is missing, or the URL is invalid.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    # A server may be restarted, and a network may fail.
    network: dict[str, Any] = {"pool_pre_ping": True, "connect_args": NETWORK, "pool_size": POOL_SIZE}
    defaults = {"connect_args": {"timeout": BUSY_TIMEOUT_SECONDS}} if is_sqlite else network
    try:
        engine = sa.create_engine(url, hide_parameters=True, **defaults | options)  # errors would quote texts of users
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


def fold_case(engine: sa.Engine) -> None:
    """Have SQLite's `lower` handle all letters; its own handles ASCII only."""
    sa.event.listen(engine, "connect", lambda raw, _: raw.create_function("lower", 1, str.lower, deterministic=True))


def read_clock(connection: sa.Connection, *, lock: int = 0) -> float:
    """Seconds since 1970: this machine's for a file, the server's for PostgreSQL, where several machines may meet.

    Args:
        connection: in a transaction.
        lock: in PostgreSQL, wait before for the advisory lock of this number, and keep it until the transaction ends.
    """
    if connection.dialect.name == "sqlite":
        return time.time()
    locks = [sa.func.pg_advisory_xact_lock(lock)] if lock else []  # in the same statement, to save a round trip
    *_, seconds = connection.execute(sa.select(*locks, sa.extract("epoch", sa.func.clock_timestamp()))).one()
    return float(seconds)


def error_text(error: Exception) -> str:
    """The database's error message in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def parse_location(location: str, schema: Schema, *, create: bool) -> sa.URL:
    """The URL of a database, whose file is created if it does not exist.

    Raises:
        UserError: it is invalid, or the file cannot be opened.
    """
    if "://" not in location:
        url = sa.URL.create("sqlite", database=str(expand_user(location)))
    else:
        try:
            url = sa.make_url(location)
        except (sa.exc.ArgumentError, ValueError) as error:  # the URL may hold a password, so it is not shown
            message = f"{schema.subject} is not a valid URL; use a file, or postgresql://USER@HOST/NAME"
            raise UserError(message) from error
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        message = f"{schema.subject} has the unknown database type '{kind}'; use a file, or postgresql://USER@HOST/NAME"
        raise UserError(message)
    if kind == "sqlite":
        _check_file(url.database or "", schema, create=create)
    return url.set(drivername=POSTGRESQL_DRIVER) if url.drivername == "postgresql" else url


def display_name(url: sa.URL) -> str:
    """The path or the URL of a database, without its password."""
    is_sqlite = url.get_backend_name() == "sqlite"
    return (url.database if is_sqlite else url.render_as_string(hide_password=True)) or ""


def check_tables(connection: sa.Connection, schema: Schema, subject: str) -> None:
    """Create the tables in an empty database; check those of any other, and add what a newer version added.

    Raises:
        UserError: the database is of another kind, is damaged, or was made by a newer lmcraft.
    """
    table_names = set(sa.inspect(connection).get_table_names())
    if schema.marker.name not in table_names:
        marked_version = schema.version
        if schema.version_without_marker and not table_names.isdisjoint(schema.metadata.tables):
            marked_version = schema.version_without_marker
        elif foreign := _foreign_tables(connection, schema, table_names):
            raise UserError(f"{subject} has another program's tables ({min(foreign)}); use another, or an empty database")
        else:
            schema.metadata.create_all(connection)
            table_names |= set(schema.metadata.tables)
        schema.marker.create(connection, checkfirst=True)
        connection.execute(schema.marker.insert().values(version=marked_version, id=uuid4().hex))
        table_names.add(schema.marker.name)
    number = _read_version(connection, schema)
    if number is not None and number > schema.version:
        raise UserError(
            f"{subject} was made by a newer lmcraft (version {number}, this one supports {schema.version}); "
            "update lmcraft, or use another"
        )
    newer = {table.name for added, tables in schema.added_tables.items() if added > (number or 0) for table in tables}
    missing = "tables are missing" if number is None or not set(schema.metadata.tables) - newer <= table_names else ""
    if damage := missing or _find_damage(connection):
        raise UserError(f"{subject} is damaged ({damage}); restore its backup, or use another")
    if number is not None and number < schema.version:
        _upgrade(connection, schema, number)


def check_text(name: str, value: str, max_chars: int) -> str:
    """Return `value` unchanged.

    Raises:
        UserError: it has more than `max_chars` characters, or one that cannot be stored.
    """
    if len(value) > max_chars:
        values: ErrorValues = {"field": name, "length": len(value), "max": max_chars}
        message = f"{name} has {len(value):,} characters; give at most {max_chars:,}"
        raise UserError(message, code="text_too_long", values=values)
    if match := _INVALID_CHARACTERS.search(value):
        character = "NUL" if match[0] == "\0" else "half of a surrogate pair"
        message = f"{name} has {character} ({match[0]!a}) at character {match.start()}; remove it"
        raise UserError(message, code="invalid_character", values={"field": name, "position": match.start()})
    return value


def is_storable(text: str) -> bool:
    """Whether every database can hold a text."""
    return _INVALID_CHARACTERS.search(text) is None


def replace_invalid(text: str) -> str:
    """The text with U+FFFD in place of each character that cannot be stored."""
    return _INVALID_CHARACTERS.sub("\ufffd", text)


def _read_version(connection: sa.Connection, schema: Schema) -> int | None:
    """The version of a database; None if it has no tables of this kind."""
    if not sa.inspect(connection).has_table(schema.marker.name):
        return None
    return connection.execute(sa.select(sa.func.max(schema.marker.c.version))).scalar()


def _foreign_tables(connection: sa.Connection, schema: Schema, table_names: set[str]) -> set[str]:
    """The tables of a database that keep those of the schema out."""
    is_shared = connection.dialect.name == "postgresql" and (schema.joins_others or not table_names.isdisjoint(MARKERS))
    return table_names & set(schema.metadata.tables) if is_shared else table_names


def _check_present(connection: sa.Connection, schema: Schema, subject: str, number: int | None, *, upgrade: bool) -> None:
    """Check that a database of version `number` has tables of its kind, and that those of an older version may be changed.

    Raises:
        UserError: it has not, or they may not.
    """
    if number is None and schema.metadata.tables.keys().isdisjoint(sa.inspect(connection).get_table_names()):
        raise UserError(f"{subject} has none of the tables that it should have; check the path, or restore its backup")
    if number is not None and number < schema.version and not upgrade:
        raise UserError(
            f"{subject} was made by an older lmcraft (version {number}, this one needs {schema.version}); "
            "start `lmcraft serve` with it once, which brings it up to date"
        )


def _upgrade(connection: sa.Connection, schema: Schema, number: int) -> None:
    """Add the tables and columns that a database of version `number` lacks."""
    schema.metadata.create_all(connection)
    for column in (column for added, columns in schema.added_columns.items() if added > number for column in columns):
        definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}")
    marker = schema.marker
    connection.execute(marker.update().values(version=schema.version))
    connection.execute(marker.update().where(marker.c.id == "").values(id=uuid4().hex))


def _find_damage(connection: sa.Connection) -> str:
    """The first problem that SQLite's quick check reports; empty if there is none. PostgreSQL checks its own files."""
    if connection.dialect.name != "sqlite":
        return ""
    report = " ".join(str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()).split())
    return "" if report == "ok" else report


def _check_file(name: str, schema: Schema, *, create: bool) -> None:
    path, subject = Path(name), schema.subject
    if name in ("", ":memory:"):
        raise UserError(f"{subject}='{name}' would be lost at exit; name a file, such as {schema.example}")
    if path.is_dir():
        raise UserError(f"{subject} '{name}' is a folder; name a file in it, such as {path / schema.example}")
    if not path.exists() and not create:
        raise UserError(f"{subject} '{name}' does not exist; check the path")
    if not path.parent.is_dir():
        message = f"{subject} '{name}' cannot be created, because there is no folder '{path.parent}'; create it first"
        raise UserError(message)
    with _explain_os_errors(path, subject):
        os.close(os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600))  # private from the start


def _make_private(path: Path, subject: str) -> None:
    """Change the mode of the file so that only its owner can read it; SQLite gives its other files the same."""
    with _explain_os_errors(path, subject):
        for file in (path, *(path.with_name(path.name + ending) for ending in ("-wal", "-shm"))):
            if file.exists() and file.stat().st_uid == os.geteuid():
                file.chmod(0o600)


@contextmanager
def _explain_os_errors(path: Path, subject: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{subject} '{path}' cannot be opened ({error.strerror}); check its permissions, or use another"
        raise UserError(message) from error


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # else sqlite3 begins transactions itself, too late to wait for another writer
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # zeros in place of what is deleted or replaced


def _begin(connection: sa.Connection) -> None:
    """Begin a transaction. A writer takes the lock now, because after a read SQLite refuses to wait for it."""
    options = connection.get_execution_options()
    if options.get("immediate"):
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable', True) else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("immediate") else "BEGIN")

"""The tables of a store, and opening the database that has them: SQLite's file, or PostgreSQL at an address.

Messages are a tree by `parent`. That key does not cascade: SQLite deletes a chain by recursion, which ends at a thousand;
`Store` deletes a branch in one statement instead.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lmcraft.errors import UserError

VERSION = 1
BUSY_TIMEOUT = 30.0  # seconds that a writer waits for another

metadata = sa.MetaData()
version = sa.Table("lmcraft_store", metadata, sa.Column("version", sa.Integer, nullable=False))

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("leaf", sa.String(32)),  # the message shown last
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Index("conversations_by_time", "owner", "updated"),
)

messages = sa.Table(
    "messages",
    metadata,
    # The order of writing, since clocks have no two times for two messages of one instant.
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("conversation", sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("parent", sa.ForeignKey("messages.id"), index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("edited_from", sa.String(32)),  # no foreign key: a person's wording stays one when the original is deleted
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("rating", sa.Integer, nullable=False, default=0),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sqlite_autoincrement=True,
)

preferences = sa.Table(
    "preferences",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("chosen", sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("rejected", sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)


def open_database(where: str, *, create: bool) -> sa.Engine:
    """The database at a path or an address, with the tables in it.

    Raises:
        UserError: there is none, it is damaged, something else's or of a newer lmcraft, or cannot be reached.
    """
    url = _url(where, create=create)
    shown = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    engine = _engine(url, shown or "")
    try:
        with engine.execution_options(immediate=True).begin() as connection:
            _check(connection, shown or "")
        if engine.dialect.name == "sqlite":
            with closing(engine.raw_connection()) as raw:  # not within a transaction
                raw.cursor().execute("PRAGMA journal_mode=WAL")  # kept in the file: readers beside a writer
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise UserError(f"store '{shown}' cannot be opened ({said(error)}): give another, or restore its backup") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def said(error: Exception) -> str:
    """What the database says, in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _url(where: str, *, create: bool) -> sa.URL:
    if "://" not in where:
        url = sa.URL.create("sqlite", database=str(Path(where).expanduser()))
    else:
        try:
            url = sa.make_url(where)
        except (sa.exc.ArgumentError, ValueError) as error:  # the address may have a password, so it is not shown
            raise UserError("store is no address that can be read: give a file, or postgresql://USER@HOST/NAME") from error
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise UserError(f"store is of the unknown kind '{kind}': give a file, or postgresql://USER@HOST/NAME")
    if kind == "sqlite":
        _check_file(url.database or "", create=create)
    return url


def _check_file(name: str, *, create: bool) -> None:
    path = Path(name)
    if name in ("", ":memory:"):
        raise UserError(f"store='{name}' would be forgotten at the end: name a file, such as chats.sqlite")
    if path.is_dir():
        raise UserError(f"store '{name}' is a folder: name a file in it, such as {path / 'chats.sqlite'}")
    if not path.exists() and not create:
        raise UserError(f"store '{name}' does not exist: check the path")
    if not path.parent.is_dir():
        raise UserError(f"store '{name}' cannot be made, since there is no folder '{path.parent}': make it first")


def _engine(url: sa.URL, shown: str) -> sa.Engine:
    try:
        if url.get_backend_name() == "postgresql":
            return sa.create_engine(url, pool_pre_ping=True)  # a server may have been restarted
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})
    except ModuleNotFoundError as error:
        raise UserError(f"store '{shown}' needs the package {error.name}: pip install {error.name}") from error
    except (sa.exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise UserError(f"store '{shown}' has an address that cannot be used ({error}): correct it") from error
    sa.event.listen(engine, "connect", _set_up)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # the module would begin by itself, too late to wait for another writer
    connection.execute("PRAGMA foreign_keys=ON")
    connection.create_function("lower", 1, str.lower, deterministic=True)  # SQLite's own knows ASCII alone


def _begin(connection: sa.Connection) -> None:
    """A transaction that will write takes its turn at once: one that has read already would be refused, not wait."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")


def _check(connection: sa.Connection, shown: str) -> None:
    """Make the tables in an empty database; of any other, see that it is a whole store of this version."""
    found = set(sa.inspect(connection).get_table_names())
    if not found:
        metadata.create_all(connection)
        connection.execute(version.insert().values(version=VERSION))
        return
    if version.name not in found:
        raise UserError(f"store '{shown}' has tables of something else ({min(found)}): name another, or an empty database")
    number = connection.execute(sa.select(sa.func.max(version.c.version))).scalar()
    if number is not None and number > VERSION:
        raise UserError(
            f"store '{shown}' is of a newer lmcraft (version {number}, this one knows {VERSION}): "
            "update lmcraft, or name another"
        )
    missing = "parts of it are missing" if number is None or not set(metadata.tables) <= found else ""
    if damage := missing or _damage(connection):
        raise UserError(f"store '{shown}' is damaged ({damage}): restore its backup, or name another")


def _damage(connection: sa.Connection) -> str:
    """What SQLite finds wrong with its file; a server of PostgreSQL watches over its own."""
    if connection.dialect.name != "sqlite":
        return ""
    found = " ".join(str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()).split())
    return "" if found == "ok" else found

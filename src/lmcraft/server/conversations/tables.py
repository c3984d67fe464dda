"""The store's tables, and opening its database: an SQLite file, or PostgreSQL at a URL.

Messages form a tree through `parent`. That foreign key does not cascade: SQLite would delete a chain by recursion, which it
limits to a depth of one thousand. `Store` deletes a branch with one statement instead.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from lmcraft.database import connect, control_transactions, error_text
from lmcraft.errors import UserError
from lmcraft.setting_values import expand_user

VERSION = 4  # version 1 had no responses; ADDED_COLUMNS has what later versions added

metadata = sa.MetaData()
version = sa.Table(
    "lmcraft_store",
    metadata,
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("id", sa.String(32), nullable=False, server_default=""),
)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("leaf", sa.String(32)),  # the last message of the branch on display
    sa.Column("pair", sa.Text, nullable=False, server_default="[]"),  # the two answers that are being compared
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),  # stays at the top of the list
    sa.Index("conversations_by_time", "owner", "updated"),
)

messages = sa.Table(
    "messages",
    metadata,
    # The order of insertion: two messages may have the same time.
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("conversation", sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("parent", sa.ForeignKey("messages.id"), index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("edited_from", sa.String(32)),  # no foreign key: an edit stays one after the original is deleted
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

responses = sa.Table(
    "responses",
    metadata,
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64)),  # the response that it continues; no foreign key: that one may be deleted
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("response", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # bytes of both texts
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Index("responses_by_owner", "owner", "position", "size"),
    sqlite_autoincrement=True,
)

ADDED_COLUMNS = {3: (conversations.c.pinned,), 4: (version.c.id, conversations.c.pair)}
"""The columns that each version added to a table that existed before it; each needs a default in the server."""


def open_database(location: str, *, create: bool) -> sa.Engine:
    """Open the database in a file or at a URL, and create the tables in an empty one.

    Raises:
        UserError: it does not exist, is damaged, is not a store, was made by a newer lmcraft, or cannot be reached.
    """
    url = _parse_location(location, create=create)
    is_sqlite = url.get_backend_name() == "sqlite"
    name = (url.database if is_sqlite else url.render_as_string(hide_password=True)) or ""
    engine = _connect(url, name)
    try:
        with engine.execution_options(immediate=True).begin() as connection:
            _check(connection, name)
        if is_sqlite:
            _make_private(Path(name))  # not before: the file may be another program's
            with closing(engine.raw_connection()) as raw:  # not possible inside a transaction
                raw.cursor().execute("PRAGMA journal_mode=WAL")  # stays set in the file; lets readers run alongside a writer
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise UserError(
            f"store '{name}' cannot be opened ({error_text(error)}); use another, or restore its backup"
        ) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def memory_database() -> sa.Engine:
    """A database in memory. It lives in a single connection, which its users take in turn."""
    engine = sa.create_engine(
        "sqlite://", poolclass=sa.QueuePool, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False}
    )
    control_transactions(engine)
    _fold_case(engine)
    metadata.create_all(engine)
    return engine


def _parse_location(location: str, *, create: bool) -> sa.URL:
    if "://" not in location:
        url = sa.URL.create("sqlite", database=str(expand_user(location)))
    else:
        try:
            url = sa.make_url(location)
        except (sa.exc.ArgumentError, ValueError) as error:  # the URL may hold a password, so it is not shown
            raise UserError("store is not a valid URL; use a file, or postgresql://USER@HOST/NAME") from error
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise UserError(f"store has the unknown database type '{kind}'; use a file, or postgresql://USER@HOST/NAME")
    if kind == "sqlite":
        _check_file(url.database or "", create=create)
    return url


def _check_file(name: str, *, create: bool) -> None:
    path = Path(name)
    if name in ("", ":memory:"):
        raise UserError(f"store='{name}' would be lost at exit; name a file, such as chats.sqlite")
    if path.is_dir():
        raise UserError(f"store '{name}' is a folder; name a file in it, such as {path / 'chats.sqlite'}")
    if not path.exists() and not create:
        raise UserError(f"store '{name}' does not exist; check the path")
    if not path.parent.is_dir():
        raise UserError(f"store '{name}' cannot be created, because there is no folder '{path.parent}'; create it first")
    with _explain_os_errors(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # private from the start


def _make_private(path: Path) -> None:
    """Change the mode of the file so that only its owner can read it; SQLite gives its other files the same."""
    with _explain_os_errors(path):
        for file in (path, *(path.with_name(path.name + ending) for ending in ("-wal", "-shm"))):
            if file.exists() and file.stat().st_uid == os.geteuid():
                file.chmod(0o600)


@contextmanager
def _explain_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"store '{path}' cannot be opened ({error.strerror}); check its permissions, or use another"
        ) from error


def _connect(url: sa.URL, name: str) -> sa.Engine:
    engine = connect(url, f"store '{name}'")
    if url.get_backend_name() == "sqlite":
        _fold_case(engine)
    return engine


def _fold_case(engine: sa.Engine) -> None:
    """Have SQLite's `lower` handle all letters; its own handles ASCII only."""
    sa.event.listen(engine, "connect", lambda raw, _: raw.create_function("lower", 1, str.lower, deterministic=True))


def _check(connection: sa.Connection, name: str) -> None:
    """Create the tables in an empty database; check that any other is a complete store of this version."""
    table_names = set(sa.inspect(connection).get_table_names())
    if not table_names:
        metadata.create_all(connection)
        connection.execute(version.insert().values(version=VERSION, id=uuid4().hex))
        return
    if version.name not in table_names:
        raise UserError(
            f"store '{name}' has another program's tables ({min(table_names)}); use another, or an empty database"
        )
    number = connection.execute(sa.select(sa.func.max(version.c.version))).scalar()
    if number is not None and number > VERSION:
        raise UserError(
            f"store '{name}' was made by a newer lmcraft (version {number}, this one supports {VERSION}); "
            "update lmcraft, or use another"
        )
    expected_names = set(metadata.tables) - ({responses.name} if number == 1 else set())
    missing = "tables are missing" if number is None or not expected_names <= table_names else ""
    if damage := missing or _find_damage(connection):
        raise UserError(f"store '{name}' is damaged ({damage}); restore its backup, or use another")
    if number is not None and number < VERSION:
        _upgrade(connection, number)


def _upgrade(connection: sa.Connection, number: int) -> None:
    """Add the tables and columns that a store of version `number` lacks."""
    metadata.create_all(connection)
    for column in (column for added, columns in ADDED_COLUMNS.items() if added > number for column in columns):
        definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}")
    connection.execute(version.update().values(version=VERSION))
    connection.execute(version.update().where(version.c.id == "").values(id=uuid4().hex))


def _find_damage(connection: sa.Connection) -> str:
    """The first problem that SQLite's quick check reports; empty if there is none. PostgreSQL checks its own files."""
    if connection.dialect.name != "sqlite":
        return ""
    report = " ".join(str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()).split())
    return "" if report == "ok" else report

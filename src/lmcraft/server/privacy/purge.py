"""Nothing of a deleted row stays in the files of a database."""

import time
from collections.abc import Callable
from contextlib import closing

import sqlalchemy as sa

from lmcraft.database import display_name, error_text
from lmcraft.errors import RunError

READERS_SECONDS = 20.0  # how long to wait for transactions that may read what was deleted
SECONDS_BETWEEN_ATTEMPTS = 0.1


def purge_deleted(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Rewrite the tables of a database, so that no file of it holds a byte of a row that was deleted or replaced.

    Others may use the database meanwhile; writers wait. SQLite overwrites what it deletes (`secure_delete`), but not the
    copies that earlier moves of rows within a file have left, nor those in its write-ahead log. PostgreSQL keeps deleted
    rows, and frequent values in its statistics. Its write-ahead log, replicas and backups of either are not touched.

    Raises:
        RunError: the database failed, or a reader kept old pages in use; calling again completes it.
    """
    try:
        if engine.dialect.name == "sqlite":
            _purge_sqlite(engine)
        else:
            _purge_postgresql(engine, metadata)
    except (sa.exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        raise RunError(_incomplete(engine, error_text(error))) from error


def _purge_sqlite(engine: sa.Engine) -> None:
    with closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
        cursor.execute("VACUUM")
        _wait_for_readers(engine, lambda: not cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


def _purge_postgresql(engine: sa.Engine, metadata: sa.MetaData) -> None:
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What an older transaction may still see is kept.
        start = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        is_older = "datname = current_database() AND backend_xmin IS NOT NULL AND xact_start < :start"
        query = sa.text(f"SELECT count(*) FROM pg_stat_activity WHERE {is_older}")
        _wait_for_readers(engine, lambda: not connection.execute(query, {"start": start}).scalar_one())
        for table in metadata.tables.values():
            # Analyzing an empty table keeps its old statistics. They go when a column gets a type, even its own.
            texts = [quote(column.name) for column in table.columns if isinstance(column.type, sa.Text)]
            if texts:
                types = ", ".join(f"ALTER COLUMN {name} TYPE text" for name in texts)
                connection.exec_driver_sql(f"ALTER TABLE {quote(table.name)} {types}")
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {quote(table.name)}")
        connection.exec_driver_sql("VACUUM FULL pg_statistic")  # PostgreSQL skips it for others than the database's owner


def _wait_for_readers(engine: sa.Engine, are_gone: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READERS_SECONDS
    while not are_gone():
        if time.monotonic() > deadline:
            raise RunError(_incomplete(engine, "another program kept a transaction open"))
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)


def _incomplete(engine: sa.Engine, reason: str) -> str:
    name = display_name(engine.url)
    return f"rows are deleted from '{name}', but old copies of them are left in its files until the next purge ({reason})"

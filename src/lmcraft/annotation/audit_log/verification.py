"""Verifies a review store: `chain.py` follows its audit log, and `replay.py` compares its tables with the log."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from lmcraft.annotation.audit_log.chain import Verification, walk_chain
from lmcraft.annotation.audit_log.log import Head
from lmcraft.annotation.audit_log.replay import replay_log
from lmcraft.database import error_text
from lmcraft.errors import RunError
from lmcraft.terminal import ReportProgress


def verify(
    engine: sa.Engine, anchors: Iterable[Head] = (), report: ReportProgress = lambda done, total: None
) -> Verification:
    """Compare a review store with its audit log, as of one moment; others can go on working.

    Args:
        engine: of the store.
        anchors: hashes that rows had when they were copied elsewhere.
        report: shows how many rows of how many are read.

    Raises:
        RunError: the database cannot be read to its end.
    """
    try:
        with snapshot(engine) as connection:
            return compare(connection, anchors, report)
    except sa.exc.SQLAlchemyError as error:
        raise RunError(f"the store cannot be read to its end ({error_text(error)}): restore a backup") from error


def compare(
    connection: sa.Connection, anchors: Iterable[Head] = (), report: ReportProgress = lambda done, total: None
) -> Verification:
    """`verify` in a transaction. If the chain is broken, the tables are not compared: an edited log proves nothing."""
    chain = walk_chain(connection, anchors, lambda done, total: report(done, 2 * total))
    if chain.problems:
        return chain
    seq = chain.head.seq
    problems = replay_log(connection, lambda done: report(seq + done, 2 * seq))
    return replace(chain, problems=problems)


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that sees one state of the store, whatever is written meanwhile, and reads text that is not UTF-8."""
    isolation = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**isolation) as connection:
        raw = connection.connection.driver_connection
        if not isinstance(raw, sqlite3.Connection):
            yield connection
            return
        factory, raw.text_factory = raw.text_factory, lambda data: data.decode("utf-8", "surrogateescape")
        try:
            yield connection
        finally:
            raw.text_factory = factory

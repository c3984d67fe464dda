"""The tables of searches and their trials, and opening their database: an SQLite file, or PostgreSQL at a URL."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lmcraft.database import connect, error_text
from lmcraft.errors import UserError
from lmcraft.hyperparameters.trial import CurvePoint, Kind, State, Trial, TrialResult

DRIVER = "postgresql+psycopg"
# Seconds, and milliseconds, after which a silent connection to PostgreSQL is given up; by default a quarter of an hour.
NETWORK = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
CREATION_LOCK = 0x6C6D6372616674  # of PostgreSQL, while the tables are created
metadata = sa.MetaData()

searches = sa.Table(
    "lmcraft_searches",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),  # during which a worker was alive
    sa.Column("last_beat", sa.Double, nullable=False),  # of any worker
)

# The columns have the names of the fields of `Trial`.
trials = sa.Table(
    "lmcraft_trials",
    metadata,
    sa.Column("search", sa.ForeignKey("lmcraft_searches.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("point", sa.JSON, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("source", sa.Integer),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("bracket", sa.Integer, nullable=False),
    sa.Column("target_step", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("curve", sa.JSON, nullable=False),
    sa.Column("values", sa.JSON, nullable=False),
    sa.Column("holdout", sa.JSON, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("energy_kwh", sa.Double, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("lease", sa.String(32), nullable=False),
    sa.Column("lease_expires", sa.Double, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("finished", sa.Double, nullable=False),
)


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file."""
    return sa.URL.create("sqlite", database=str(file)).render_as_string()


def remove_password(location: str) -> str:
    """The URL of a database without the password, which PGPASSWORD or ~/.pgpass can have."""
    url = sa.make_url(location) if location else None
    return location if url is None or url.password is None else url._replace(password=None).render_as_string()


def open_database(location: str) -> sa.Engine:
    """Open the database at a URL, and create the tables that it lacks.

    Raises:
        UserError: it cannot be reached or opened, or its kind is not supported.
    """
    url = _parse(location)
    subject = f"storage '{url.render_as_string(hide_password=True)}'"
    network = {} if url.get_backend_name() == "sqlite" else {"connect_args": NETWORK}
    engine = connect(url, subject, json_serializer=lambda value: json.dumps(value, allow_nan=False), **network)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=FULL"))
    try:
        if engine.dialect.name == "sqlite":
            with closing(engine.raw_connection()) as raw:  # not possible inside a transaction
                raw.cursor().execute("PRAGMA journal_mode=WAL")  # stays set in the file; readers run alongside a writer
        with engine.execution_options(immediate=True).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATION_LOCK)))
            metadata.create_all(connection)
    except (sa.exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        engine.dispose()
        raise UserError(
            f"{subject} cannot be opened ({error_text(error)}): correct --storage, or start the server"
        ) from error
    return engine


def _parse(location: str) -> sa.URL:
    try:
        url = sa.make_url(location)
    except (sa.exc.ArgumentError, ValueError) as error:  # it may hold a password, so it is not shown
        raise UserError("storage is not a valid URL; use postgresql+psycopg://USER@HOST/DATABASE") from error
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise UserError(f"storage has the unknown database type '{kind}'; use postgresql+psycopg://USER@HOST/DATABASE")
    return url.set(drivername=DRIVER) if kind == "postgresql" else url


def trial_of(row: Mapping[str, Any]) -> Trial:
    """The trial in a row."""
    fields = {name: value for name, value in row.items() if name != "search"}
    curve = tuple(CurvePoint(step, values) for step, values in row["curve"])
    return Trial(**fields | {"kind": Kind(row["kind"]), "state": State(row["state"]), "curve": curve})


def result_columns(trial: Trial, result: TrialResult) -> dict[str, Any]:
    """The columns of a result; `trial` is as it was when the call of `train` began, which the result continues.

    They are totals, not sums with what the row holds now, so that writing them twice does no harm.
    """
    return {
        "step": result.step,
        "curve": _curve_json(result.curve),
        "values": _finite(result.values),
        "holdout": _finite(result.holdout),
        "tokens": trial.tokens + result.tokens,
        "seconds": trial.seconds + result.seconds,
        "energy_kwh": trial.energy_kwh + result.energy_kwh,
    }


def _curve_json(curve: Sequence[CurvePoint]) -> list[Any]:
    return [[point.step, _finite(point.values)] for point in curve]


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """Without the values that JSON lacks."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def clean(text: str) -> str:
    """A text without the characters that a database refuses: NUL, and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")

"""The tables of searches and their trials, and opening their database: an SQLite file, or PostgreSQL at a URL."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lmcraft.database import Schema, marker_table, open_database
from lmcraft.errors import UserError
from lmcraft.hyperparameters.trial import CurvePoint, Kind, State, Trial, TrialResult

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


SCHEMA = Schema(
    subject="storage",
    metadata=metadata,
    marker=marker_table("lmcraft_searches_version", metadata),
    version=1,
    example="trials.sqlite",
    version_without_marker=1,
    joins_others=True,
    remedy="correct --storage, or start the server",
)


def open_trials(url: str) -> sa.Engine:
    """Open the database at a URL, and create the tables that it lacks.

    Raises:
        UserError: it cannot be reached or opened, is damaged, or its kind is not supported.
    """
    if "://" not in url:
        raise UserError("storage is not a valid URL; use postgresql://USER@HOST/DATABASE")
    return open_database(url, SCHEMA, create=True, json_serializer=lambda value: json.dumps(value, allow_nan=False))


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

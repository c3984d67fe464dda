"""The settings of a review store, which its owner changes while it runs."""

import json
import math

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import append
from lmcraft.annotation.tables import settings
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json

Setting = int | float
DEFAULTS: dict[str, Setting] = {"exposure_cap": 200, "gold_share": 0.05, "lease_seconds": 600.0}
"""Sensitive items per person and day; the share of gold items; how long a claim lasts unless it is renewed."""
BOUNDS: dict[str, tuple[float, float]] = {
    "exposure_cap": (0, 1_000_000),
    "gold_share": (0.0, 0.5),
    "lease_seconds": (1.0, 86_400.0),
}


def read_settings(connection: sa.Connection) -> dict[str, Setting]:
    """All settings, by name."""
    stored = connection.execute(sa.select(settings.c.name, settings.c.value))
    return DEFAULTS | {row.name: json.loads(row.value) for row in stored if row.name in DEFAULTS}


def read_setting(connection: sa.Connection, name: str) -> Setting:
    """One setting.

    Raises:
        UserError: there is no such setting.
    """
    _check_name(name)
    return read_settings(connection)[name]


def write_setting(connection: sa.Connection, name: str, value: Setting, actor: str, now: float) -> None:
    """Change a setting.

    Raises:
        UserError: there is no such setting, or the value is out of range.
    """
    checked = check_setting(name, value)
    if read_settings(connection)[name] == checked:
        return
    row = {"name": name, "value": format_json(checked)}
    connection.execute(settings.delete().where(settings.c.name == name))
    connection.execute(settings.insert().values(row))
    append(connection, "setting_changed", actor, "", {"settings": row}, now)


def check_setting(name: str, value: Setting) -> Setting:
    """The value of a setting, of its type.

    Raises:
        UserError: there is no such setting, or the value is out of range.
    """
    _check_name(name)
    low, high = BOUNDS[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high or (isinstance(DEFAULTS[name], int) and value != int(value)):
        raise UserError(f"{name}={value!r:.64} is invalid; use a number from {low:g} to {high:g}")
    return type(DEFAULTS[name])(value)


def _check_name(name: str) -> None:
    if name not in DEFAULTS:
        raise UserError(f"there is no setting {name[:64]!a}; use one of {', '.join(DEFAULTS)}")

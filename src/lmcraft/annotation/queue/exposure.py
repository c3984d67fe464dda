"""The daily cap on sensitive items: how many different ones a person claims on one day, in UTC."""

from datetime import UTC, datetime

import sqlalchemy as sa

from lmcraft.annotation.tables import exposures


def count_exposures(connection: sa.Connection, reviewer: str, now: float) -> int:
    """How many sensitive items a person has claimed today."""
    c = exposures.c
    query = sa.select(sa.func.count()).where(c.reviewer == reviewer, c.day == utc_day(now))
    return int(connection.execute(query).scalar_one())


def add_exposure(connection: sa.Connection, reviewer: str, item: str, now: float) -> None:
    """Count a sensitive item that a person has claimed; the same item on the same day counts once."""
    row = {"reviewer": reviewer, "day": utc_day(now), "item": item}
    c = exposures.c
    query = sa.select(c.item).where(c.reviewer == reviewer, c.day == row["day"], c.item == item)
    if connection.execute(query).first() is None:
        connection.execute(exposures.insert().values(row))


def utc_day(now: float) -> str:
    """The day of a time in seconds since 1970, as YYYY-MM-DD in UTC."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()

"""What a person has done today."""

from dataclasses import dataclass

import sqlalchemy as sa

from lmcraft.annotation.queue.exposure import count_exposures
from lmcraft.annotation.queue.settings import read_settings
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import verdicts

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Today:
    """The day of a person since midnight, in UTC."""

    shown: int
    """Sensitive items that they have claimed."""
    cap: int
    """How many they may claim."""
    judged: int
    """Items that they have judged."""


def read_today(store: ReviewStore, person: str) -> Today:
    """How much a person has seen and judged today.

    Raises:
        StoreError: the database failed.
    """
    v = verdicts.c
    with store.reading() as (connection, now):
        since_midnight = (v.reviewer == person) & (v.created >= now - now % SECONDS_PER_DAY)
        judged = connection.execute(sa.select(sa.func.count()).where(since_midnight)).scalar_one()
        cap = int(read_settings(connection)["exposure_cap"])
        return Today(count_exposures(connection, person, now), cap, int(judged))

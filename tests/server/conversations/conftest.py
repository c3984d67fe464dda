"""An empty store; on PostgreSQL too if `LMCRAFT_TEST_POSTGRES` names an empty database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcraft.server.conversations.store import Store
from lmcraft.server.conversations.tables import metadata

POSTGRES_URL = os.environ.get("LMCRAFT_TEST_POSTGRES", "")


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRES_URL else ["sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(POSTGRES_URL if request.param == "postgresql" else tmp_path / "chats.sqlite")
    yield opened
    if request.param == "postgresql":
        metadata.drop_all(opened.engine)
    opened.close()

"""An empty review store in SQLite, then in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import metadata
from tests.hyperparameters.postgresql import find_binaries, postgresql


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a database of a server that runs during the tests."""
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty store can be opened."""
    if request.param == "sqlite":
        yield str(tmp_path / "reviews.sqlite")
        return
    url: str = request.getfixturevalue("postgresql_url")
    yield url
    store = ReviewStore.open(url)
    metadata.drop_all(store.engine)
    store.close()


@pytest.fixture
def store(location: str) -> Iterator[ReviewStore]:
    opened = ReviewStore.open(location)
    yield opened
    opened.close()

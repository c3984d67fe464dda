from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hyperparameters.postgresql import find_binaries, postgresql


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a database of a server that runs during the tests."""
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database file, then that of a PostgreSQL server."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        return url
    return f"sqlite:///{tmp_path / 'trials.sqlite'}"

"""A running server for the tests of this folder, and its address for a browser."""

import shutil
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

from tests.server.tiny_server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a file."""
    with running(tmp_path_factory.mktemp("server")) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def server_url(server: Server) -> str:
    """The address of a server, for a browser; skips if there is no browser."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    pytest.importorskip("playwright")
    return server.url

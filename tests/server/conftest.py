"""A running server and a browser, for the tests of this folder."""

import shutil
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

from tests.server.tiny_server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of a file."""
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def served(server: Server) -> str:
    """The address of a server, for a browser; skips where there is none."""
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium here")
    pytest.importorskip("playwright")
    return server.url

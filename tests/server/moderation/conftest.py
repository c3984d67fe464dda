"""One guarded server for all tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.server.moderation.flagged import KeptTexts
from tests.server.moderation.guarded_server import guarded_server
from tests.server.tiny_server import Server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def reviews() -> KeptTexts:
    return KeptTexts()


@pytest.fixture(scope="module")
def server(folder: Path, reviews: KeptTexts) -> Iterator[Server]:
    with guarded_server(folder, lambda metrics: reviews) as running_server:
        yield running_server


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)

"""The server that the clients talk to: a tiny random one, or the one at `LMCRAFT_TEST_SERVER`, such as http://127.0.0.1:8000.

None of the clients is a dependency of the project. In an environment that has one, its tests run; elsewhere they skip:
pip install openai-agents anthropic langchain-openai langchain-anthropic llm
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx2 as httpx
import pytest

from tests.server.tiny_server import running


@dataclass(frozen=True)
class Address:
    """A server and the model that it serves."""

    url: str
    model: str
    logit_bias: Mapping[str, float]
    """Makes a random model end its texts."""


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    pytest.importorskip("llguidance")  # the clients force a call
    if url := os.environ.get("LMCRAFT_TEST_SERVER", ""):
        yield Address(url, httpx.get(f"{url}/v1/models").json()["data"][0]["id"], {})
        return
    with running(tmp_path_factory.mktemp("server"), max_position_embeddings=4096) as server:
        ends = server.state.registry.get("tiny").language_model.eos_token_ids
        yield Address(server.url, "tiny", {str(token_id): 10.0 for token_id in ends})

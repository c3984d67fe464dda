"""OpenAI's client, connected to the server, and the model behind it."""

import openai
import pytest

from lmcraft.language_model import LanguageModel
from tests.server.tiny_server import Server


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture
def model(server: Server) -> LanguageModel:
    return server.state.registry.get("tiny").language_model

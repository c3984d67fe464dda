"""The command line tool `llm`, whose models are listed in a file: a tool, two turns, and a stream."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.clients.conftest import Address

llm = pytest.importorskip("llm", reason="llm is not installed")


def roll(sides: bool = True) -> str:
    """Roll a die."""
    return "You rolled a 4."


@pytest.fixture
def model(address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    entry = {"model_id": "served", "model_name": address.model, "api_base": f"{address.url}/v1", "supports_tools": True}
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))  # JSON is YAML, too
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return llm.get_model("served")


def test_two_turns_with_a_tool(model: Any) -> None:
    conversation = model.conversation(tools=[roll])
    for prompt in ("Roll a die.", "Roll it again."):
        text = conversation.chain(prompt, options={"max_tokens": 60}).text()
        assert isinstance(text, str)
        response = conversation.responses[-1]
        assert response.usage().output > 0
    assert len(conversation.responses) >= 2


def test_a_stream(model: Any) -> None:
    response = model.prompt("Tell me about dice.", max_tokens=40, temperature=0)
    pieces = list(response)
    whole = model.prompt("Tell me about dice.", stream=False, max_tokens=40, temperature=0).text()
    assert "".join(pieces) == response.text() == whole

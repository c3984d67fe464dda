"""Anthropic's client: a tool, two turns, a stream, and its own loop of tools."""

from typing import Any

import pytest

from tests.server.clients.conftest import Address

anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed")
ROLL = {
    "name": "roll",
    "description": "Roll a die.",
    "input_schema": {
        "type": "object",
        "properties": {"sides": {"type": "boolean"}},
        "required": ["sides"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def client(address: Address) -> Any:
    return anthropic.Anthropic(base_url=address.url, api_key="none", max_retries=0)


def test_two_turns_with_a_tool(client: Any, address: Address) -> None:
    request: dict[str, Any] = {"model": address.model, "max_tokens": 60, "system": "You roll dice.", "tools": [ROLL]}
    turns: list[Any] = [{"role": "user", "content": "Roll a die."}]
    for _ in range(2):
        message = client.messages.create(**request, messages=turns, tool_choice={"type": "any"})
        use = message.content[-1]
        assert (message.stop_reason, use.type, use.name) == ("tool_use", "tool_use", "roll")
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "You rolled a 4."}
        turns += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        answer = client.messages.create(**request, messages=turns, tool_choice={"type": "none"})
        assert answer.content[0].type == "text" and answer.usage.output_tokens > 0
        turns += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": "Roll it again."}]
    counted = client.messages.count_tokens(model=address.model, messages=turns, system="You roll dice.", tools=[ROLL])
    assert counted.input_tokens > answer.usage.input_tokens


def test_streams(client: Any, address: Address) -> None:
    request = {"model": address.model, "max_tokens": 60}
    turns = [{"role": "user", "content": "Roll a die."}]
    with client.messages.stream(**request, messages=turns) as stream:
        text = "".join(stream.text_stream)
        assert stream.get_final_message().content[0].text == text
    with client.messages.stream(**request, messages=turns, tools=[ROLL], tool_choice={"type": "any"}) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use" and set(message.content[0].input) == {"sides"}


def test_errors_have_their_classes(client: Any, address: Address) -> None:
    turns = [{"role": "user", "content": "hi"}]
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude", max_tokens=5, messages=turns)
    with pytest.raises(anthropic.BadRequestError, match="context is"):
        client.messages.create(model=address.model, max_tokens=20_000, messages=turns)


def test_its_own_loop_of_tools(client: Any, address: Address) -> None:
    @anthropic.beta_tool
    def roll(sides: bool) -> str:
        """Roll a die.

        Args:
            sides: whether it has sides.
        """
        return "You rolled a 4."

    runner = client.beta.messages.tool_runner(
        model=address.model,
        max_tokens=60,
        max_iterations=2,
        tools=[roll],
        tool_choice={"type": "tool", "name": "roll"},
        messages=[{"role": "user", "content": "Roll a die."}],
    )
    messages = list(runner)
    assert len(messages) == 2 and all(message.content[0].name == "roll" for message in messages)

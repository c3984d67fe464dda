"""LangChain's ChatOpenAI, on chat completions and on responses, and ChatAnthropic: a tool and two turns, also streamed."""

from typing import Any

import pytest

from tests.server.clients.conftest import Address

langchain_openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
messages = pytest.importorskip("langchain_core.messages")
ROLL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "roll",
        "description": "Roll a die.",
        "parameters": {
            "type": "object",
            "properties": {"sides": {"type": "boolean"}},
            "required": ["sides"],
            "additionalProperties": False,
        },
    },
}


def make_chat(address: Address, kind: str) -> Any:
    if kind == "messages":
        langchain_anthropic = pytest.importorskip("langchain_anthropic", reason="langchain-anthropic is not installed")
        return langchain_anthropic.ChatAnthropic(
            model=address.model, base_url=address.url, api_key="none", max_tokens=60, max_retries=0
        )
    return langchain_openai.ChatOpenAI(
        model=address.model,
        base_url=f"{address.url}/v1",
        api_key="none",
        max_tokens=60,
        max_retries=0,
        stream_usage=True,
        use_responses_api=kind.startswith("responses"),
        use_previous_response_id=kind == "responses by id",
    )


@pytest.mark.parametrize("kind", ["chat", "responses", "responses by id", "messages"])
def test_two_turns_with_a_tool(address: Address, kind: str) -> None:
    chat = make_chat(address, kind)
    forced, free = chat.bind_tools([ROLL], tool_choice="any"), chat.bind_tools([ROLL])
    turns: list[Any] = [messages.HumanMessage("Roll a die.")]
    for _ in range(2):
        turns.append(forced.invoke(turns))
        (call,) = turns[-1].tool_calls
        assert call["name"] == "roll" and set(call["args"]) == {"sides"}
        turns.append(messages.ToolMessage("You rolled a 4.", tool_call_id=call["id"]))
        streamed = None
        for chunk in free.stream(turns):
            streamed = chunk if streamed is None else streamed + chunk
        assert streamed is not None and streamed.usage_metadata["output_tokens"] > 0
        turns += [free.invoke(turns), messages.HumanMessage("Roll it again.")]
        assert turns[-2].usage_metadata["total_tokens"] > 0


def test_structured_output(address: Address) -> None:
    schema = {"title": "roll", **ROLL["function"]["parameters"]}
    for method in ("json_schema", "function_calling"):
        chat = make_chat(address, "chat").with_structured_output(schema, method=method)
        assert set(chat.invoke("Roll a die.")) == {"sides"}

"""Request bodies of /v1/responses, translated to chat completions."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.chat import ChatRequest, NamedTool
from lmcraft.server.http.protocol.responses import ResponsesRequest


def as_chat(**fields: Any) -> ChatRequest:
    return ResponsesRequest.model_validate({"input": "hi", **fields}).as_chat()


def test_the_input_becomes_messages() -> None:
    conversation = [
        {"role": "user", "content": [{"type": "input_text", "text": "2 + 2?"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
    ]
    messages = as_chat(input=conversation, instructions="Be brief.").messages
    assert [(m.role, m.text()) for m in messages] == [
        ("system", "Be brief."), ("user", "2 + 2?"), ("assistant", ""), ("tool", "4"),
    ]  # fmt: skip
    assert messages[2].tool_calls is not None and messages[2].tool_calls[0].function.name == "add"
    assert messages[3].tool_call_id == messages[2].tool_calls[0].id == "c1"


def test_settings_tools_and_formats_are_translated() -> None:
    tool = {"type": "function", "name": "add", "parameters": {"type": "object"}}
    request = as_chat(
        max_output_tokens=5, temperature=0.5, top_p=0.9, stream=True, tools=[tool],
        tool_choice={"type": "function", "name": "add"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "integer"}}},
    )  # fmt: skip
    assert (request.max_new_tokens, request.settings()["temperature"], request.settings()["top_p"]) == (5, 0.5, 0.9)
    assert request.includes_usage
    assert request.tools is not None and request.tools[0].function.parameters == {"type": "object"}
    assert isinstance(request.tool_choice, NamedTool) and request.tool_choice.function.name == "add"
    assert request.settings()["json_schema"] == '{"type": "integer"}'
    assert as_chat(text={"format": {"type": "text"}}).settings().get("json_schema") is None


@pytest.mark.parametrize("fields", [{"store": True}, {"previous_response_id": "r"}, {"truncation": "auto"}, {"input": []}])
def test_stored_state_is_not_supported(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        as_chat(**fields)

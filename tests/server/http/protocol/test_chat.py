"""Request bodies of /v1/chat/completions."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import ChatRequest

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "add"}}


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [USER], **fields})


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        chat().stream = True


@pytest.mark.parametrize(
    "fields", [{"unknown": 1}, {"messages": []}, {"messages": [USER] * 2049}, {"tools": [TOOL] * 129}, {"max_tokens": 0}]
)
def test_fields_are_known_and_bounded(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        chat(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_logprobs": 2}, "top_logprobs=2 needs logprobs=true"),
        ({"tool_choice": "required"}, "tool_choice needs tools"),
        ({"tools": [TOOL, TOOL]}, "two tools have the name 'add'"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "sub"}}}, "tool_choice names 'sub'"),
        ({"continue_final_message": True}, "continue_final_message=true needs an assistant message"),
        ({"messages": [USER, ASSISTANT], "continue_final_message": True}, "add_generation_prompt=false"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        chat(**fields).check()


def test_tools_are_offered_and_forced_by_tool_choice() -> None:
    named = {"type": "function", "function": {"name": "add"}}
    choices = {None: (1, False), "auto": (1, False), "none": (0, False), "required": (1, True)}
    for choice, (count, forced) in choices.items():
        request = chat(tools=[TOOL], tool_choice=choice)
        request.check()
        assert (len(request.offered_tools), request.forces_call) == (count, forced)
    assert chat(tools=[TOOL], tool_choice=named).forces_call
    tools = [TOOL, {"type": "function", "function": {"name": "sub"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    for choice, callable_names in ((named, ["add"]), (allowed, ["add"]), ("auto", ["add", "sub"]), ("none", [])):
        request = chat(tools=tools, tool_choice=choice)
        assert [tool.function.name for tool in request.callable_tools] == callable_names
    assert (
        chat(tools=tools, tool_choice=allowed).forces_call and len(chat(tools=tools, tool_choice=allowed).offered_tools) == 2
    )


def test_a_structured_answer_calls_no_tool_unless_a_call_is_forced() -> None:
    structured = {"tools": [TOOL], "response_format": {"type": "json_object"}}
    assert chat(**structured).callable_tools == []
    assert len(chat(**structured, tool_choice="required").callable_tools) == 1
    assert chat().offered_tools == []


def test_the_newer_name_of_max_tokens_wins() -> None:
    assert chat().max_new_tokens == 0
    assert chat(max_tokens=3).max_new_tokens == 3
    assert chat(max_tokens=3, max_completion_tokens=2).max_new_tokens == 2


def test_the_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert [m.text() for m in chat(messages=[{"role": "user", "content": parts}, {"role": "tool"}]).messages] == ["ab", ""]
    with pytest.raises(ValidationError):
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}])

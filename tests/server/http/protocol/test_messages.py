"""Request bodies of /v1/messages, translated to chat completions."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import ChatRequest, NamedTool
from lmcraft.server.http.protocol.messages import MessagesRequest

WEATHER = {"name": "weather", "description": "Today's.", "input_schema": {"properties": {"city": {"type": "string"}}}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}}
HI = [{"role": "user", "content": "hi"}]


def as_chat(messages: list[dict[str, Any]] = HI, **fields: Any) -> ChatRequest:
    return MessagesRequest.model_validate({"max_tokens": 5, "messages": messages, **fields}).as_chat()


def text(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": item, "cache_control": {"type": "ephemeral"}} for item in texts]


def result(content: Any = "20 °C", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}


@pytest.mark.parametrize(
    ("messages", "system", "expected"),
    [
        (HI, "Be brief.", [("system", "Be brief."), ("user", "hi")]),
        (HI, text("You help.", " Be brief."), [("system", "You help. Be brief."), ("user", "hi")]),
        (HI, [], [("user", "hi")]),
        ([{"role": "user", "content": text("a", "b")}], None, [("user", "a\nb")]),
        ([*HI, *HI], None, [("user", "hi\nhi")]),
        ([{"role": "system", "content": "Second."}, *HI], "First.", [("system", "First.\nSecond."), ("user", "hi")]),
        (
            [*HI, {"role": "assistant", "content": text("a", "b")}, *HI],
            None,
            [("user", "hi"), ("assistant", "ab"), ("user", "hi")],
        ),
        (
            [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [result(), *text("and?")]}],
            None,
            [("assistant", ""), ("tool", "20 °C"), ("user", "and?")],
        ),
        (
            [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [result(text("1", "2"))]}],
            None,
            [("assistant", ""), ("tool", "1\n2")],
        ),
        (
            [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [result("no", is_error=True)]}],
            None,
            [("assistant", ""), ("tool", "Error: no")],
        ),
    ],
)
def test_turns_become_messages(messages: list[dict[str, Any]], system: Any, expected: list[tuple[str, str]]) -> None:
    assert [(m.role, m.text()) for m in as_chat(messages, system=system).messages] == expected


def test_calls_results_and_thinking_belong_together() -> None:
    thinking = {"type": "thinking", "thinking": "Ask.", "signature": "sig"}
    hidden = {"type": "redacted_thinking", "data": "opaque"}
    answer = {"role": "assistant", "content": [thinking, hidden, *text("I look."), USE]}
    _, assistant, tool = as_chat([*HI, answer, {"role": "user", "content": [result()]}]).messages
    assert (assistant.text(), assistant.reasoning_content) == ("I look.", "Ask.")
    assert assistant.tool_calls is not None and assistant.tool_calls[0].id == tool.tool_call_id == "toolu_1"
    assert assistant.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_settings_are_translated() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    request = as_chat(
        temperature=0.5, top_k=4, top_p=0.9, stop_sequences=["END"], stream=True, min_p=0.1,
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": schema}},
    )  # fmt: skip
    settings = request.settings()
    assert (settings["temperature"], settings["top_k"], settings["top_p"], settings["min_p"]) == (0.5, 4, 0.9, 0.1)
    assert settings["stop"] == ["END"] and request.max_new_tokens == 5 and request.stream
    assert '"n"' in settings["json_schema"] and request.reasoning_effort == "low"


@pytest.mark.parametrize(
    ("thinking", "enabled"),
    [({"type": "enabled", "budget_tokens": 1024}, True), ({"type": "adaptive"}, True), ({"type": "disabled"}, False)],
)
def test_templates_can_read_whether_to_think(thinking: dict[str, Any], enabled: bool) -> None:
    assert as_chat(thinking=thinking).template_variables == {"enable_thinking": enabled}
    assert as_chat().template_variables == {}


def test_tools() -> None:
    request = as_chat(tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert request.tools is not None and request.tools[0].function.parameters["type"] == "object"
    assert (request.tool_choice, request.parallel_tool_calls) == ("required", False)
    assert as_chat(tools=[WEATHER], tool_choice={"type": "none"}).offered_tools == []
    assert as_chat(tools=[WEATHER]).tool_choice == "auto" and as_chat(tools=[]).tools is None
    with pytest.raises(ApiError, match="tool_choice needs tools"):
        as_chat(tool_choice={"type": "any"}).check()
    named = as_chat(tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"}).tool_choice
    assert isinstance(named, NamedTool) and named.function.name == "weather"
    with pytest.raises(ApiError, match=r"tool_choice\.name is missing"):
        as_chat(tools=[WEATHER], tool_choice={"type": "tool"})


def test_text_of_the_assistant_at_the_end_is_continued() -> None:
    request = as_chat([*HI, {"role": "assistant", "content": "The answer is ("}])
    assert request.continue_final_message and not request.add_generation_prompt
    request.check()
    assert [m.role for m in as_chat([*HI, {"role": "assistant", "content": " "}]).messages] == ["user"]
    with pytest.raises(ApiError, match="messages has no text"):
        as_chat([{"role": "assistant", "content": ""}])
    with pytest.raises(ApiError, match="send the tool_result"):
        as_chat([*HI, {"role": "assistant", "content": [USE]}], tools=[WEATHER])


def test_fields_that_change_nothing_are_ignored() -> None:
    body = {"metadata": {"user_id": "ann"}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}, "speed": "fast"}
    assert as_chat(**body).max_new_tokens == 5
    request = MessagesRequest.model_validate({"max_tokens": 5, "messages": HI, **body})
    assert sorted(request.ignored_paths()) == sorted(body)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": None}, {"max_tokens": 0}, {"messages": []}, {"container": "c"}, {"mcp_servers": [{"url": "x"}]},
        {"messages": [{"role": "tool", "content": "x"}]}, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]},
        {"messages": [{"role": "assistant", "content": [{**USE, "id": ""}]}]},
        {"messages": [{"role": "assistant", "content": [{**USE, "input": None}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "thinking", "signature": "s"}]}]},
        {"messages": [{"role": "user", "content": [USE]}]},
        {"messages": [*HI, {"role": "assistant", "content": [result()]}]},
        {"system": 5}, {"stop_sequences": [""]}, {"tool_choice": {"type": "maybe"}}, {"unknown": 1},
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MessagesRequest.model_validate({"max_tokens": 5, "messages": HI, **fields})

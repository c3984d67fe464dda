"""Request bodies of /v1/responses, translated to chat completions."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import ChatRequest, NamedTool
from lmcraft.server.http.protocol.responses import ResponsesRequest, parse_items

ADD = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}
SUBTRACT = {**ADD, "name": "subtract"}


def request_with(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate({"input": "hi", **fields})


def as_chat(**fields: Any) -> ChatRequest:
    request = request_with(**fields)
    return request.as_chat(request.input_items())


def test_settings_tools_and_formats_are_translated() -> None:
    request = as_chat(
        max_output_tokens=5, temperature=0.5, top_p=0.9, top_k=40, seed=4, repetition_penalty=1.2, stop=["END"],
        stop_token_ids=[7], ignore_eos=True, stream=True, tools=[ADD], tool_choice={"type": "function", "name": "add"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "integer"}}}, top_logprobs=3,
    )  # fmt: skip
    settings = request.settings()
    assert (request.max_new_tokens, settings["temperature"], settings["top_p"], settings["top_k"]) == (5, 0.5, 0.9, 40)
    assert (settings["seed"], settings["repetition_penalty"], settings["stop"]) == (4, 1.2, ["END"])
    assert (request.stop_token_ids, request.ignore_eos, request.stream) == ([7], True, True)
    assert request.tools is not None and request.tools[0].function.parameters == {"type": "object"}
    assert isinstance(request.tool_choice, NamedTool) and request.tool_choice.function.name == "add"
    assert settings["json_schema"] == '{"type": "integer"}' and (request.logprobs, request.top_logprobs) == (True, 3)
    assert as_chat(text={"format": {"type": "text"}}).settings().get("json_schema") is None
    assert as_chat(include=["message.output_text.logprobs"]).logprobs and not as_chat(include=[]).logprobs
    assert as_chat(structured_outputs={"regex": "a+"}).settings()["regex"] == "a+"


@pytest.mark.parametrize(("mode", "names"), [("auto", ["add"]), ("required", ["add", "subtract"])])
def test_allowed_tools_are_the_ones_offered(mode: str, names: list[str]) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": name} for name in names]}
    request = as_chat(tools=[ADD, SUBTRACT], tool_choice=choice)
    assert request.forces_call == (mode == "required") and [tool.function.name for tool in request.callable_tools] == names
    with pytest.raises(ApiError, match="'divide', which is not among the tools"):
        as_chat(tools=[ADD], tool_choice={**choice, "tools": [{"type": "function", "name": "divide"}]}).check()


@pytest.mark.parametrize(("effort", "thinks"), [("none", False), ("minimal", True), ("high", True)])
def test_templates_can_read_the_effort(effort: str, thinks: bool) -> None:
    variables = as_chat(reasoning={"effort": effort, "summary": "auto"}).template_variables
    assert variables == {"reasoning_effort": effort, "enable_thinking": thinks}
    assert as_chat(reasoning={"summary": "auto"}).template_variables == {}


def test_earlier_items_come_between_the_instructions_and_the_input() -> None:
    earlier = parse_items([{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}])
    request = request_with(instructions="Be brief.", input="3")
    messages = request.as_chat([*earlier, *request.input_items()]).messages
    assert [message.text() for message in messages] == ["Be brief.", "1", "2", "3"]


def test_an_unfinished_message_is_continued() -> None:
    request = as_chat(
        input=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "status": "incomplete"}]
    )
    assert request.continue_final_message and not request.add_generation_prompt
    request.check()
    assert not as_chat(input=[{"role": "user", "content": "q"}]).continue_final_message


def test_fields_that_change_nothing_are_ignored() -> None:
    body = {
        "reasoning": {"summary": "auto"}, "text": {"verbosity": "low"}, "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"}, "service_tier": "flex", "max_tool_calls": 3, "prompt_cache_key": "k",
    }  # fmt: skip
    ignored = {"reasoning.summary", "text.verbosity", "include", "service_tier", "max_tool_calls", "prompt_cache_key"}
    assert set(request_with(**body).ignored_paths()) == ignored
    assert list(request_with().ignored_paths()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"background": True}, {"conversation": "conv_1"}, {"prompt": {"id": "p"}}, {"context_management": [{"type": "x"}]},
        {"truncation": "middle"}, {"store": "maybe"}, {"include": ["everything"]}, {"metadata": {"a": 1}},
        {"metadata": {str(n): "x" for n in range(17)}}, {"metadata": {"k": "v" * 513}}, {"tools": [{"type": "web_search"}]},
        {"top_logprobs": 21}, {"reasoning": {"effort": "extreme"}}, {"max_output_tokens": 0}, {"n": 2},
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request_with(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": None}, "the input is empty"),
        ({"input": []}, "the input is empty"),
        (
            {"input": [{"role": "user", "content": str(n)} for n in range(2048)], "instructions": "x"},
            r"messages=\[.* is invalid; it has 2,049 entries; use at most 2,048",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema is missing"),
        (
            {"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}] * 129},
            r"tool_calls=\[.* is invalid; it has 129 entries; use at most 128",
        ),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message) as error:
        as_chat(**fields)
    assert error.value.status == 400

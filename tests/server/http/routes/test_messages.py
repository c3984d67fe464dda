"""Anthropic's endpoint. The cases follow Anthropic's documentation and what vLLM demands (tests/entrypoints/anthropic).

Left out, because the server has no such feature: images, thinking as blocks of its own, tools that run on the server.
"""

import json
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic_core import from_json

from lmcraft.language_model import LanguageModel
from lmcraft.server.http.keys import Keys
from tests.server.tiny_server import Server, running

HI = [{"role": "user", "content": "the quick brown fox"}]
SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
COUNT = {"name": "count", "description": "Counts.", "input_schema": SCHEMA}
Json = dict[str, Any]


def send(
    server: Server, path: str = "/v1/messages", *, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    body = {"model": "tiny", "max_tokens": 8, "messages": HI, "temperature": 0, **fields}
    return httpx.post(server.url + path, json=body, headers={"anthropic-version": "2023-06-01", **(headers or {})})


def events_of(response: httpx.Response) -> list[Json]:
    """The events of a stream; each has its type as its name, too."""
    events = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def accumulate(events: list[Json]) -> Json:
    """The message that a client puts together from the events, which must be in order."""
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"] and events[-1] == {"type": "message_stop"}
    message, pieces = events[0]["message"], ""
    for event in events[2:-1]:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                pieces = ""
            case "content_block_delta":
                assert event["index"] == len(message["content"]) - 1
                pieces += event["delta"].get("text", "") + event["delta"].get("partial_json", "")
            case "content_block_stop":
                block = message["content"][event["index"]]
                block.update({"text": pieces} if block["type"] == "text" else {"input": json.loads(pieces)})
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
    return dict(message)


def test_a_message_is_the_models_own_text(server: Server, model: LanguageModel) -> None:
    message = send(server, system="Be brief.").json()
    text = model.tokenizer.apply_chat_template([{"role": "system", "content": "Be brief."}, *HI])
    ids = model.tokenizer.encode(text, parse_special=True)
    expected = model.generate(ids, max_new_tokens=8, do_sample=False)[0][len(ids) :]
    assert message["content"] == [{"type": "text", "text": model.tokenizer.decode(expected)}]
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "tiny")
    assert (message["stop_reason"], message["stop_sequence"]) == ("max_tokens", None)
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (len(ids), 8)
    counted = send(server, "/v1/messages/count_tokens", system="Be brief.", max_tokens=None, temperature=None).json()
    assert counted == {"input_tokens": len(ids)}


def test_a_stream_has_the_same_message(server: Server) -> None:
    message = send(server).json()
    response = send(server, stream=True)
    streamed = accumulate(events_of(response))
    assert "[DONE]" not in response.text and streamed["id"].startswith("msg_")
    assert {**streamed, "id": ""} == {**message, "id": ""}


def test_a_stop_sequence_is_named(server: Server) -> None:
    text = send(server).json()["content"][0]["text"]
    stop = text[2:4]
    message = send(server, stop_sequences=["never", stop]).json()
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", stop)
    assert message["content"][0]["text"] == text[: text.index(stop)]
    streamed = accumulate(events_of(send(server, stop_sequences=["never", stop], stream=True)))
    assert {**streamed, "id": ""} == {**message, "id": ""}


def test_text_of_the_assistant_is_continued(server: Server) -> None:
    messages = [*HI, {"role": "assistant", "content": "the lazy"}]
    prefill = {"messages": messages, "add_generation_prompt": False, "continue_final_message": True, "temperature": 0}
    chat = httpx.post(server.url + "/v1/chat/completions", json={**prefill, "max_tokens": 8}).json()
    assert send(server, messages=messages).json()["content"][0]["text"] == chat["choices"][0]["message"]["content"]


def test_a_forced_call_and_its_result(server: Server) -> None:
    pytest.importorskip("llguidance")
    for choice in ({"type": "any"}, {"type": "tool", "name": "count"}):
        request = {"tools": [COUNT], "tool_choice": choice, "max_tokens": 60}
        message = send(server, **request).json()
        use = message["content"][0]
        assert (message["stop_reason"], use["type"], use["name"]) == ("tool_use", "tool_use", "count")
        assert use["input"]["n"] in (1, 2)
        streamed = accumulate(events_of(send(server, **request, stream=True)))
        assert streamed["content"][0]["input"] == use["input"] and streamed["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "3"}
    turns = [*HI, {"role": "assistant", "content": message["content"]}, {"role": "user", "content": [result]}]
    assert send(server, messages=turns, tools=[COUNT]).json()["content"][0]["type"] == "text"


def test_a_forced_call_that_is_cut_off_has_what_is_complete(server: Server) -> None:
    pytest.importorskip("llguidance")
    numbers = {"type": "array", "items": {"enum": [10, 20]}, "minItems": 30}
    schema = {"type": "object", "properties": {"n": numbers}, "required": ["n"], "additionalProperties": False}
    request = {"tools": [{"name": "count", "input_schema": schema}], "tool_choice": {"type": "any"}, "temperature": 0}
    for limit in (2, 60):
        message = send(server, **request, max_tokens=limit).json()
        [use] = message["content"]
        assert (message["stop_reason"], use["type"], use["name"]) == ("max_tokens", "tool_use", "count")
        events = events_of(send(server, **request, max_tokens=limit, stream=True))
        pieces = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
        assert use["input"] == ({} if limit == 2 else from_json("".join(pieces), allow_partial=True))
        assert "".join(pieces) in ("", *('{"n": ['[:n] for n in range(8))) or "".join(pieces).startswith('{"n": [')


@pytest.mark.parametrize(
    ("fields", "status", "error_type", "message"),
    [
        ({"max_tokens": None}, 400, "invalid_request_error", "'max_tokens' is missing"),
        ({"messages": 5}, 400, "invalid_request_error", "messages=5 is invalid"),
        ({"model": "claude"}, 404, "not_found_error", "there is no model 'claude'"),
        ({"max_tokens": 100_000}, 400, "invalid_request_error", "max_tokens is 100000"),
        ({"tools": [{"name": "f"}]}, 400, "invalid_request_error", "tools[0].input_schema"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, 400, "invalid_request_error", "content[0]"),
        ({"thread": {"type": "create"}}, 400, "invalid_request_error", "thread is not supported"),
        ({"stop_token_ids": [10**6]}, 400, "invalid_request_error", "stop_token_ids names the token 1000000"),
    ],
)
def test_errors_have_anthropics_form(server: Server, fields: Json, status: int, error_type: str, message: str) -> None:
    response = send(server, **fields)
    assert response.status_code == status and response.json()["type"] == "error"
    error = response.json()["error"]
    assert error["type"] == error_type and message in error["message"]


def test_errors_before_the_route_have_anthropics_form(server: Server) -> None:
    for request, error_type in (
        ({"content": b"{"}, "invalid_request_error"),
        ({"content": b"x" * 5_000_000}, "request_too_large"),
    ):
        response = httpx.post(server.url + "/v1/messages", headers={"content-type": "application/json"}, **request)
        assert response.json()["error"]["type"] == error_type
    assert httpx.get(server.url + "/v1/messages").json()["error"]["type"] == "invalid_request_error"


def test_ignored_fields_are_listed(server: Server) -> None:
    response = send(server, metadata={"user_id": "ann"}, thinking={"type": "enabled", "budget_tokens": 1024})
    assert response.status_code == 200
    ignored = {"metadata", "thinking", "thinking.budget_tokens"}
    assert set(response.headers["x-ignored-fields"].split(", ")) == ignored


def test_a_key_in_either_header(tmp_path: Path) -> None:
    with running(tmp_path, keys=Keys.read(["secret-key"])) as server:
        for headers in ({"x-api-key": "secret-key"}, {"authorization": "Bearer secret-key"}):
            assert send(server, headers=headers).status_code == 200
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong", "x-api-key": "secret-key"}):
            response = send(server, headers=headers)
            assert response.status_code == 401 and response.json()["error"]["type"] == "authentication_error"

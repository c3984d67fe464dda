"""What vLLM's tests (tests/entrypoints/anthropic, tests/entrypoints/openai/responses) demand of /v1/messages and
/v1/responses. The tests are our own, on a tiny random model; what the tests of the two endpoints show already is not
repeated: `routes/test_messages.py`, `protocol/test_messages.py`, `routes/test_responses.py`, `protocol/test_items.py`.

Read in full: of anthropic: test_anthropic_messages_conversion, test_anthropic_protocol, test_api_router,
test_cache_accounting, test_content_block_validation, test_message_stream_converter, test_messages, test_stream_error,
test_system_hoist; of responses: test_basic, test_chat_template_kwargs, test_consecutive_function_call_merge,
test_context_content_empty, test_count_tokens, test_errors, test_function_call, test_function_call_parsing, test_protocol,
test_replayed_input_items, test_responses_utils, test_sampling_params, test_simple, test_stateful, test_store,
test_store_field, test_structured_output. Not read: test_serving_responses, and what concerns Harmony, MCP, tools that run on
the server, websockets, and other places to store responses. Of some, the stored version is not the newest.

What does not apply:

- Images: the server generates none, and refuses them.
- A budget of tokens for thinking: it is accepted and ignored, so its bounds are not checked.
- Content blocks that vLLM passes on as text: `tool_reference`, unknown ones; they are errors here.
- Texts of the system prompt are joined with line breaks, as Anthropic shows them, not directly.
- System messages in the middle stay there; vLLM moves them to the front where the template demands it.
- Developer messages stay where they are. Thoughts at the end of the input are not continued; several in a row are one.
- An empty input is an error; so is `background`, whatever `store` says. `enable_response_messages`, `vllm_xargs`.
"""

import json
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.server.http.protocol.items import as_messages
from lmcraft.server.http.protocol.messages import MessagesInput
from lmcraft.server.http.protocol.responses import parse_items
from tests.server.tiny_server import Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]
HELLO_LINE = "user: the quick brown fox"
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.160.bca; cc_entrypoint=cli; cch=d1d48;"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}


def send(server: Server, **fields: Any) -> httpx.Response:
    return httpx.post(server.url + "/v1/messages", json={"max_tokens": 8, "messages": HELLO, **fields})


def turns(messages: list[Any], **fields: Any) -> list[tuple[str, str]]:
    """The roles and texts of the chat that a request for a message becomes."""
    return [(message.role, message.text()) for message in MessagesInput(messages=messages, **fields).as_chat().messages]


@pytest.mark.parametrize(
    ("messages", "system", "expected"),
    [
        (HELLO, [{"type": "text", "text": "Be brief."}, BILLING], ["system: Be brief.", HELLO_LINE]),
        (HELLO, [BILLING, {"type": "text", "text": "A"}, {"type": "text", "text": "B"}], ["system: A\nB", HELLO_LINE]),
        (HELLO, BILLING["text"], [HELLO_LINE]),
        ([*HELLO, {"role": "system", "content": BILLING["text"]}], None, [HELLO_LINE]),
        (
            [*HELLO, {"role": "system", "content": [BILLING, {"type": "text", "text": "Real."}]}, *HELLO],
            "Top.",
            ["system: Top.", HELLO_LINE, "system: Real.", HELLO_LINE],
        ),
        ([{"role": "user", "content": BILLING["text"]}], None, [f"user: {BILLING['text']}"]),
        ([{"role": "system", "content": "First."}, *HELLO], "Top.", ["system: Top.\nFirst.", HELLO_LINE]),
    ],
)  # fmt: skip
def test_system_prompts_without_the_header_of_coding_agents(messages: Any, system: Any, expected: list[str]) -> None:
    assert [f"{role}: {text}" for role, text in turns(messages, system=system)] == expected


@pytest.mark.parametrize("message", [{"role": "system", "content": BILLING["text"]}, {"role": "assistant", "content": []}])
def test_messages_without_any_text(server: Server, message: Any) -> None:
    error = send(server, messages=[message]).json()["error"]
    assert (error["type"], error["message"]) == ("invalid_request_error", "messages has no text; send one")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "name": "f", "input": {}},
        {"type": "tool_use", "id": "", "name": "f", "input": {}},
        {"type": "tool_use", "id": "a", "input": {}},
        {"type": "tool_use", "id": "a", "name": "", "input": {}},
        {"type": "tool_use", "id": "a", "name": "f"},
        {"type": "tool_result"},
        {"type": "tool_result", "tool_use_id": ""},
        {"type": "text"},
        {"type": "image"},
        {"type": "thinking", "signature": "abc"},
        {"type": "redacted_thinking"},
        {"type": "tool_reference", "tool_name": "search"},
    ],
    ids=str,
)
def test_blocks_without_what_they_need(server: Server, block: dict[str, Any]) -> None:
    for role in ("assistant", "user"):
        response = send(server, messages=[*HELLO, {"role": role, "content": [block]}, *HELLO])
        assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": ""}],
        [{"type": "thinking", "thinking": ""}, {"type": "text", "text": "Hi"}],
        [{"type": "thinking", "thinking": "hmm", "signature": None}],
        [{"type": "redacted_thinking", "data": "opaque"}],
    ],
)
def test_blocks_that_are_empty_or_only_thoughts(server: Server, content: list[Any]) -> None:
    assert send(server, messages=[*HELLO, {"role": "assistant", "content": content}, *HELLO]).status_code == 200


@pytest.mark.parametrize("result", [None, "", [], "done", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]])
@pytest.mark.parametrize("text", [None, "Here are the results:"])
def test_results_of_calls(server: Server, result: Any, text: str | None) -> None:
    use = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}
    blocks: list[Any] = [] if text is None else [{"type": "text", "text": text}]
    blocks.append({"type": "tool_result", "tool_use_id": "call_1", "content": result, "is_error": text is not None})
    messages = [*HELLO, {"role": "assistant", "content": [use]}, {"role": "user", "content": blocks}]
    assert send(server, messages=messages).status_code == 200
    spelled = result if isinstance(result, str) else "\n".join(block["text"] for block in result or [])
    chat = turns(messages)
    assert chat[2] == ("tool", spelled if text is None else f"Error: {spelled}")
    assert chat[3:] == ([] if text is None else [("user", text)])


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_has_every_field_that_strict_clients_demand(server: Server, stream: bool) -> None:
    response = send(server, stream=stream, cache_salt="tenant", thinking={"type": "adaptive", "display": "omitted"})
    if stream:
        events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data")]
        message, delta = events[0]["message"], events[-2]
        assert message["content"] == [] and message["stop_reason"] is None and message["stop_sequence"] is None
        assert delta["type"] == "message_delta" and delta["delta"]["stop_reason"] in ("end_turn", "max_tokens")
        assert delta["delta"]["stop_sequence"] is None and delta["usage"]["output_tokens"] > 0
    else:
        message = response.json()
        assert message["stop_reason"] in ("end_turn", "max_tokens") and message["stop_sequence"] is None
    assert (message["type"], message["role"]) == ("message", "assistant") and message["id"].startswith("msg_")
    counts = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert all(isinstance(message["usage"][name], int) for name in counts)
    assert "timings" not in response.text


def test_an_empty_answer_is_one_empty_text(server: Server) -> None:
    stops = list(range(server.state.registry.get("tiny").language_model.transformer.config.vocab_size))[:256]
    message = send(server, stop_token_ids=stops, temperature=0).json()
    assert message["content"] == [{"type": "text", "text": ""}] and message["stop_reason"] == "end_turn"


def test_too_many_stop_sequences_are_an_error_of_the_client(server: Server) -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        body = {"messages": HELLO, "stop_sequences": ["a"] * 100, "max_tokens": 4}
        response = httpx.post(server.url + path, json=body)
        assert response.status_code == 400 and "stop_sequences" in response.json()["error"]["message"]


def call(name: str, call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": "{}"}


def result(call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "r"}


@pytest.mark.parametrize(
    ("items", "shape"),
    [
        ([call("f", "1"), call("g", "2")], ["assistant 2"]),
        ([call("f", "1"), call("g", "2"), call("h", "3")], ["assistant 3"]),
        ([call("f", "1"), result("1"), call("g", "2")], ["assistant 1", "tool 0", "assistant 1"]),
        ([call("f", "1"), call("g", "2"), result("1"), result("2")], ["assistant 2", "tool 0", "tool 0"]),
        ([{"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}, call("f", "1")], ["assistant 1"]),
        ([{"type": "reasoning", "summary": [], "encrypted_content": None}, *HELLO], ["user 0"]),
    ],
)
def test_calls_of_one_turn_are_one_message(items: list[Any], shape: list[str]) -> None:
    messages = as_messages(parse_items(items))
    assert [f"{message.role} {len(message.tool_calls or ())}" for message in messages] == shape


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "why"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}], "status": "completed"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
        {"type": "message", "role": "assistant", "content": [], "status": "completed"},
        {"role": "developer", "content": [{"type": "input_text", "text": "Be concise."}]},
        {"role": "assistant", "content": "Acknowledged."},
    ],
    ids=str,
)
def test_earlier_items_without_ids(client: openai.OpenAI, item: Any) -> None:
    response = client.responses.create(model="tiny", input=[item, *HELLO], max_output_tokens=4)
    assert response.status in ("completed", "incomplete") and response.output[-1].type == "message"


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]},
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "SECRET"}]},
        {"input": []},
        {"seed": 2**63},
        {"seed": -(2**63) - 1},
        {"background": True},
        {"background": True, "store": False},
        {"text": {"format": {"type": "json_object"}}, "structured_outputs": {"grammar": 'start: "a"'}},
        {"top_logprobs": 21},
        {"previous_response_id": "resp_none"},
    ],
    ids=str,
)
def test_invalid_responses_are_refused(server: Server, fields: dict[str, Any]) -> None:
    response = httpx.post(server.url + "/v1/responses", json={"input": "a", "max_output_tokens": 4, **fields})
    assert response.status_code in (400, 404) and response.json()["error"]["type"] == "invalid_request_error"


def test_further_settings_of_a_response(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "tiny", "input": "a", "max_output_tokens": 12, "background": False, "tools": []}
    extra = {
        "top_k": 40,
        "repetition_penalty": 1.2,
        "seed": 2**63 - 1,
        "stop": "never ever",
        "ignore_eos": True,
        "store": None,
    }
    first = client.responses.create(**request, extra_body=extra)
    assert (first.status, first.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert client.responses.create(**request, extra_body=extra).output_text == first.output_text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(first.id)


def test_two_responses_continue_the_same_one(client: openai.OpenAI) -> None:
    first = client.responses.create(model="tiny", input="the quick", max_output_tokens=8, temperature=0)
    request: dict[str, Any] = {"model": "tiny", "previous_response_id": first.id, "max_output_tokens": 8, "temperature": 0}
    second, third = (client.responses.create(**request, input=text) for text in ("brown fox", "lazy dog"))
    again = client.responses.create(**request, input="brown fox")
    assert second.output_text == again.output_text and second.usage.input_tokens == again.usage.input_tokens
    assert third.previous_response_id == second.previous_response_id == first.id
    briefed = client.responses.create(model="tiny", input="the quick", instructions="Be brief.", max_output_tokens=8)
    without = client.responses.create(**{**request, "previous_response_id": briefed.id}, input="brown fox")
    items = client.responses.input_items.list(without.id).data
    assert without.instructions is None and all(item.role != "system" for item in items)
    unstored = client.responses.create(model="tiny", input="a", max_output_tokens=2, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unstored.id)


def test_logprobs_of_a_streamed_response(client: openai.OpenAI) -> None:
    include: Any = ["message.output_text.logprobs"]
    request: dict[str, Any] = {"model": "tiny", "input": "a", "max_output_tokens": 8, "top_logprobs": 3, "include": include,
                               "extra_body": {"ignore_eos": True}}  # fmt: skip
    deltas = [
        event for event in client.responses.create(**request, stream=True) if event.type == "response.output_text.delta"
    ]
    entries = [entry for delta in deltas for entry in delta.logprobs]
    assert entries and all(entry.logprob <= 0 and len(entry.top_logprobs) == 3 for entry in entries)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "f"}])
def test_the_parts_of_a_stream_open_and_close_in_order(client: openai.OpenAI, choice: Any) -> None:
    pytest.importorskip("llguidance")
    request: dict[str, Any] = {"model": "tiny", "input": "a", "tools": [TOOL], "tool_choice": choice}
    opened, call_item = [], None
    for event in client.responses.create(**request, max_output_tokens=80, stream=True):
        if event.type.endswith(".added"):
            opened.append(event.type.removesuffix(".added"))
            call_item = getattr(event, "item", call_item)
        elif event.type.endswith(".done") and f"{event.type.removesuffix('.done')}" in opened:
            assert opened.pop() == event.type.removesuffix(".done")
        if event.type == "response.function_call_arguments.done":
            assert json.loads(event.arguments) == {}
    assert opened == [] and call_item is not None and (call_item.type, call_item.name) == ("function_call", "f")
    cut = client.responses.create(**request, max_output_tokens=1)
    assert [(item.type, item.status) for item in cut.output] == [("function_call", "incomplete")]
    assert cut.incomplete_details.reason == "max_output_tokens"

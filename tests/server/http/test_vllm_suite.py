"""What vLLM's tests (tests/entrypoints: openai, serve, pooling/embed) demand of completions and chats. The tests are our
own, on a tiny random model; what other files test already is not repeated: vLLM's own fields in `test_vllm_fields.py`,
errors in `test_error_handlers.py`, keys in `test_keys.py`.

Read, some in an older version or without their last lines: of openai/completion: test_completion, test_completion_error,
test_completion_logprobs, test_completion_text_offset, test_empty_prompt_list, test_prompt_validation,
test_serving_completion, test_token_in_token_out; of openai/chat_completion: test_chat, test_chat_completion, test_chat_echo,
test_chat_error, test_chat_logit_bias_validation, test_chat_stop_token_ids_validation, test_completion_with_function_calling,
test_delta_tool_call_serialization, test_enable_force_include_usage, test_extra_content_fields,
test_non_object_body_validation, test_root_path, test_serving_chat, test_tool_choice_null; of openai/basic:
test_chat_template, test_return_token_ids; openai/models; of serve: exception_handling/test_error_sanitization and
test_validation_exception_handler, middleware/test_authentication_middleware and test_x_request_id,
tokenize/test_serving_tokenization and test_tokenization; of pooling/embed: test_online and test_online_dimensions. About
half: serve/instrumentator/test_basic and test_metrics. Not read: speech, images, video, prompts as embeddings, Harmony,
parsers of particular models' calls and reasoning, reinforcement learning, several processes, adapters. The stored copy is a
union of versions; some files are not the newest. Tokenization, embeddings and the endpoints about the server are in
`test_vllm_suite_server.py`, /v1/messages and /v1/responses in `test_vllm_suite_blocks.py`.

What does not apply:

- Endpoints that we do not have: /invocations, /score, /version, /load, /pooling; conversations as input of embeddings; a
  root path; background jobs in files.
- vLLM's `min_tokens`, `truncate_prompt_tokens`, `truncation_side`, `use_beam_search`, `logprobs: -1`, `prompt_logprobs: -1`,
  `return_tokens_as_token_ids`, `kv_transfer_params`: refused by name or value.
- Unknown fields of a message or of a content part, and roles of one's own: vLLM passes them on; here they are errors, so
  that a misspelled field is not lost.
- `tool_choice: "auto"` without tools, and an empty `cache_salt`, change nothing and are accepted here.
- The content beside a call: vLLM sends "" for a named tool, OpenAI null, and so do we.
- `max_tokens` beyond the context is an error here, as in OpenAI's API; vLLM shortens it.
- Embeddings as bytes, in other number formats, or not scaled to length 1. The number of their dimensions is free up to the
  model's width; vLLM allows those that a model was trained for.
- Metrics that only vLLM's engine has.
- Texts, counts of tokens and speed of particular models.
"""

import json
from typing import Any

import httpx2 as httpx
import openai
import pytest

from tests.server.tiny_server import Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]
TOKENS = [5, 6, 7, 8]
SUCCESS = {"type": "object", "properties": {"success": {"type": "boolean", "const": True}}, "required": ["success"],
           "additionalProperties": False}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "test", "description": "", "parameters": SUCCESS}}
NAMED = {"type": "function", "function": {"name": "test"}}


def chat(server: Server, **fields: Any) -> httpx.Response:
    return httpx.post(server.url + "/v1/chat/completions", json={"messages": HELLO, "max_tokens": 4, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        {"structured_outputs": {"regex": {"1": "Python"}}},
        {"structured_outputs": {"regex": "[.*"}},
        {"structured_outputs": {"grammar": "root ::= nothing"}},
        {"structured_outputs": {"grammar": ""}},
        {"structured_outputs": {"json": {"type": "object"}}, "response_format": {"type": "json_object"}},
        {"structured_outputs": {"json": {"type": "object", "properties": {"foo": "bar"}}}},
        {"logprobs": True, "top_logprobs": 21},
        {"top_logprobs": 3},
        {"seed": 2**63},
        {"seed": -(2**63) - 1},
        {"logit_bias": {"not_a_token_id": 50}},
        {"logit_bias": {"1": "not_a_number"}},
        {"logit_bias": {"99999": 1}},
        {"logit_bias": {"bad1": 50, "bad2": 20}},
        {"stop_token_ids": [99999]},
        {"stop_token_ids": [-1]},
        {"stream_options": {"include_usage": None}},
        {"stream_options": {"include_usage": True}},
        {"stream_options": {"continuous_usage_stats": None}},
        {"stream_options": {"continuous_usage_stats": True}},
        {"tool_choice": NAMED},
        {"tools": [TOOL], "tool_choice": {}},
        {"tools": [TOOL], "tool_choice": "bogus"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"n": 0},
        {"max_tokens": 0},
        {"temperature": -1},
        {"top_p": 2},
    ],
    ids=str,
)
def test_invalid_chats_are_refused_and_the_server_goes_on(server: Server, fields: dict[str, Any]) -> None:
    for stream in (False, True) if "stream_options" not in fields else (False,):
        response = chat(server, stream=stream, **fields)
        error = response.json()["error"]
        assert response.status_code == 400 and error["type"] == "invalid_request_error"
        assert all(str(key) in error["message"] for key in fields.get("logit_bias", {}) if key != "1")
    assert chat(server).status_code == 200


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_usage_in_a_stream(client: openai.OpenAI, kind: str) -> None:
    def stream(**options: bool) -> list[Any]:
        request = {
            "model": "tiny",
            "max_tokens": 5,
            "stream": True,
            "stream_options": options,
            "extra_body": {"ignore_eos": True},
        }
        if kind == "chat":
            return list(client.chat.completions.create(messages=HELLO, **request))
        return list(client.completions.create(prompt=TOKENS, **request))

    assert all(part.usage is None for part in stream())
    assert all(part.usage is None for part in stream(include_usage=False, continuous_usage_stats=True))
    parts = stream(include_usage=True)
    assert (
        all(part.usage is None for part in parts[:-1]) and parts[-1].choices == [] and parts[-1].usage.completion_tokens == 5
    )
    counts = [part.usage.completion_tokens for part in stream(include_usage=True, continuous_usage_stats=True)]
    assert counts == sorted(counts) and counts[-1] == 5


@pytest.mark.parametrize("logprobs", [0, 1, 5])
@pytest.mark.parametrize("prompt", [TOKENS, "the quick"])
def test_logprobs_of_completions(client: openai.OpenAI, prompt: Any, logprobs: int) -> None:
    request = {"model": "tiny", "prompt": prompt, "max_tokens": 5, "temperature": 0, "logprobs": logprobs}
    result = client.completions.create(**request).choices[0].logprobs
    assert all(max(logprobs, 1) <= len(top) <= logprobs + 1 for top in result.top_logprobs)
    assert all(
        top[token] == value
        for top, token, value in zip(result.top_logprobs, result.tokens, result.token_logprobs, strict=True)
    )
    echoed = client.completions.create(**request, echo=True).choices[0].logprobs
    assert echoed.token_logprobs[0] is None and echoed.top_logprobs[0] is None
    assert all(max(logprobs, 1) <= len(top) <= logprobs + 1 for top in echoed.top_logprobs[1:])
    assert (
        echoed.tokens[-5:] == result.tokens
        and client.completions.create(**request | {"logprobs": None}).choices[0].logprobs is None
    )
    with pytest.raises(openai.BadRequestError, match="logprobs=21"):
        client.completions.create(**request | {"logprobs": 21})


@pytest.mark.parametrize("top_logprobs", [0, 5, 20])
def test_logprobs_of_chats(client: openai.OpenAI, top_logprobs: int) -> None:
    request = {
        "model": "tiny",
        "messages": HELLO,
        "max_tokens": 5,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": top_logprobs,
    }
    content = client.chat.completions.create(**request).choices[0].logprobs.content
    assert all(len(entry.top_logprobs) == top_logprobs and entry.logprob <= 0 for entry in content)
    parts = client.chat.completions.create(**request, stream=True)
    streamed = [entry for part in parts if part.choices[0].logprobs for entry in part.choices[0].logprobs.content]
    assert streamed == content
    assert client.chat.completions.create(**request | {"logprobs": False, "top_logprobs": None}).choices[0].logprobs is None


def test_batches_and_several_choices(client: openai.OpenAI) -> None:
    for prompts in (["the quick"] * 2, [TOKENS] * 2):
        request = {"model": "tiny", "prompt": prompts, "max_tokens": 5, "temperature": 0}
        batch = client.completions.create(**request)
        assert [choice.index for choice in batch.choices] == [0, 1] and batch.choices[0].text == batch.choices[1].text
        texts = ["", ""]
        for part in client.completions.create(**request, stream=True):
            texts[part.choices[0].index] += part.choices[0].text
        assert texts == [choice.text for choice in batch.choices]
    choices = client.chat.completions.create(model="tiny", messages=HELLO, n=3, seed=42, max_tokens=12).choices
    assert [choice.index for choice in choices] == [0, 1, 2] and len({choice.message.content for choice in choices}) > 1


def test_the_same_seed_gives_the_same_text_and_another_another(client: openai.OpenAI) -> None:
    def text(seed: int) -> str:
        return client.completions.create(model="tiny", prompt="the quick", seed=seed, max_tokens=12).choices[0].text

    assert text(42) == text(42) and len({text(seed) for seed in range(4)}) == 4


@pytest.mark.parametrize("prompt", [[], [[]], [999_999], None, "", {"a": 1}])
def test_invalid_prompts(server: Server, prompt: Any) -> None:
    response = httpx.post(server.url + "/v1/completions", json={"prompt": prompt, "max_tokens": 5})
    assert response.status_code == (200 if prompt == "" else 400)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_forced_call(client: openai.OpenAI, stream: bool, choice: Any) -> None:
    pytest.importorskip("llguidance")
    request = {
        "model": "tiny",
        "messages": HELLO,
        "tools": [TOOL],
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "seed": 3,
    }
    if stream:
        deltas = [part.choices[0].delta for part in client.chat.completions.create(**request, max_tokens=150, stream=True)]
        assert not any(delta.content for delta in deltas)
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        assert [call.index for call in calls] == [0]
    else:
        message = client.chat.completions.create(**request, max_tokens=150).choices[0].message
        assert not message.content
        calls = message.tool_calls
    assert [call.function.name for call in calls] == ["test"] and calls[0].id
    assert json.loads(calls[0].function.arguments)["success"] is True
    cut = client.chat.completions.create(**request, max_tokens=1).choices[0]
    [call] = cut.message.tool_calls
    assert (cut.finish_reason, cut.message.content, call.function.name) == ("length", None, "test")
    assert call.function.arguments == ""


def test_no_call_without_tools_or_with_the_choice_none(client: openai.OpenAI) -> None:
    for fields in ({"tools": []}, {"tools": [TOOL], "tool_choice": "none"}, {"tool_choice": "auto"}, {"tools": [TOOL]}):
        message = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=8, **fields).choices[0].message
        assert message.tool_calls is None


@pytest.mark.parametrize("arguments", ["{}", ""])
def test_a_call_without_arguments_in_the_history(server: Server, arguments: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "test", "arguments": arguments}}
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "12:00"}]  # fmt: skip
    assert chat(server, messages=messages, tools=[TOOL]).status_code == 200


@pytest.mark.parametrize(
    "field",
    [
        "min_tokens", "truncate_prompt_tokens", "truncation_side", "use_beam_search", "return_tokens_as_token_ids",
        "kv_transfer_params",
    ],
)  # fmt: skip
def test_fields_of_vllm_that_are_refused_by_name(server: Server, field: str) -> None:
    error = chat(server, **{field: 1}).json()["error"]
    assert error["param"] == field and error["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": 30},
        {"prompt_logprobs": -1},
        {"prompt": [-1]},
        {"prompt": [[-1]]},
        {"response_format": {"type": "json_schema"}},
        {"structured_outputs": {"regex": "[.*"}},
        {"structured_outputs": {"grammar": "root ::= nothing"}},
        {"structured_outputs": {"json": {"properties": {"foo": "bar"}}}},
        {"prompt_embeds": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_invalid_completions_are_refused_before_a_stream_begins(
    server: Server, fields: dict[str, Any], stream: bool
) -> None:
    response = httpx.post(server.url + "/v1/completions", json={"prompt": "a", "max_tokens": 5, "stream": stream, **fields})
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", ['"text"', '["not", "an", "object"]', "42", "null", "{", ""])
def test_a_body_that_is_no_object(server: Server, body: str) -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize", "/v1/responses", "/v1/messages"):
        response = httpx.post(server.url + path, content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("echo", [False, True])
def test_text_offsets_are_those_of_the_tokens(client: openai.OpenAI, echo: bool) -> None:
    request: dict[str, Any] = {"model": "tiny", "prompt": "the quick", "max_tokens": 24, "temperature": 0, "logprobs": 0}
    free = client.completions.create(**request, echo=echo).choices[0]
    for start, token in zip(free.logprobs.text_offset, free.logprobs.tokens, strict=True):
        if token.isascii() and not token.startswith(("bytes:", "<|")):
            assert free.text.startswith(token, start)
    # A stop string that may have begun holds text back, and stays out of the offsets.
    stop = [f"{character}\N{SNOWMAN}" for character in sorted({token[-1] for token in free.logprobs.tokens})][:4]
    held = client.completions.create(**request, echo=echo, stop=stop).choices[0]
    assert (held.text, held.logprobs) == (free.text, free.logprobs)
    if not echo:  # which cannot be streamed with logprobs
        parts = client.completions.create(**request, stop=stop, stream=True)
        streamed = [part.choices[0].logprobs.text_offset for part in parts if part.choices[0].logprobs]
        assert [offset for offsets in streamed for offset in offsets] == free.logprobs.text_offset


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_each_of_several_choices_ends_once_in_a_stream(client: openai.OpenAI, kind: str) -> None:
    request: dict[str, Any] = {"model": "tiny", "n": 3, "seed": 42, "max_tokens": 20}
    if kind == "chat":
        whole = [choice.message.content for choice in client.chat.completions.create(**request, messages=HELLO).choices]
        parts: Any = client.chat.completions.create(**request, messages=HELLO, stream=True)
    else:
        whole = [choice.text for choice in client.completions.create(**request, prompt="the quick").choices]
        parts = client.completions.create(**request, prompt="the quick", stream=True)
    texts, ends = ["", "", ""], []
    for choice in (choice for part in parts for choice in part.choices):
        texts[choice.index] += (choice.delta.content if kind == "chat" else choice.text) or ""
        ends += [choice.index] if choice.finish_reason else []
    assert texts == whole and sorted(ends) == [0, 1, 2] and len(set(texts)) == 3


def test_structured_choices_and_their_logprobs(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    choices = ["Python", "Java", "C++", "a.b"]
    request: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 40, "logprobs": True, "top_logprobs": 5}
    for seed in range(3):
        extra = {"structured_outputs": {"choice": choices}, "tool_choice": None}
        choice = client.chat.completions.create(**request, seed=seed, extra_body=extra).choices[0]
        assert choice.message.content in choices and choice.finish_reason == "stop"
        assert all(top.logprob >= -9999 for entry in choice.logprobs.content for top in entry.top_logprobs)
    extra = {"structured_outputs": {"regex": r"((25[0-5]|1\d\d|[1-9]?\d)\.){3}(25[0-5]|1\d\d|[1-9]?\d)"}}
    text = client.chat.completions.create(**request, extra_body=extra).choices[0].message.content
    assert all(0 <= int(number) <= 255 for number in str(text).split("."))


def test_content_in_parts_is_the_same_text(server: Server, client: openai.OpenAI) -> None:
    def tokens(*messages: dict[str, Any]) -> list[int]:
        response = httpx.post(server.url + "/tokenize", json={"messages": messages})
        assert response.status_code == 200
        return list(response.json()["tokens"])

    for role in ("system", "user", "assistant", "tool"):
        parts = [{"type": "text", "text": "the quick "}, {"type": "text", "text": "fox"}]
        assert tokens({"role": role, "content": parts}) == tokens({"role": role, "content": "the quick fox"})
    assert tokens(*HELLO, {"role": "assistant", "content": []}) == tokens(*HELLO, {"role": "assistant", "content": ""})
    assert chat(server, messages=[{"role": "user", "content": "a", "extra_field": "0"}]).status_code == 400


def test_biases_and_stops_at_the_edge_of_the_vocabulary(server: Server, client: openai.OpenAI) -> None:
    vocab_size = server.state.registry.get("tiny").language_model.transformer.config.vocab_size
    for field, edge, outside in (
        ("logit_bias", {str(vocab_size - 1): 1}, {str(vocab_size): 1}),
        ("stop_token_ids", [vocab_size - 1], [vocab_size]),
    ):
        assert chat(server, **{field: edge}).status_code == 200
        message = chat(server, **{field: outside}).json()["error"]["message"]
        assert field in message and str(vocab_size) in message and str(vocab_size - 1) in message


@pytest.mark.parametrize("model", [None, "", "tiny"])
def test_the_answer_names_the_model(server: Server, model: str | None) -> None:
    assert chat(server, model=model).json()["model"] == "tiny"
    assert chat(server, model="other").status_code == 404


def test_later_pieces_of_a_call_have_no_nulls(server: Server) -> None:
    pytest.importorskip("llguidance")
    response = chat(server, tools=[TOOL], tool_choice="required", n=2, max_tokens=150, stream=True, seed=3)
    chunks = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data: {")]
    calls: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        calls[choice["index"]] += choice["delta"].get("tool_calls") or []
    for pieces in calls.values():
        assert pieces[0]["id"] and pieces[0]["type"] == "function" and pieces[0]["function"]["name"] == "test"
        assert all(None not in (*piece.values(), *piece["function"].values()) for piece in pieces)
        assert json.loads("".join(piece["function"].get("arguments", "") for piece in pieces))["success"] is True
    assert {choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]} == {None, "tool_calls"}

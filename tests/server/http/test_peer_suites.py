"""What the test suites of llama.cpp's server (tools/server/tests) and of vLLM (tests/entrypoints/openai) demand of the
endpoints that we have; the tests are our own, on a tiny random model.

What does not apply:

- Endpoints that we do not have: /completion, /infill, /props, /slots, /apply-template, /rerank, /lora-adapters, /metrics in
  llama.cpp's names, /invocations, /score, audio, images, batches of conversations; prompts as embeddings.
- llama.cpp's own fields: `n_predict`, `n_probs`, `grammar` in GBNF, `timings_per_token`, `return_progress`,
  `response_fields`, prompts that mix texts and tokens in one list. They are refused by name; `max_tokens`, `logprobs` and
  `structured_outputs` do the same.
- vLLM's `min_tokens`, `truncate_prompt_tokens`, `use_beam_search`, `logprobs: -1`, `return_tokens_as_token_ids`: refused by
  name.
- Unknown fields of a message and roles of one's own: vLLM passes them on; here they are errors, so that a misspelled field
  is not lost.
- The content of a first chunk: llama.cpp sends null, OpenAI and vLLM "", and so do we. The content beside a call: vLLM sends
  "" for a named tool, OpenAI null, and so do we.
- The type of an error for a long prompt: llama.cpp's `exceed_context_size_error` is `invalid_request_error` with the code
  `context_length_exceeded` here, as in OpenAI's API.
- Reasoning in a field of its own: the models that we train have no such format.
- Texts, counts of tokens and speed of particular models.
"""

import base64
import json
import re
from typing import Any

import httpx2 as httpx
import numpy as np
import openai
import pytest

from tests.server.tiny_server import Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]
TOKENS = [5, 6, 7, 8]
SUCCESS = {"type": "object", "properties": {"success": {"type": "boolean", "const": True}}, "required": ["success"],
           "additionalProperties": False}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "test", "description": "", "parameters": SUCCESS}}
NAMED = {"type": "function", "function": {"name": "test"}}


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def chat(server: Server, **fields: Any) -> httpx.Response:
    return httpx.post(server.url + "/v1/chat/completions", json={"messages": HELLO, "max_tokens": 4, **fields})


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ({"type": "json_object", "schema": {"const": "42", "type": "string"}}, '"42"'),
        ({"type": "json_schema", "json_schema": {"schema": {"const": "foooooo"}}}, '"foooooo"'),
        ({"type": "json_object"}, r"\{.*"),
        ({"type": "text"}, ".*"),
    ],
)
def test_response_formats(server: Server, schema: dict[str, Any], pattern: str) -> None:
    pytest.importorskip("llguidance")
    response = chat(server, response_format=schema, max_tokens=40)
    assert response.status_code == 200
    assert re.fullmatch(pattern, response.json()["choices"][0]["message"]["content"], re.DOTALL)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": None},
        {"messages": "string"},
        {"messages": [123]},
        {"messages": [{}]},
        {"messages": [{"role": 123}]},
        {"messages": [{"role": "system", "content": 123}]},
        {"messages": [{"role": "system", "content": "test"}, {}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com"}}]}]},
        {"response_format": {"type": "sound"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        {"response_format": {"type": "json_object", "schema": 123}},
        {"response_format": {"type": "json_object", "schema": {"type": 123}}},
        {"response_format": {"type": "json_object", "schema": {"type": "hiccup"}}},
        {"structured_outputs": {"regex": {"1": "Python"}}},
        {"structured_outputs": {"regex": "[.*"}},
        {"structured_outputs": {"grammar": "root ::= nothing"}},
        {"structured_outputs": {"json": {"type": "object", "properties": {"foo": "bar"}}}},
        {"logprobs": True, "top_logprobs": 21},
        {"top_logprobs": 3},
        {"seed": 2**63},
        {"seed": -(2**63) - 1},
        {"logit_bias": {"not_a_token_id": 50}},
        {"logit_bias": {"1": "not_a_number"}},
        {"logit_bias": {"99999": 1}},
        {"stop_token_ids": [99999]},
        {"stream_options": {"include_usage": None}},
        {"stream_options": {"include_usage": True}},
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


def test_ids_and_finish_reasons_of_a_stream(client: openai.OpenAI) -> None:
    parts = list(client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5, stream=True))
    assert len({part.id for part in parts}) == 1 and parts[0].id.startswith("chatcmpl-")
    assert parts[0].system_fingerprint and len({part.system_fingerprint for part in parts}) == 1
    assert parts[0].choices[0].delta.role == "assistant"
    assert all(part.choices[0].delta.role is None for part in parts[1:])
    assert [part.choices[0].finish_reason for part in parts if part.choices[0].finish_reason] == ["length"]


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
    assert (cut.finish_reason, cut.message.content, cut.message.tool_calls) == ("length", "", None)


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


def test_embeddings(client: openai.OpenAI, server: Server) -> None:
    texts = ["the quick brown fox", "the quick brown fox", "jumps over"]
    result = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    vectors = np.array([item.embedding for item in result.data])
    assert np.allclose((vectors**2).sum(1), 1, atol=1e-3) and np.allclose(vectors[0], vectors[1], atol=1e-3)
    assert result.usage.prompt_tokens == result.usage.total_tokens > 0
    encoded = httpx.post(server.url + "/v1/embeddings", json={"input": texts[0], "encoding_format": "base64"}).json()
    decoded = np.frombuffer(base64.b64decode(encoded["data"][0]["embedding"]), "<f4")
    assert np.allclose(decoded, vectors[0], atol=1e-3)
    assert len(client.embeddings.create(model="tiny", input=[TOKENS, TOKENS[:2]]).data) == 2
    for invalid in ([], [[]], {"content": "string"}, "word " * 600, [99_999]):
        assert httpx.post(server.url + "/v1/embeddings", json={"input": invalid}).status_code == 400


@pytest.mark.parametrize("field", ["n_predict", "n_probs", "min_tokens", "truncate_prompt_tokens", "use_beam_search"])
def test_fields_of_others_are_refused_by_name(server: Server, field: str) -> None:
    error = chat(server, **{field: 1}).json()["error"]
    assert error["param"] == field and error["code"] == "unknown_parameter"

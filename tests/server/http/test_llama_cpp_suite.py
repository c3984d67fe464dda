"""What the test suite of llama.cpp's server (tools/server/tests/unit) demands of the endpoints that we have. The tests are
our own, on a tiny random model; what other files test already is not repeated.

Read, some in an older version or without their last lines: test_basic, test_chat_completion, test_compat_anthropic,
test_compat_gcp, test_compat_oai_responses, test_completion, test_ctx_shift, test_embedding, test_ignore_eos, test_infill,
test_kv_keep_only_active, test_log_injection, test_lora, test_metrics, test_model_capabilities, test_prefill, test_proxy,
test_reasoning_budget_stream, test_rerank, test_router, test_security, test_sleep, test_speculative, test_stream,
test_template, test_tokenize, test_tool_call, test_vision_api; of some, the stored version is not the newest. Half:
test_anthropic_api (an older form of test_compat_anthropic) and test_slot_save. By name only, because they test what we do
not have: audio, caches on disk and of images, MCP servers and built-in tools, slots, Vertex AI.

What does not apply:

- Endpoints that we do not have: /completion, /infill, /props, /slots, /apply-template, /rerank, /lora-adapters, /predict,
  /cors-proxy, /v1/stream, /models/load; the same endpoints without /v1. `suffix` of /v1/completions fills in the middle.
- llama.cpp's own fields (`test_fields_of_llama_cpp_are_refused_by_name`); `max_tokens`, `logprobs` and `structured_outputs`
  do the same. /tokenize has vLLM's fields. `logit_bias` has token ids as keys, as in OpenAI's API, not texts.
- `ignore_eos` shows in no settings that a response repeats; the test of vLLM's fields covers what it does.
- A prompt that mixes texts and tokens in one list; embeddings of objects and of images; pooling of another kind.
- Without a key, /health is open and /v1/models is not. A page of another site is refused unless its origin is allowed.
- The type of an error for a long prompt: llama.cpp's `exceed_context_size_error` is `invalid_request_error` with the code
  `context_length_exceeded` here, as in OpenAI's API; context is never shifted, except by `truncation` of /v1/responses.
- An empty answer to an empty list of messages; two answers in a row are an error only if the template says so.
- The content of a first chunk: llama.cpp sends null, OpenAI and vLLM "", and so do we.
- Malformed JSON in the arguments of an earlier call: llama.cpp refuses it; here it is shown to the model as it was.
- Loading and unloading models, several servers, waking from sleep, restoring caches, speculation with a second model.
- Texts, counts of tokens and speed of particular models.
"""

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.server.http.keys import Keys
from tests.server.tiny_server import CONTEXT, Server, running

HELLO = [{"role": "user", "content": "the quick brown fox"}]
PIXEL = {"url": "data:image/png;base64,AAAA"}
SUCCESS = {"type": "object", "properties": {"success": {"type": "boolean", "const": True}}, "required": ["success"],
           "additionalProperties": False}  # fmt: skip
FILL = {"ignore_eos": True}
PROMPTS = ("the quick brown fox", "jumps over", "a", "the lazy dog and the quick fox", "brown")


def post(server: Server, path: str, **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body)


def chat(server: Server, **fields: Any) -> httpx.Response:
    return post(server, "/v1/chat/completions", **{"messages": HELLO, "max_tokens": 4, **fields})


def metric(server: Server, name: str) -> float:
    """The sum of a metric's values whose name and labels begin like this."""
    lines = httpx.get(server.url + "/metrics").text.splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)]
    assert values
    return sum(values)


def wait_for(server: Server, names: Sequence[str], expected: list[float]) -> None:
    """Until the metrics have these values, which may be a little after a response."""
    for _ in range(500):
        if [metric(server, name) for name in names] == expected:
            break
        threading.Event().wait(0.01)
    assert [metric(server, name) for name in names] == expected


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
    text_format = {**schema, **schema.get("json_schema", {})}
    if "schema" in text_format and schema["type"] == "json_object":
        return  # of /v1/responses, a json_object has no schema
    text_format = {"type": text_format["type"], **({"schema": text_format["schema"]} if "schema" in text_format else {})}
    answer = post(server, "/v1/responses", input="a", max_output_tokens=40, text={"format": text_format}).json()
    assert re.fullmatch(pattern, answer["output"][0]["content"][0]["text"], re.DOTALL)


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
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": PIXEL}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]},
        {"response_format": {"type": "sound"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_object", "schema": 123}},
        {"response_format": {"type": "json_object", "schema": {"type": 123}}},
        {"response_format": {"type": "json_object", "schema": {"type": "hiccup"}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_invalid_chats_are_refused_and_the_server_goes_on(server: Server, fields: dict[str, Any], stream: bool) -> None:
    response = chat(server, stream=stream, **fields)
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"
    assert chat(server).status_code == 200


@pytest.mark.parametrize(
    "field",
    [
        "n_predict", "n_probs", "post_sampling_probs", "grammar", "json_schema", "timings_per_token", "return_progress",
        "response_fields", "id_slot", "cache_prompt", "return_tokens", "lora", "reasoning_budget",
    ],
)  # fmt: skip
def test_fields_of_llama_cpp_are_refused_by_name(server: Server, field: str) -> None:
    for response in (chat(server, **{field: 1}), post(server, "/v1/completions", prompt="a", **{field: 1})):
        assert response.status_code == 400
        assert (response.json()["error"]["param"], response.json()["error"]["code"]) == (field, "unknown_parameter")


def test_a_stream_has_the_text_of_a_whole_answer(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "tiny", "max_tokens": 24, "seed": 7}
    whole = client.completions.create(**options, prompt="the quick").choices[0]
    parts = list(client.completions.create(**options, prompt="the quick", stream=True))
    assert "".join(part.choices[0].text for part in parts) == whole.text
    assert [part.choices[0].finish_reason for part in parts if part.choices[0].finish_reason] == [whole.finish_reason]
    answer = client.chat.completions.create(**options, messages=HELLO).choices[0]
    parts = list(client.chat.completions.create(**options, messages=HELLO, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == answer.message.content


def test_ids_and_finish_reasons_of_a_stream(client: openai.OpenAI) -> None:
    parts = list(client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5, stream=True, extra_body=FILL))
    assert len({part.id for part in parts}) == 1 and parts[0].id.startswith("chatcmpl-")
    assert parts[0].system_fingerprint and len({part.system_fingerprint for part in parts}) == 1
    assert parts[0].choices[0].delta.role == "assistant"
    assert all(part.choices[0].delta.role is None for part in parts[1:])
    assert [part.choices[0].finish_reason for part in parts if part.choices[0].finish_reason] == ["length"]


def test_a_stream_ends_before_a_stop_string(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "tiny", "prompt": "the quick", "max_tokens": 40, "temperature": 0}
    text = client.completions.create(**request).choices[0].text
    stops = [text[9:12], text[15:22]]
    parts = list(client.completions.create(**request, stop=stops, stream=True))
    expected = text[: min(text.index(stop) for stop in stops)]
    assert "".join(part.choices[0].text for part in parts) == expected
    assert parts[-1].choices[0].finish_reason == "stop"


def test_the_same_seed_gives_the_same_text_whatever_else_runs(client: openai.OpenAI) -> None:
    def text(prompt: str) -> str:
        return client.completions.create(model="tiny", prompt=prompt, seed=42, max_tokens=16).choices[0].text

    alone = [text(prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS) * 2) as threads:
        assert list(threads.map(text, PROMPTS * 2)) == alone * 2


def test_biased_tokens_are_not_generated(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "tiny", "max_tokens": 32, "temperature": 0, "extra_body": {"return_token_ids": True}}
    free = client.completions.create(**request, prompt="the quick").choices[0].token_ids
    bias = {str(token_id): -100 for token_id in free}
    assert not set(free) & set(
        client.completions.create(**request, prompt="the quick", logit_bias=bias).choices[0].token_ids
    )
    answer = client.chat.completions.create(**request, messages=HELLO, logit_bias=bias).choices[0]
    assert answer.message.content and not set(free) & set(answer.token_ids)


def test_tokens_of_logprobs_add_up_to_the_text(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 12, "temperature": 0, "logprobs": True}
    choice = client.chat.completions.create(**request, top_logprobs=10).choices[0]
    entries = choice.logprobs.content
    spelled = b"".join(bytes(entry.bytes or []) for entry in entries)
    assert spelled.decode("utf-8", "replace") == choice.message.content
    assert all(entry.logprob <= 0 and len(entry.top_logprobs) == 10 for entry in entries)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [*HELLO, {"role": "assistant", "content": "a brown fox"}] * 100}),
        ("/v1/completions", {"prompt": "the quick brown fox " * 200}),
        ("/v1/responses", {"input": "the quick brown fox " * 200}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "the quick brown fox " * 200}], "max_tokens": 4}),
    ],
)
def test_a_long_prompt_is_refused_with_both_numbers(server: Server, path: str, body: dict[str, Any], stream: bool) -> None:
    response = post(server, path, **body, stream=stream)
    error = response.json()["error"]
    assert response.status_code == 400 and error["type"] == "invalid_request_error"
    assert str(CONTEXT) in error["message"] and len(re.findall(r"\d+", error["message"])) >= 2


def test_without_a_limit_the_answer_fills_the_context(server: Server) -> None:
    usage = chat(server, max_tokens=None, ignore_eos=True).json()["usage"]
    assert usage["total_tokens"] == CONTEXT
    nearly = {"prompt": [5] * (CONTEXT - 3), "max_tokens": 3, "ignore_eos": True, "temperature": 0}
    choice = post(server, "/v1/completions", **nearly).json()["choices"][0]
    assert choice["finish_reason"] == "length" and choice["text"]
    assert post(server, "/v1/completions", **{**nearly, "max_tokens": 4}).status_code == 400


def test_a_client_that_leaves_frees_its_place(server: Server) -> None:
    aborted = metric(server, 'vllm:request_success_total{finished_reason="abort"')
    body = {"messages": HELLO, "ignore_eos": True, "n": 4, "stream": True}
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=body) as response:
        next(response.iter_lines())
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", 'vllm:request_success_total{finished_reason="abort"')
    wait_for(server, names, [0, 0, aborted + 4])


def test_texts_survive_tokens(server: Server) -> None:
    text = "What is the capital of France ? 媽 \U0001f917"
    tokens = post(server, "/tokenize", prompt=text, return_token_strs=True).json()
    assert post(server, "/detokenize", tokens=tokens["tokens"]).json() == {"prompt": text}
    assert len(tokens["token_strs"]) == tokens["count"] and all(tokens["token_strs"])
    for field, value in (("content", text), ("add_special", True), ("with_pieces", True)):
        error = post(server, "/tokenize", prompt=text, **{field: value}).json()["error"]
        assert error["param"] == field


def test_the_generation_prompt_is_added_or_not(server: Server) -> None:
    def rendered(**options: Any) -> str:
        tokens = post(server, "/tokenize", messages=HELLO, **options).json()["tokens"]
        return str(post(server, "/detokenize", tokens=tokens).json()["prompt"])

    ending = "<|im_start|>assistant\n"
    assert rendered() == rendered(add_generation_prompt=True) == rendered(add_generation_prompt=False) + ending
    assert rendered(tools=[]) == rendered(tools=None) == rendered()


def test_keys(tmp_path: Path) -> None:
    with running(tmp_path, keys=Keys.read(["secret"])) as server:
        body = {"prompt": "a", "max_tokens": 2}
        for headers in ({}, {"Authorization": "Bearer invalid"}, {"X-Api-Key": "invalid"}):
            response = httpx.post(server.url + "/v1/completions", json=body, headers=headers)
            assert response.status_code == 401 and response.json()["error"]["type"] == "authentication_error"
        for headers in ({"Authorization": "Bearer secret"}, {"X-Api-Key": "secret"}):
            assert httpx.post(server.url + "/v1/completions", json=body, headers=headers).status_code == 200
        page = httpx.get(server.url + "/")
        assets = re.findall(r'(?:src|href)="(/?[^":]+\.(?:js|css))"', page.text)
        assert page.status_code == 200 and "<!doctype html>" in page.text.lower()
        assert {httpx.get(f"{server.url}/{asset.lstrip('/')}").status_code for asset in assets} <= {200}
        assert httpx.get(server.url + "/health").status_code == 200


def test_embeddings_of_every_length_and_form(server: Server) -> None:
    lengths = (1, 2, 253, 254, 255, 256, 257, CONTEXT - 1)
    result = post(server, "/v1/embeddings", input=[[5] * length for length in lengths]).json()
    assert len(result["data"]) == len(lengths) and result["usage"]["prompt_tokens"] == sum(lengths)
    assert [item["index"] for item in result["data"]] == list(range(len(lengths)))
    for texts, count in (("string", 1), ([12, 34, 56], 1), (["a", "b"], 2), (["a", [12, 34]], 2), ([[12], [34, 56]], 2)):
        response = post(server, "/v1/embeddings", input=texts)
        assert response.status_code == 200 and len(response.json()["data"]) == count
    for invalid in ([], {"content": "a"}, {"prompt_string": "a"}, [{"content": []}], [12, "a", 34], "word " * 600):
        assert post(server, "/v1/embeddings", input=invalid).status_code == 400


def test_metrics_count_requests_and_tokens(server: Server) -> None:
    names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")
    before = [metric(server, name) for name in names]
    usage = chat(server, ignore_eos=True).json()["usage"]
    gained = (usage["prompt_tokens"], usage["completion_tokens"], 1)
    wait_for(server, names, [count + n for count, n in zip(before, gained, strict=True)])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model(server: Server, path: str, stream: bool) -> None:
    body = {"model": "non-existent/model", "messages": HELLO, "prompt": "a", "input": "a", "max_tokens": 4}
    fields = {"/v1/completions": ("prompt", "max_tokens"), "/v1/responses": ("input",)}.get(path, ("messages", "max_tokens"))
    response = post(server, path, stream=stream, **{name: body[name] for name in ("model", *fields)})
    assert response.status_code == 404 and "non-existent/model" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"max_tokens": 4, "messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL["url"]}]}]}),
    ],
)
def test_images_are_refused_by_name(server: Server, path: str, body: dict[str, Any]) -> None:
    response = post(server, path, **body)
    assert response.status_code == 400 and "image" in response.json()["error"]["message"]


def test_events_of_a_response_belong_to_its_items(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "system", "content": "Book"}, *HELLO]
    events = list(client.responses.create(model="tiny", input=messages, max_output_tokens=8, stream=True, extra_body=FILL))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.incomplete"
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1
    final = events[-1].response
    assert final.id.startswith("resp_") and final.output[0].id.startswith("msg_")
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {final.output[0].id}
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text
    for name in ("timings_per_token", "return_progress"):
        with pytest.raises(openai.BadRequestError, match=name):
            client.responses.create(model="tiny", input="a", extra_body={name: True})


@pytest.mark.parametrize("stream", [False, True])
def test_the_calculators_result_is_answered_in_words(server: Server, stream: bool) -> None:
    call = {"name": "calculate", "arguments": '{"expression":"sin(30 * pi / 180)"}'}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_6789", "type": "function", "function": call}]},
        {"role": "tool", "name": "calculate", "content": "0.55644242476", "tool_call_id": "call_6789"},
    ]
    tools = [{"type": "function", "function": {"name": "calculate", "parameters": SUCCESS}}]
    response = chat(server, messages=messages, tools=tools, stream=stream)
    assert response.status_code == 200
    assert stream or response.json()["choices"][0]["message"].get("tool_calls") is None

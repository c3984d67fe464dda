"""Chat completions through OpenAI's client, on a tiny random model."""

import json
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.language_model import LanguageModel
from tests.server.tiny_server import Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]


def test_a_chat_completion_is_the_models_own_text(client: openai.OpenAI, model: LanguageModel) -> None:
    response = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=12, temperature=0)
    text = model.tokenizer.apply_chat_template(HELLO)
    ids = model.tokenizer.encode(text, parse_special=True)
    expected = model.generate(ids, max_new_tokens=12, do_sample=False)[0][len(ids) :]
    assert response.choices[0].message.content == model.tokenizer.decode(expected)
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (len(ids), len(expected))


def test_a_stream_has_the_same_text_and_usage(client: openai.OpenAI) -> None:
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 12, "seed": 3, "n": 2}
    response = client.chat.completions.create(**request)
    parts = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    for n in range(2):
        streamed = "".join(c.delta.content or "" for part in parts for c in part.choices if c.index == n)
        assert streamed == response.choices[n].message.content
    assert response.choices[0].message.content != response.choices[1].message.content
    assert parts[-1].usage == response.usage
    assert [c.finish_reason for part in parts for c in part.choices if c.finish_reason] == ["length"] * 2


def test_logprobs_and_token_ids(server: Server, client: openai.OpenAI, model: LanguageModel) -> None:
    response = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=4, temperature=0, logprobs=True, top_logprobs=3,
        extra_body={"return_token_ids": True},
    )  # fmt: skip
    content = response.choices[0].logprobs.content
    ids = response.choices[0].token_ids
    assert len(content) == len(ids) == 4
    for entry, token_id in zip(content, ids, strict=True):
        assert entry.token_id == token_id == entry.top_logprobs[0].token_id  # greedy
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob) and len(entry.top_logprobs) == 3
        assert bytes(entry.bytes) == model.tokenizer.token_bytes(token_id)
    tokenized = httpx.post(server.url + "/tokenize", json={"messages": HELLO}).json()
    assert tokenized["tokens"] == response.prompt_token_ids


def test_continue_final_message_continues_the_text(server: Server, client: openai.OpenAI) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "the lazy"}]
    options = {"add_generation_prompt": False, "continue_final_message": True}
    tokens = httpx.post(server.url + "/tokenize", json={"messages": messages, "return_token_strs": True, **options}).json()
    assert "".join(tokens["token_strs"]).endswith("assistant\nthe lazy")
    client.chat.completions.create(model="tiny", messages=messages, max_tokens=2, extra_body=options)
    with pytest.raises(openai.BadRequestError, match="needs an assistant message"):
        client.chat.completions.create(model="tiny", messages=HELLO, extra_body=options)


def test_structured_output(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    json_format = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    response = client.chat.completions.create(
        model="tiny", messages=HELLO, response_format=json_format, max_tokens=40, seed=2
    )
    assert 0 <= json.loads(response.choices[0].message.content)["n"] <= 9
    choice = {"structured_outputs": {"choice": ["yes", "n.o"]}}
    response = client.chat.completions.create(model="tiny", messages=HELLO, extra_body=choice, max_tokens=40)
    assert response.choices[0].message.content in ("yes", "n.o")
    with pytest.raises(openai.BadRequestError, match=r"json_schema\.schema cannot be used"):
        broken = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nothing"}}}
        client.chat.completions.create(model="tiny", messages=HELLO, response_format=broken)


def test_a_required_tool_is_called(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    digit = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    tools = [{"type": "function", "function": {"name": "count", "parameters": digit}}]
    request = {"model": "tiny", "messages": HELLO, "tools": tools, "tool_choice": "required", "max_tokens": 60, "seed": 1}
    choice = client.chat.completions.create(**request).choices[0]
    call = choice.message.tool_calls[0].function
    assert (choice.finish_reason, call.name) == ("tool_calls", "count")
    assert json.loads(call.arguments)["n"] in (1, 2)
    parts = [part.choices[0] for part in client.chat.completions.create(**request, stream=True)]
    assert [c.function.arguments for p in parts for c in p.delta.tool_calls or ()] == [call.arguments]
    response = client.responses.create(
        model="tiny", input="count", tools=[{"type": "function", **tools[0]["function"]}], tool_choice="required",
        max_output_tokens=60,
    )  # fmt: skip
    assert response.output[0].type == "function_call" and response.output[0].name == "count"


WORDS = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"enum": ["one", "two"]}, "minItems": 30}},
    "required": ["words"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("limit", [{"max_tokens": 90}, {"max_tokens": 2}, {"stop": "two"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_call_that_is_cut_off_comes_as_far_as_it_goes(
    client: openai.OpenAI, limit: dict[str, Any], stream: bool
) -> None:
    pytest.importorskip("llguidance")
    tool = {"type": "function", "function": {"name": "count", "parameters": WORDS}}
    request: dict[str, Any] = {"model": "tiny", "messages": HELLO, "tools": [tool], "tool_choice": "required", "seed": 1}
    answer = client.chat.completions.create(**request, **limit, stream=stream)
    if stream:
        choices = [part.choices[0] for part in answer]
        [call] = [call for choice in choices for call in choice.delta.tool_calls or ()]
        finish_reason, text = choices[-1].finish_reason, "".join(choice.delta.content or "" for choice in choices)
    else:
        [call], text = answer.choices[0].message.tool_calls, answer.choices[0].message.content or ""
        finish_reason = answer.choices[0].finish_reason
    assert (call.function.name, text, finish_reason) == ("count", "", "stop" if "stop" in limit else "length")
    assert ('{"words": ["' if limit.get("max_tokens") != 2 else "").startswith(call.function.arguments[:12])
    with pytest.raises(ValueError, match=""):
        json.loads(call.function.arguments)


def test_a_temperature_near_zero_is_greedy(client: openai.OpenAI) -> None:
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 6}
    texts = [client.chat.completions.create(**request, temperature=t).choices[0].message.content for t in (0, 1e-300, 1e-6)]
    assert texts[0] == texts[1] == texts[2]

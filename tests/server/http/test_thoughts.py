"""What a model thinks before its answer, told apart by the tags of its chat template."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.inference.thoughts import find_format
from lmcraft.language_model import LanguageModel
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.request_builder import find_thinking
from tests.finetuning.chat import CHATML, chat_model, chat_tokenizer
from tests.server.tiny_server import Server, running

KNOWS_TAGS = CHATML + "{# <think></think> #}"
BEGINS_THOUGHTS = CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'") + "{# </think> #}"
HELLO = [{"role": "user", "content": "what is <think>?"}]


@pytest.mark.parametrize(
    ("template", "fields", "is_open"),
    [
        (CHATML, {}, None),
        (KNOWS_TAGS, {}, False),
        (BEGINS_THOUGHTS, {}, True),
        (BEGINS_THOUGHTS, {"response_format": {"type": "json_object"}}, None),
        (KNOWS_TAGS, {"add_generation_prompt": False, "continue_final_message": True, "messages":
                      [*HELLO, {"role": "assistant", "content": "<think>\nwell"}]}, True),
        (KNOWS_TAGS, {"add_generation_prompt": False, "continue_final_message": True, "messages":
                      [*HELLO, {"role": "assistant", "content": "well"}]}, None),
        (KNOWS_TAGS, {"add_generation_prompt": False, "continue_final_message": True, "messages":
                      [*HELLO, {"role": "assistant", "content": "", "reasoning_content": "well"}]}, True),
    ],
)  # fmt: skip
def test_where_thoughts_begin(template: str, fields: dict[str, Any], is_open: bool | None) -> None:
    tokenizer = chat_tokenizer(template)
    text = tokenizer.apply_chat_template(HELLO)
    chat = ChatRequest.model_validate({"messages": HELLO, **fields})
    thinking = find_thinking(chat, tokenizer.encode(text, parse_special=True), tokenizer, find_format(tokenizer))
    assert (None if thinking is None else thinking.is_open) == is_open


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose template begins the thoughts, which the model never ends."""
    folder: Path = tmp_path_factory.mktemp("thinker")
    with running(folder) as server:
        LanguageModel(chat_model(), chat_tokenizer(BEGINS_THOUGHTS)).save(folder / "thinker")
        server.state.registry.open("thinker", folder / "thinker")
        yield server


def test_thoughts_of_chat_completions(thinker: Server) -> None:
    client = openai.OpenAI(base_url=thinker.url + "/v1", api_key="none")
    request: dict[str, Any] = {"model": "thinker", "messages": HELLO, "max_tokens": 12, "temperature": 0}
    raw = client.chat.completions.create(**request, extra_body={"reasoning_format": "none"}).choices[0].message
    completion = client.chat.completions.create(**request)
    message = completion.choices[0].message
    assert message.content == "" and message.reasoning_content == raw.content.strip() != ""
    assert completion.usage.completion_tokens_details.reasoning_tokens == completion.usage.completion_tokens
    deltas = [part.choices[0].delta for part in client.chat.completions.create(**request, stream=True)]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == message.reasoning_content
    assert not any(delta.content for delta in deltas)


def test_thoughts_of_responses(thinker: Server) -> None:
    client = openai.OpenAI(base_url=thinker.url + "/v1", api_key="none")
    request: dict[str, Any] = {"model": "thinker", "input": HELLO, "max_output_tokens": 12, "temperature": 0}
    response = client.responses.create(**request)
    (item,) = response.output
    assert (item.type, item.status, response.output_text) == ("reasoning", "incomplete", "")
    assert response.usage.output_tokens_details.reasoning_tokens == response.usage.output_tokens
    events = list(client.responses.create(**request, stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    ends = ["reasoning_text.done", "content_part.done", "output_item.done", "incomplete"]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"] and kinds[-4:] == ends
    text = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert text == item.content[0].text == events[-1].response.output[0].content[0].text != ""
    again = client.responses.create(**{**request, "input": [*HELLO, *response.output, *HELLO]})
    assert again.status == "incomplete"


def test_thoughts_of_messages(thinker: Server) -> None:
    body = {"model": "thinker", "messages": HELLO, "max_tokens": 12, "temperature": 0}
    message = httpx.post(thinker.url + "/v1/messages", json=body).json()
    (block,) = message["content"]
    assert block == {"type": "thinking", "thinking": block["thinking"], "signature": ""} and block["thinking"]
    lines = httpx.post(thinker.url + "/v1/messages", json={**body, "stream": True}).text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in events if event["type"].startswith("content_block")][:1] == ["content_block_start"]
    deltas = [event["delta"]["thinking"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(deltas) == block["thinking"]
    turns = [*HELLO, {"role": "assistant", "content": message["content"]}, *HELLO]
    assert httpx.post(thinker.url + "/v1/messages", json={**body, "messages": turns}).status_code == 200


@pytest.mark.parametrize("field", ["thinking_token_budget", "thinking_budget_tokens", "thinking_budget"])
def test_a_budget_ends_the_thoughts(thinker: Server, field: str) -> None:
    body = {"model": "thinker", "messages": HELLO, "max_tokens": 40, "seed": 1, field: 4}
    response = httpx.post(thinker.url + "/v1/chat/completions", json=body)
    message, usage = response.json()["choices"][0]["message"], response.json()["usage"]
    closing = usage["completion_tokens_details"]["reasoning_tokens"] - 4
    assert message["reasoning_content"] and message["content"] and 0 <= closing < 20
    assert "X-Ignored-Fields" not in response.headers
    none = httpx.post(thinker.url + "/v1/chat/completions", json={**body, field: 0}).json()["choices"][0]["message"]
    assert "reasoning_content" not in none and none["content"]
    endless = httpx.post(thinker.url + "/v1/chat/completions", json={**body, field: -1}).json()["choices"][0]["message"]
    assert endless["content"] == ""


def test_a_budget_without_thoughts_is_reported_as_ignored(thinker: Server) -> None:
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 4, "thinking_token_budget": 4}
    response = httpx.post(thinker.url + "/v1/chat/completions", json=body)
    assert response.headers["X-Ignored-Fields"] == "thinking_token_budget"


def test_a_budget_of_anthropics_form_ends_the_thoughts(thinker: Server) -> None:
    body = {"model": "thinker", "messages": HELLO, "max_tokens": 40, "thinking": {"type": "enabled", "budget_tokens": 4}}
    content = httpx.post(thinker.url + "/v1/messages", json=body).json()["content"]
    assert [block["type"] for block in content] == ["thinking", "text"]


def test_thoughts_are_continued_where_they_stopped(thinker: Server) -> None:
    """The prompt ends with them, although the template would show an ended block or nothing."""
    fields = {"model": "thinker", "add_generation_prompt": False, "continue_final_message": True}

    def prompt(**answer: str) -> str:
        body = {**fields, "messages": [*HELLO, {"role": "assistant", **answer}], "return_token_strs": True}
        tokens = httpx.post(thinker.url + "/tokenize", json=body).json()["tokens"]
        return str(httpx.post(thinker.url + "/detokenize", json={"model": "thinker", "tokens": tokens}).json()["prompt"])

    assert prompt(content="", reasoning_content="the fox").endswith("<think>\nthe fox")
    assert prompt(content="jumps", reasoning_content="the fox").endswith("<think>\nthe fox\n</think>\n\njumps")
    body = {**fields, "messages": [*HELLO, {"role": "assistant", "content": "", "reasoning_content": "the fox"}]}
    answer = httpx.post(thinker.url + "/v1/chat/completions", json={**body, "max_tokens": 8}).json()["choices"][0]
    assert answer["message"]["reasoning_content"] and not answer["message"]["content"]


def test_the_page_learns_the_tags(thinker: Server) -> None:
    models = {model["id"]: model for model in httpx.get(thinker.url + "/api/info").json()["models"]}
    assert models["thinker"]["thought_tags"] == {"start": "<think>", "end": "</think>"}
    assert models["tiny"]["thought_tags"] is None

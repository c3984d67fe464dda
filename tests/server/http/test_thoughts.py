"""What a model thinks before its answer, told apart by the tags of its chat template."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.inference.thoughts import ThoughtParser
from lmcraft.language_model import LanguageModel
from lmcraft.server.http.chat_answer import ChatChoice
from lmcraft.server.http.protocol.chat import ChatRequest
from tests.finetuning.chat import CHATML, chat_model, chat_tokenizer
from tests.server.tiny_server import Server, running

TAGS = ("<think>", "</think>")
KNOWS_TAGS = CHATML + "{# <think></think> #}"
BEGINS_THOUGHTS = CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'") + "{# </think> #}"
HELLO = [{"role": "user", "content": "what is <think>?"}]


def parse(text: str, *, is_open: bool = False, size: int = 1) -> tuple[str, str]:
    """The thoughts and the answer of a text that arrives in pieces of this size."""
    parser = ThoughtParser(TAGS, is_open=is_open)
    parts = [parser.put(text[n : n + size]) for n in range(0, len(text), size)] + [parser.end()]
    return "".join(thoughts for thoughts, _ in parts), "".join(answer for _, answer in parts)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "is_open", "expected"),
    [
        ("<think>\nwhy?\n</think>\n\nSo.", False, ("why?", "So.")),
        ("why?\n</think>\n\nSo.", True, ("why?", "So.")),
        ("\n <think>a < b\n\nc</think>So. <think>x</think>", False, ("a < b\n\nc", "So. <think>x</think>")),
        ("So.", False, ("", "So.")),
        ("  So. <think>", False, ("", "  So. <think>")),
        ("<think></think>So.", False, ("", "So.")),
        ("<think>\n\n</think>\n\n", False, ("", "")),
        ("<think>cut off </thi", False, ("cut off </thi", "")),
        ("cut off\n", True, ("cut off", "")),
        ("<thi", False, ("", "<thi")),
        ("</think>So.", False, ("", "</think>So.")),
        ("", True, ("", "")),
        (" \n", False, ("", " \n")),
    ],
)
def test_texts_are_divided(text: str, is_open: bool, expected: tuple[str, str], size: int) -> None:
    assert parse(text, is_open=is_open, size=size) == expected


@given(st.text(alphabet="<think>/ \nab", max_size=40), st.booleans(), st.integers(1, 9))
def test_the_pieces_make_no_difference(text: str, is_open: bool, size: int) -> None:
    thoughts, answer = parse(text, is_open=is_open, size=size)
    assert (thoughts, answer) == parse(text, is_open=is_open, size=1000)
    if not is_open and not text.lstrip().startswith("<think>"):
        assert (thoughts, answer) == ("", text)
    assert thoughts == thoughts.strip() and len(thoughts) + len(answer) <= len(text)


@pytest.mark.parametrize(
    ("template", "fields", "is_open"),
    [
        (CHATML, {}, None),
        (KNOWS_TAGS, {}, False),
        (BEGINS_THOUGHTS, {}, True),
        (BEGINS_THOUGHTS, {"reasoning_format": "none"}, None),
        (BEGINS_THOUGHTS, {"response_format": {"type": "json_object"}}, None),
        (KNOWS_TAGS, {"add_generation_prompt": False, "continue_final_message": True, "messages":
                      [*HELLO, {"role": "assistant", "content": "<think>\nwell"}]}, True),
        (KNOWS_TAGS, {"add_generation_prompt": False, "continue_final_message": True, "messages":
                      [*HELLO, {"role": "assistant", "content": "well"}]}, None),
    ],
)  # fmt: skip
def test_where_thoughts_begin(template: str, fields: dict[str, Any], is_open: bool | None) -> None:
    tokenizer = chat_tokenizer(template)
    text = tokenizer.apply_chat_template(HELLO)
    chat = ChatRequest.model_validate({"messages": HELLO, **fields})
    parser = ChatChoice.start(chat, tokenizer, tokenizer.encode(text, parse_special=True)).thought_parser
    assert (None if parser is None else parser.is_thinking) == is_open


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

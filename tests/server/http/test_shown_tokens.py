"""The log-probabilities of an answer are those of the tokens whose text it contains."""

from typing import Any

import openai
import pytest

from lmcraft.inference.continuation import Continuation
from lmcraft.inference.text_stream import TextStream
from lmcraft.server.http.shown_tokens import ShownTokens
from tests.finetuning.chat import chat_tokenizer
from tests.server.http.routes.test_chat import HELLO

TOKENIZER = chat_tokenizer()


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("abc", [], "abc"),
        ("a天b", [], "a天b"),
        ("ab天c", ["天"], "ab"),
        ("abcde", ["cd"], "ab"),
        ("abcde", ["ab"], ""),
        ("abcde", ["bX", "cdX"], "abcde"),
        ("abcbcd", ["bcd"], "abc"),
        ("ab<|im_end|>c", ["<|im_end|>"], "ab"),
        ("ab<|im_end|>c", [], "ab<|im_end|>c"),
    ],
)
def test_tokens_of_a_stop_string_are_left_out(text: str, stop: list[str], shown: str) -> None:
    special = TOKENIZER.special_tokens["<|im_end|>"]
    ids = []  # one token for each byte
    for part in text.split("<|im_end|>"):
        ids += [*(token for byte in part.encode() for token in TOKENIZER.encode(bytes([byte]))), special]
    ids.pop()
    continuation = Continuation(0, len(ids), (), TextStream(TOKENIZER, stop))
    shown_tokens, passed = ShownTokens(TOKENIZER), []
    for token_id in ids:
        token = continuation.append(token_id, -1.0)
        passed += shown_tokens.put([token])
        if token.finish_reason is not None:
            break
    assert TOKENIZER.decode([token.id for token in passed], skip_special_tokens=False) == shown


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("length", [1, 3])
def test_a_stop_string_in_every_endpoint(client: openai.OpenAI, stream: bool, length: int) -> None:
    request: dict[str, Any] = {"model": "tiny", "max_tokens": 24, "temperature": 0}
    chat = {**request, "messages": HELLO, "logprobs": True, "extra_body": {"return_token_ids": True}}
    free = client.chat.completions.create(**chat).choices[0]
    start = len(free.message.content) // 2
    stop = free.message.content[start : start + length]
    answer = client.chat.completions.create(**chat, stop=stop, stream=stream)
    choices = [part.choices[0] for part in answer] if stream else answer.choices
    content = "".join((choice.delta if stream else choice.message).content or "" for choice in choices)
    entries = [entry for choice in choices for entry in (choice.logprobs and choice.logprobs.content) or ()]
    written = b"".join(bytes(entry.bytes) for entry in entries).decode("utf-8", "replace")
    assert written.startswith(content) and (not entries or len(content) > len(written) - len(entries[-1].token))
    assert entries == free.logprobs.content[: len(entries)]
    plain = {**request, "prompt": "the quick", "logprobs": 1}
    free_text = client.completions.create(**plain).choices[0]
    stop = free_text.text[start : start + length]
    texts = client.completions.create(**plain, stop=stop, stream=stream)
    parts = [part.choices[0] for part in texts] if stream else texts.choices
    offsets = [offset for part in parts for offset in (part.logprobs.text_offset if part.logprobs else ())]
    assert offsets == free_text.logprobs.text_offset[: len(offsets)]
    text = "".join(part.text for part in parts)
    assert text == free_text.text[: free_text.text.index(stop)]
    assert all(offset < len(text) for offset in offsets)


@pytest.mark.parametrize("stop", [None, "stop"])
@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_the_ids_of_an_event_are_those_of_its_logprobs(client: openai.OpenAI, endpoint: str, stop: str | None) -> None:
    """Even where tokens wait, because they are parts of a character or may begin a stop string."""
    create, request = client.completions.create, {"prompt": "the quick", "logprobs": 1}
    if endpoint == "chat":
        create, request = client.chat.completions.create, {"messages": HELLO, "logprobs": True}
    request |= {"model": "tiny", "max_tokens": 60, "seed": 5, "temperature": 2.0, "extra_body": {"return_token_ids": True}}
    whole = create(**request).choices[0]
    if stop:
        text = whole.message.content if endpoint == "chat" else whole.text
        request["stop"] = text[len(text) // 2 :][:3]
        whole = create(**request).choices[0]
    ids, waited = [], False
    for event in create(**request, stream=True):
        choice = event.choices[0]
        logprobs = choice.logprobs and (choice.logprobs.content if endpoint == "chat" else choice.logprobs.tokens)
        token_ids = getattr(choice, "token_ids", None) or []  # the event that begins a chat has none
        if choice.finish_reason is None:
            assert len(token_ids) == len(logprobs or ())
        waited |= len(token_ids) > 1
        ids += token_ids
    assert waited and ids == whole.token_ids

"""The texts in requests that a gateway forwards."""

from typing import Any

import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.moderation.forwarded_texts import prompt_chats, prompt_texts, remove_token_fields


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"prompt": "a"}, ["a"]),
        ({"prompt": ["a", "b"], "suffix": "c"}, ["a", "c", "b", "c"]),
        ({"input": "a", "instructions": "rules"}, ["rules", "a"]),
        ({"input": "a", "tools": [{"name": "f", "description": "b"}]}, ["name\nf\ndescription\nb", "a"]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": text} for text in "ab"]}]}, ["a|b"]),
        ({"input": ["a"]}, ["a"]),
        ({}, []),
        ({"messages": {"role": "user", "content": "a"}}, ["a"]),
        (
            {
                "system": "rules",
                "messages": [
                    {"role": "system", "content": "rules"},
                    {"role": "user", "content": "a", "name": "n"},
                    {"role": "assistant", "content": "earlier"},
                    {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "b"}]}]},
                    {"role": "assistant", "content": "begun"},
                ],
            },
            ["rules", "rules", "n", "a", "b", "begun"],
        ),
        (
            {
                "input": [
                    {"type": "custom_tool_call", "call_id": "c", "input": "earlier"},
                    {"type": "function_call_output", "call_id": "c", "output": "a"},
                    {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
                ]
            },
            ["a", "b"],
        ),
    ],
)  # fmt: skip
def test_what_clients_send_is_judged(body: dict[str, Any], texts: list[str]) -> None:
    assert ["|".join(text.parts) for prompt in prompt_texts(body) for text in prompt] == texts


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:"}},
        {"image_url": "data:"},
        {"type": "document", "source": {"type": "base64"}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "tool_result", "content": [{"type": "image", "source": {}}]},
    ],
)
def test_what_is_no_text_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="cannot judge; send text"):
        prompt_texts({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]})


def test_fields_that_ask_for_tokens_are_removed() -> None:
    body = {"prompt": "a", "logprobs": 0, "echo": True, "prompt_logprobs": None, "return_token_ids": False}
    assert remove_token_fields(body) == ["logprobs"] and "logprobs" not in body


@pytest.mark.parametrize(
    ("body", "chats"),
    [
        ({"prompt": ["a", "b"], "suffix": "c"}, [[("user", "a")], [("user", "b")]]),
        ({"input": "a", "instructions": "rules"}, [[("user", "a")]]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": t} for t in "ab"]}]}, [[("user", "ab")]]),
        ({"messages": [{"role": "system", "content": "a"}, {"role": "user"}, 7]}, [[("system", "a"), ("user", "")]]),
        ({"messages": [{"role": ["x"], "content": {"text": "a"}}]}, [[("['x']", "a")]]),
        ({"input": ["a", {"type": "function_call_output", "call_id": "c", "output": "b"}]}, [[]]),
        ({}, [[("user", "")]]),
    ],
)  # fmt: skip
def test_the_messages_of_a_prompt_as_people_read_them(body: dict[str, Any], chats: list[list[tuple[str, str]]]) -> None:
    read = [[(message["role"], message["content"]) for message in chat] for chat in prompt_chats(body)]
    assert read == chats and (not body or len(prompt_texts(body)) == len(chats))

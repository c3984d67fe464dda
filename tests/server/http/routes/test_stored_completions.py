"""Chat completions that the server keeps on request."""

from typing import Any

import openai
import pytest

HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the quick brown fox"}]
CHAT: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 4, "temperature": 0}


@pytest.mark.parametrize("stream", [False, True])
def test_a_stored_completion(client: openai.OpenAI, stream: bool) -> None:
    response = client.chat.completions.create(**CHAT, store=True, metadata={"a": "b"}, stream=stream)
    parts = list(response) if stream else [response]
    stored = client.chat.completions.retrieve(parts[0].id)
    assert stored.metadata == {"a": "b"} and stored.object == "chat.completion"
    if not stream:
        assert {**stored.model_dump(), "metadata": None} == {**response.model_dump(), "metadata": None}
    else:
        assert stored.choices[0].message.content == "".join(part.choices[0].delta.content or "" for part in parts)
    messages = list(client.chat.completions.messages.list(stored.id, limit=1))
    assert [message.content for message in messages] == ["Be brief.", "the quick brown fox"]
    client.chat.completions.delete(stored.id)
    with pytest.raises(openai.NotFoundError, match="there is no response"):
        client.chat.completions.retrieve(stored.id)


def test_completions_are_kept_only_on_request(client: openai.OpenAI) -> None:
    for fields in ({}, {"store": False}, {"store": None}):
        response = client.chat.completions.create(**CHAT, **fields)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(response.id)

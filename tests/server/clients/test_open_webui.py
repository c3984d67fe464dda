"""The requests that Open WebUI sends (its routers for chats, tasks and retrieval); it has no client library.

A chat is a stream with usage; titles, tags and follow-ups are chats beside it; a knowledge base asks for embeddings.
"""

import json
from typing import Any

import httpx2 as httpx

from tests.server.clients.conftest import Address

Json = dict[str, Any]
ROLL = {
    "type": "function",
    "function": {
        "name": "roll",
        "description": "Roll a die.",
        "parameters": {
            "type": "object",
            "properties": {"sides": {"type": "boolean", "description": ""}},
            "required": ["sides"],
        },
    },
}
HEADERS = {
    "Authorization": "Bearer none",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ann",
    "X-OpenWebUI-User-Id": "1",
}


def post(address: Address, path: str, body: Json) -> Json:
    response = httpx.post(f"{address.url}/v1{path}", json=body, headers=HEADERS, timeout=120)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def stream(address: Address, body: Json) -> tuple[str, list[Json], Json]:
    """The text, the calls and the usage that Open WebUI puts together from a stream's chunks."""
    text, calls, usage = "", dict[int, Json](), Json()
    with httpx.stream("POST", f"{address.url}/v1/chat/completions", json=body, headers=HEADERS, timeout=120) as response:
        assert response.status_code == 200 and "text/event-stream" in response.headers["content-type"]
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    for chunk in map(json.loads, lines[:-1]):
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                calls.setdefault(call["index"], call)
    return text, list(calls.values()), usage


def test_two_turns_with_a_tool(address: Address) -> None:
    models = httpx.get(f"{address.url}/v1/models", headers=HEADERS).json()
    assert address.model in [model["id"] for model in models["data"]]
    settings = {"temperature": 0.7, "top_p": 0.9, "min_p": 0.05, "max_tokens": 60, "frequency_penalty": 0.1, "seed": 1,
                "stop": ["###"], "presence_penalty": 0.0, "logit_bias": {"5": -1}, "reasoning_effort": "low"}  # fmt: skip
    request = {"model": address.model, "stream": True, "stream_options": {"include_usage": True}, **settings}
    turns: list[Json] = [{"role": "system", "content": "You roll dice."}, {"role": "user", "content": "Roll a die."}]
    for _ in range(2):
        text, calls, usage = stream(address, {**request, "messages": turns, "tools": [ROLL], "tool_choice": "required"})
        assert usage["completion_tokens"] > 0 and calls[0]["function"]["name"] == "roll"
        turns.append({"role": "assistant", "content": text, "tool_calls": calls})
        turns += [{"role": "tool", "tool_call_id": call["id"], "content": "You rolled a 4."} for call in calls]
        text, _, usage = stream(address, {**request, "messages": turns})
        assert usage["total_tokens"] > usage["prompt_tokens"]
        turns += [{"role": "assistant", "content": text}, {"role": "user", "content": "Roll it again."}]


def test_titles_tags_and_embeddings(address: Address) -> None:
    task = '### Task:\\nGenerate a title.\\n### Output:\\n{ "title": "..." }\\n<chat_history>\\nUSER: hi\\n</chat_history>'
    message = {"role": "user", "content": task}
    body: Json = {"model": address.model, "messages": [message], "stream": False}
    for tokens in ({"max_completion_tokens": 60}, {"max_tokens": 60}):
        answer = post(address, "/chat/completions", {**body, **tokens})
        assert isinstance(answer["choices"][0]["message"]["content"], str) and answer["choices"][0]["finish_reason"]
    embeddings = post(address, "/embeddings", {"input": ["a text", "another"], "model": address.model})
    assert len(embeddings["data"]) == 2 and embeddings["data"][0]["embedding"]

"""Every endpoint that generates text: what the policy lets pass, redacts and refuses, streamed and not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.server.moderation.reviews import user_message
from tests.server.http.routes.event_nesting import check_nesting
from tests.server.moderation.flagged import KeptTexts
from tests.server.moderation.guarded_server import REFUSAL, writes
from tests.server.tiny_server import Server

pytest.importorskip("llguidance")
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client reads."""

    text: str
    refusal: str | None
    ending: str
    """Why the answer has ended, as the endpoint calls it."""


def read_completion(events: list[Json]) -> Answer:
    choices = [choice for event in events for choice in event["choices"]]
    return Answer("".join(c["text"] for c in choices), choices[-1].get("refusal"), choices[-1]["finish_reason"])


def read_message(events: list[Json]) -> Answer:
    if events[0]["type"] == "message":
        [message] = events
        texts, end = [block["text"] for block in message["content"]], message
    else:
        texts, end = [], next(event["delta"] for event in events if event["type"] == "message_delta")
        for event in events:
            if event["type"] == "content_block_start":
                texts.append(event["content_block"]["text"])
            if event["type"] == "content_block_delta":
                texts[event["index"]] += event["delta"]["text"]
    refusal = end["stop_details"]["explanation"] if end["stop_reason"] == "refusal" else None
    return Answer("".join(texts).removesuffix(refusal or ""), refusal, end["stop_reason"])


def read_response(events: list[Json]) -> Answer:
    response = events[-1].get("response", events[-1])
    parts = [part for item in response["output"] for part in item["content"]]
    text = "".join(part["text"] for part in parts if part["type"] == "output_text")
    if len(events) > 1:
        assert text == "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        deltas = [event["delta"] for event in events if event["type"] == "response.refusal.delta"]
        assert deltas == [part["refusal"] for part in parts if part["type"] == "refusal"]
    refusal = next((part["refusal"] for part in parts if part["type"] == "refusal"), None)
    return Answer(text, refusal, (response["incomplete_details"] or {"reason": "completed"})["reason"])


@dataclass(frozen=True)
class Endpoint:
    path: str
    prompt: Callable[[str], Json]
    read: Callable[[list[Json]], Answer]
    refused: str

    def ask(self, server: Server, prompt: str, answer: str, *, stream: bool) -> Answer:
        body = {**self.prompt(prompt), **writes(answer), "stream": stream}
        response = httpx.post(server.url + self.path, json=body, timeout=60)
        assert response.status_code == 200, response.text
        if not stream:
            return self.read([response.json()])
        return self.read([json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")])


ENDPOINTS = [
    Endpoint("/v1/completions", lambda text: {"prompt": text, "max_tokens": 200}, read_completion, "content_filter"),
    Endpoint(
        "/v1/messages",
        lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 200},
        read_message,
        "refusal",
    ),
    Endpoint("/v1/responses", lambda text: {"input": text}, read_response, "content_filter"),
]
EACH = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
STREAM = pytest.mark.parametrize("stream", [False, True])


@EACH
@STREAM
def test_an_answer(server: Server, endpoint: Endpoint, stream: bool) -> None:
    passing = endpoint.ask(server, "hi", "One. Then redact this.", stream=stream)
    assert (passing.text, passing.refusal) == ("One. Then [redacted] this.", None) and passing.ending != endpoint.refused
    for text, released in [("refuse", ""), ("Fine. Good. Then refuse. More", "Fine. Good. ")]:
        assert endpoint.ask(server, "hi", text, stream=stream) == Answer(released, REFUSAL, endpoint.refused)


@EACH
@STREAM
def test_a_prompt(server: Server, endpoint: Endpoint, stream: bool) -> None:
    assert endpoint.ask(server, "refuse it", "Fine.", stream=stream) == Answer("", REFUSAL, endpoint.refused)
    assert endpoint.ask(server, "狐狸 refuse 跳过", "Fine.", stream=stream).refusal == "我拒绝。"
    assert endpoint.ask(server, "a redact b", "Fine.", stream=stream).text == "Fine."


@EACH
@STREAM
def test_texts_for_review(server: Server, reviews: KeptTexts, endpoint: Endpoint, stream: bool) -> None:
    check_reviews(server, reviews, endpoint, stream=stream)


def check_reviews(server: Server, reviews: KeptTexts, endpoint: Endpoint, *, stream: bool) -> None:
    """Check that prompt and answer go to the people who review, the answer after its prompt."""
    reviews.texts.clear()
    assert endpoint.ask(server, "a review", "Fine. My review.", stream=stream).text == "Fine. My review."
    prompt, answer = reviews.texts
    assert (prompt.subject, prompt.text, prompt.context) == ("prompt", "a review", [])
    assert (answer.subject, answer.text, answer.context) == ("answer", "Fine. My review.", [user_message("a review")])


@pytest.mark.parametrize("logprobs", [None, 2])
def test_a_completion_repeats_no_refused_prompt_and_redacts_others(server: Server, logprobs: int | None) -> None:
    def ask(prompt: Any, **fields: Any) -> Json:
        body = {"prompt": prompt, "echo": True, "logprobs": logprobs, "max_tokens": 50, "return_token_ids": True, **fields}
        return dict(httpx.post(server.url + "/v1/completions", json=body).json()["choices"][-1])

    refused = ask("refuse", **writes("Fine."), prompt_logprobs=2)
    assert refused["text"] == "" and refused["token_ids"] == [] and refused["logprobs"] is None
    assert not any("refuse" in str(value) for value in (refused | {"refusal": ""}).values())
    assert ask("a redact b", **writes("Fine."))["text"] == "a [redacted] bFine."
    assert ask("a ref", **writes("use it."))["text"] == "a ref" and ask("a re", max_tokens=0)["text"] == "a re"
    ids = httpx.post(server.url + "/tokenize", json={"prompt": "a redact b"}).json()["tokens"]
    assert ask(ids, **writes("Fine."))["text"] == "a [redacted] bFine."
    template = "<|im_start|>user\na redact b<|im_end|>"
    tokenizer = server.state.registry.get("tiny").language_model.tokenizer
    ids = tokenizer.encode(template, parse_special=True)
    expected = tokenizer.encode(template.replace("redact", "[redacted]"), parse_special=True)
    assert tokenizer.decode(ask(ids, **writes("Fine."))["prompt_token_ids"]) == tokenizer.decode(expected)
    ids = httpx.post(server.url + "/tokenize", json={"prompt": "refuse"}).json()["tokens"]
    assert ask([[5], ids], **writes("Fine."))["finish_reason"] == "content_filter"


def check_mixed_prompts(server: Server, *, stream: bool) -> None:
    """Of several prompts, those that are refused refuse no other."""
    body = {"prompt": ["ok", "refuse", "fine"], "n": 2, "stream": stream, "max_tokens": 50, **writes("Fine.")}
    response = httpx.post(server.url + "/v1/completions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    texts, ends = [""] * 6, [""] * 6
    for line in response.text.splitlines() if stream else [f"data: {response.text}"]:
        for choice in json.loads(line[6:])["choices"] if line.startswith("data: {") else ():
            texts[choice["index"]] += choice["text"]
            ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert texts == ["Fine.", "Fine.", "", "", "Fine.", "Fine."]
    assert ends == ["stop", "stop", "content_filter", "content_filter", "stop", "stop"]


@STREAM
def test_a_refused_prompt_refuses_no_other(server: Server, stream: bool) -> None:
    check_mixed_prompts(server, stream=stream)


@pytest.mark.parametrize("separator", ["", "\n"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": [{"role": "user", "content": "PARTS"}]}),
        ("/v1/responses", {"input": "hi", "instructions": "refuse"}),
        (
            "/v1/responses",
            {
                "input": [
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "PARTS"},
                ]
            },
        ),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "system": "refuse"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "PARTS"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "system": "PARTS"}),
        (
            "/v1/messages",
            {
                "messages": [
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": [{"type": "text", "text": "ref"}, {"type": "text", "text": "use"}]},
                ]
            },
        ),
    ],
)
def test_other_texts_of_a_prompt(server: Server, path: str, body: Json, separator: str) -> None:
    kind = "input_text" if path.endswith("responses") else "text"
    parts = [{"type": kind, "text": f"ref{separator}"}, {"type": kind, "text": "use"}]
    request = json.loads(json.dumps(body).replace('"PARTS"', json.dumps(parts)))
    response = httpx.post(
        server.url + path, json={**request, **writes("Fine."), **({"max_tokens": 50} if kind == "text" else {})}
    ).json()
    assert ("I refuse." in json.dumps(response)) == (separator == "" or "PARTS" not in json.dumps(body)), response


def test_openais_client_reads_a_refused_response(server: Server, client: openai.OpenAI) -> None:
    request: Json = {"input": "hi", "model": "", "extra_body": writes("Fine. refuse it.")}
    events = list(client.responses.create(**request, stream=True))
    check_nesting(events)
    response = client.responses.create(**request)
    assert response.output_text == "Fine. " and response.status == "incomplete"
    assert response.output[-1].content[0].refusal == REFUSAL  # type: ignore[union-attr]
    stored = client.responses.retrieve(events[-1].response.id)  # type: ignore[union-attr]
    assert stored.output_text == "Fine. " and stored.output[-1].content[0].refusal == REFUSAL  # type: ignore[union-attr]
    again = client.responses.create(
        input="more", previous_response_id=stored.id, model="", extra_body=writes("Fine."), store=False
    )
    assert again.output_text == "Fine."


def test_a_stored_response_has_the_redacted_prompt(server: Server, client: openai.OpenAI) -> None:
    response = client.responses.create(input="a redact b", model="", extra_body=writes("Fine."))
    [item] = client.responses.input_items.list(response.id).data
    assert item.content[0].text == "a [redacted] b"  # type: ignore[union-attr]

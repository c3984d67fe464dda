"""A gateway whose policy judges what another engine answers."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest

from tests.server.http.routes.event_nesting import check_nesting
from tests.server.moderation.flagged import KeptTexts
from tests.server.moderation.guarded_server import REFUSAL, guarded_server, writes
from tests.server.moderation.test_chat import ask
from tests.server.moderation.test_endpoints import (
    EACH,
    ENDPOINTS,
    STREAM,
    Answer,
    Endpoint,
    check_mixed_prompts,
    check_reviews,
)
from tests.server.scripted_engine import ScriptedEngine, scripted_engine
from tests.server.tiny_server import Server, running

pytest.importorskip("llguidance")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of lmcraft without a policy, as the other engine."""
    with running(tmp_path_factory.mktemp("engine"), max_position_embeddings=1024) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(engine: Server, reviews: KeptTexts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with guarded_server(tmp_path_factory.mktemp("gateway"), lambda metrics: reviews, upstream=engine.url) as server:
        yield server


@EACH
@STREAM
def test_an_answer(gateway: Server, endpoint: Endpoint, stream: bool) -> None:
    passing = endpoint.ask(gateway, "hi", "One. Then redact this.", stream=stream)
    assert (passing.text, passing.refusal) == ("One. Then [redacted] this.", None) and passing.ending != endpoint.refused
    for text, released in [("refuse", ""), ("Fine. Good. Then refuse. More", "Fine. Good. ")]:
        assert endpoint.ask(gateway, "hi", text, stream=stream) == Answer(released, REFUSAL, endpoint.refused)


@EACH
@STREAM
def test_a_prompt(gateway: Server, endpoint: Endpoint, stream: bool) -> None:
    assert endpoint.ask(gateway, "refuse it", "Fine.", stream=stream) == Answer("", REFUSAL, endpoint.refused)
    assert endpoint.ask(gateway, "a redact b", "Fine.", stream=stream).text == "Fine."


@EACH
@STREAM
def test_texts_for_review(gateway: Server, reviews: KeptTexts, endpoint: Endpoint, stream: bool) -> None:
    check_reviews(gateway, reviews, endpoint, stream=stream)


@STREAM
@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ("One. Two. And more 狐狸。", "One. Two. And more 狐狸。"),
        ("A redactredact. redact! End", "A [redacted]. [redacted]! End"),
        ("Fine. Then refuse it.", f"Fine. \n\n{REFUSAL}"),
        ("refuse", REFUSAL),
        ("crash", REFUSAL),
    ],
)
def test_a_chat(gateway: Server, answer: str, content: str, stream: bool) -> None:
    choice = ask(gateway, answer=answer, stream=stream)
    assert choice["message"]["content"] == content
    assert choice["finish_reason"] == ("content_filter" if REFUSAL in content else "stop")
    messages = [{"role": "system", "content": "refuse"}, {"role": "user", "content": "hi"}]
    assert ask(gateway, messages)["finish_reason"] == "content_filter"


@STREAM
def test_each_of_n_answers_is_judged_by_itself(gateway: Server, stream: bool) -> None:
    fields = {
        "n": 8,
        "seed": 3,
        "temperature": 2.0,
        "structured_outputs": {"regex": "Yes\\. [a-z](Fine|refuse)\\."},
        "stream": stream,
    }
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    response = httpx.post(gateway.url + "/v1/chat/completions", json=body, timeout=60)
    lines = response.text.splitlines() if stream else [f"data: {response.text}"]
    texts, ends = [""] * 8, [""] * 8
    for line in lines:
        for choice in json.loads(line[6:])["choices"] if line.startswith("data: {") else ():
            texts[choice["index"]] += choice.get("delta", choice.get("message")).get("content", "")
            ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert set(ends) == {"stop", "content_filter"}
    for text, end in zip(texts, ends, strict=True):
        assert text == f"Yes. \n\n{REFUSAL}" if end == "content_filter" else text.endswith("Fine.")


def test_openais_client_reads_a_refused_response(gateway: Server) -> None:
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    for prompt, answer in [("hi", "Fine. refuse it."), ("refuse", "Fine.")]:
        events = list(client.responses.create(input=prompt, model="", extra_body=writes(answer), stream=True))
        check_nesting(events)
        response = client.responses.create(input=prompt, model="", extra_body=writes(answer))
        assert response.status == "incomplete" and response.output[-1].content[0].refusal == REFUSAL  # type: ignore[union-attr]


def test_what_the_engine_has_stored_is_judged(engine: Server, gateway: Server) -> None:
    direct = openai.OpenAI(base_url=engine.url + "/v1", api_key="none")
    through = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    harmful = direct.responses.create(input="refuse", model="", extra_body=writes("I refuse"))
    for read in (through.responses.retrieve, through.responses.input_items.list):
        with pytest.raises(openai.PermissionDeniedError, match="refuses what is stored"):
            read(harmful.id)
    redacted = direct.responses.create(input="hi", model="", extra_body=writes("A redact."))
    assert through.responses.retrieve(redacted.id).output_text == "A [redacted]."
    through.responses.delete(redacted.id)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": [1, 2]}, "prompt"),
        ("/v1/completions", {"prompt": ["a", [1]]}, "prompt"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
            "messages[0].content[0]",
        ),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
    ],
)
def test_what_cannot_be_judged_is_refused(gateway: Server, path: str, body: Json, param: str) -> None:
    response = httpx.post(gateway.url + path, json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, "not_judged")


@STREAM
def test_a_refused_prompt_refuses_no_other(gateway: Server, stream: bool) -> None:
    check_mixed_prompts(gateway, stream=stream)


@STREAM
def test_tokens_are_left_out(gateway: Server, stream: bool) -> None:
    fields = {"logprobs": True, "top_logprobs": 2, "return_token_ids": True, "stream": stream, **writes("Fine.")}
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    response = httpx.post(gateway.url + "/v1/chat/completions", json=body)
    assert response.headers["x-ignored-fields"] == "logprobs, top_logprobs, return_token_ids"
    assert "ine." in response.text and "token_ids" not in response.text and '"bytes"' not in response.text


@pytest.fixture(scope="module")
def script() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running_engine:
        yield running_engine


@pytest.fixture(scope="module")
def scripted(script: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with guarded_server(tmp_path_factory.mktemp("scripted"), upstream=script.url) as server:
        yield server


def post(server: Server, **fields: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "hi"}], "model": "scripted", **fields}
    return httpx.post(server.url + "/v1/chat/completions", json=body)


def read_chunks(response: httpx.Response) -> Json:
    """The delta of a stream, put together."""
    message: Json = {}
    for line in response.text.splitlines():
        for choice in json.loads(line[6:])["choices"] if line.startswith("data: {") else ():
            for name, value in choice["delta"].items():
                message[name] = message.get(name, type(value)()) + value
    return message


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (["Fine. refuse it. More."], {"content": f"Fine. \n\n{REFUSAL}", "refusal": REFUSAL}),
        (["A re", "dact b"], {"content": "A [redacted] b"}),
        (["A redact b redact c redact", "redact. "], {"content": "A [redacted] b [redacted] c [redacted]. "}),
        (
            [{"reasoning_content": "Hm, so"}, {"reasoning_content": " redact"}, "Yes", "."],
            {"reasoning_content": "Hm, so [redacted]", "content": "Yes."},
        ),
        (
            [{"reasoning_content": "I refuse"}, "Yes."],
            {"content": REFUSAL, "refusal": REFUSAL},
        ),
        (
            [{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": "ref'}}]},
             {"tool_calls": [{"index": 0, "function": {"arguments": "\\u0075se\"}"}}]}],
            {"content": REFUSAL, "refusal": REFUSAL},
        ),
    ],
)  # fmt: skip
def test_pieces_of_another_engine(scripted: Server, script: ScriptedEngine, pieces: list[Any], message: Json) -> None:
    script.script = lambda body: pieces
    response = post(scripted, stream=True)
    assert read_chunks(response) == {"role": "assistant", "content": ""} | message
    assert response.text.endswith("data: [DONE]\n\n")


def test_the_engine_reads_the_redacted_prompt_and_nothing_of_a_refused_one(scripted: Server, script: ScriptedEngine) -> None:
    script.requests.clear()
    script.script = lambda body: ["ok"]
    post(scripted, messages=[{"role": "user", "content": "a redact b"}])
    post(scripted, messages=[{"role": "user", "content": "refuse"}])
    [body] = script.requests
    assert body["messages"] == [{"role": "user", "content": "a [redacted] b"}]
    twice = '{"messages": [{"role": "user", "content": "refuse"}], "messages": [{"role": "user", "content": "hi"}]}'
    httpx.post(scripted.url + "/v1/chat/completions", content=twice, headers={"Content-Type": "application/json"})
    assert len(script.requests) == 2 and script.requests[1]["messages"][0]["content"] == "hi"


def test_the_endpoints_are_those_of_the_local_server() -> None:
    from lmcraft.server.moderation.forwarded_formats import FORMATS

    assert {endpoint.path for endpoint in ENDPOINTS} < set(FORMATS)

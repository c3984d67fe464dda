"""`POST /v1/lens`: what each layer says about the next token."""

import socket
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.language_model import LanguageModel
from lmcraft.server.engine import lens_thread, token_lens
from lmcraft.server.engine.lens_thread import Rests
from lmcraft.server.http.keys import Key, Keys
from tests.finetuning.chat import chat_model
from tests.server.tiny_server import CONTEXT, Server, running

Json = dict[str, Any]
MESSAGES = [{"role": "user", "content": "the quick brown"}]


def ask(server: Server, status: int = 200, headers: Any = None, **body: Any) -> Json:
    response = httpx.post(server.url + "/v1/lens", json=body, timeout=60, headers=headers)
    assert response.status_code == status, response.text
    value: Json = response.json()
    return value["error"] if status != 200 else value


def test_the_lens_of_a_token_of_an_answer(server: Server, model: LanguageModel) -> None:
    body = {"model": "tiny", "messages": MESSAGES, "logprobs": True, "top_logprobs": 3, "return_token_ids": True}
    answer = httpx.post(server.url + "/v1/chat/completions", json={**body, "max_tokens": 4, "temperature": 0}).json()
    written = answer["choices"][0]["logprobs"]["content"]
    ids = [entry["token_id"] for entry in written]
    for n, entry in enumerate(written):
        by_messages = ask(server, messages=MESSAGES, token_ids=ids[:n], target=ids[n], top_logprobs=3)
        by_ids = ask(server, prompt=[*answer["prompt_token_ids"], *ids[:n]], target=ids[n], top_logprobs=3)
        assert by_messages == by_ids
        [lens] = by_ids["lenses"]
        assert lens["kind"] == "logit"
        assert [reading["layer"] for reading in lens["layers"]] == list(range(model.transformer.config.num_hidden_layers))
        last = lens["layers"][-1]
        assert [top["token_id"] for top in last["top_logprobs"]] == [top["token_id"] for top in entry["top_logprobs"]]
        assert last["target"]["rank"] == 1 and last["target"]["logprob"] == pytest.approx(entry["logprob"], abs=1e-2)
        assert by_ids["usage"]["prompt_tokens"] == len(answer["prompt_token_ids"]) + n


def test_a_text_has_a_lens_with_no_target(server: Server) -> None:
    layers = ask(server, prompt="the quick 天", top_logprobs=20)["lenses"][0]["layers"]
    assert all("target" not in reading and len(reading["top_logprobs"]) == 20 for reading in layers)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": MESSAGES}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": "a", "top_logprobs": 21}, "top_logprobs"),
        ({"prompt": "a", "target": 10**6}, "target"),
        ({"prompt": "a", "target": -1}, "target"),
        ({"prompt": "a", "token_ids": [1, 10**6]}, "token_ids"),
        ({"prompt": "a", "token_ids": ["b"]}, "token_ids[0]"),
        ({"prompt": [1] * CONTEXT}, "prompt"),
        ({"messages": [*MESSAGES, *MESSAGES], "continue_final_message": True}, "continue_final_message"),
        ({"prompt": "a", "logprobs": 3}, "logprobs"),
    ],
    ids=str,
)
def test_the_wrong_field_is_named(server: Server, body: Json, param: str) -> None:
    assert ask(server, 400, **body)["param"] == param


def test_a_longer_text_than_the_context_or_the_memory_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(server, 400, prompt="天" * CONTEXT)["code"] == "context_length_exceeded"
    monkeypatch.setattr(token_lens, "MAX_CACHE_BYTES", 4 * 2 * 2 * 2 * 8 * 4)
    assert ask(server, 400, prompt=[1] * 5)["values"] == {"tokens": 5, "max": 4}
    ask(server, prompt=[1] * 4)


def test_fields_that_change_nothing_are_named(server: Server) -> None:
    for body, name in (
        ({"prompt": "a", "tools": []}, None),
        ({"prompt": "a", "chat_template_kwargs": {"a": 1}}, "chat_template_kwargs"),
    ):
        response = httpx.post(server.url + "/v1/lens", json=body, timeout=60)
        assert response.headers.get("X-Ignored-Fields") == name
    response = httpx.post(server.url + "/v1/lens", json={"messages": MESSAGES, "add_special_tokens": True}, timeout=60)
    assert response.headers["X-Ignored-Fields"] == "add_special_tokens"


def test_an_unknown_model_has_no_lens(server: Server) -> None:
    assert ask(server, 404, prompt="a", model="other")["code"] == "model_not_found"


def test_an_adapter_has_a_lens_of_its_own(server: Server, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    served = server.state.registry.get("tiny")
    adapted = chat_model(seed=1, max_position_embeddings=CONTEXT)
    monkeypatch.setitem(served.engine.models, "tuned", adapted)
    object.__setattr__(served, "adapter", "tuned")
    try:
        tuned = ask(server, prompt="the")
    finally:
        object.__setattr__(served, "adapter", "")
    assert tuned["lenses"] != ask(server, prompt="the")["lenses"]


def test_a_lens_is_charged_to_the_quota(tmp_path: Path) -> None:
    keys = Keys([Key("ada", sha256(b"secret").hexdigest(), tokens_per_minute=8)])
    with running(tmp_path, keys=keys) as server:
        headers = {"Authorization": "Bearer secret"}
        assert ask(server, 401, prompt="a")["code"] == "missing_api_key"
        assert ask(server, 400, headers, prompt=[1] * 9)["code"] == "tokens_per_minute"
        ask(server, headers=headers, prompt=[1] * 6)
        assert ask(server, 429, headers, prompt=[1] * 6)["code"] == "rate_limit_exceeded"


def test_others_are_served_beside_a_lens_which_ends_when_its_client_leaves(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, ended = threading.Event(), threading.Event()

    def read(model: Any, ids: Any, cache: Any, rests: Rests) -> Any:
        started.set()
        try:
            while True:
                time.sleep(0.005)
                rests()
        finally:
            ended.set()

    monkeypatch.setattr(lens_thread, "last_residuals", read)

    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /v1/lens HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 14\r\n\r\n" + b'{"prompt":"a"}')
        assert started.wait(60)
        body = {"messages": MESSAGES, "max_tokens": 2}
        assert httpx.post(server.url + "/v1/chat/completions", json=body, timeout=60).status_code == 200
    assert ended.wait(60)


def test_a_lens_says_that_the_engine_rounds_the_weights(server: Server) -> None:
    assert ask(server, prompt="a")["rounding"] is None
    served = server.state.registry.get("tiny")
    object.__setattr__(served, "rounding", "int8")
    try:
        assert ask(server, prompt="a")["rounding"] == "int8"
    finally:
        object.__setattr__(served, "rounding", None)


def test_a_gateway_has_no_lens(server: Server, tmp_path: Path) -> None:
    with running(tmp_path, upstream=server.url) as gateway:
        error = ask(gateway, 400, prompt="a")
    assert error["code"] == "no_lens"

"""What vLLM's tests (see `test_vllm_suite.py`) demand of tokenization, embeddings and the endpoints about the server."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import openai
import pytest

from lmcraft.language_model import LanguageModel
from lmcraft.server.http.keys import Keys
from tests.server.tiny_server import CONTEXT, Server, running

HELLO = [{"role": "user", "content": "the quick brown fox"}]
TOKENS = [5, 6, 7, 8]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
OPEN_PATHS = {"/health", "/ready", "/api/info", "/openapi.json"}


def post(server: Server, path: str, **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body)


@pytest.mark.parametrize("add_special", [False, True])
def test_tokens_of_a_text(server: Server, model: LanguageModel, add_special: bool) -> None:
    text = "vllm1 This is a test prompt."
    result = post(server, "/tokenize", model="tiny", prompt=text, add_special_tokens=add_special).json()
    assert result["tokens"] == model.tokenizer.encode(text) and result["count"] == len(result["tokens"])
    assert (result["max_model_len"], result["token_strs"]) == (CONTEXT, None)
    assert post(server, "/detokenize", tokens=result["tokens"]).json() == {"prompt": text}


@pytest.mark.parametrize("tools", [None, [WEATHER]])
@pytest.mark.parametrize(("generates", "continues"), [(False, False), (True, False), (False, True)])
def test_tokens_of_a_conversation(
    server: Server, model: LanguageModel, tools: Any, generates: bool, continues: bool
) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "the lazy"}]
    options = {"add_generation_prompt": generates, "continue_final_message": continues}
    text = model.tokenizer.apply_chat_template(messages, generates, tools=tools, continue_final_message=continues,
                                               spell_out_tools=True)  # fmt: skip
    result = post(server, "/tokenize", messages=messages, tools=tools, **options).json()
    assert result["tokens"] == model.tokenizer.encode(text, parse_special=True)
    usage = post(server, "/v1/chat/completions", messages=messages, tools=tools, max_tokens=1, **options).json()["usage"]
    assert usage["prompt_tokens"] == result["count"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [2**40]}, "tokens[0]"),
        ("/detokenize", {"tokens": "abc"}, "tokens"),
        ("/detokenize", {}, "tokens"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": HELLO}, "prompt"),
    ],
)
def test_what_cannot_be_tokenized(server: Server, path: str, body: dict[str, Any], param: str) -> None:
    response = post(server, path, **body)
    assert response.status_code == 400 and response.json()["error"]["param"] == param
    assert post(server, path, model="other", prompt="a", tokens=[1]).status_code in (400, 404)


def test_settings_of_the_tokenizer(server: Server) -> None:
    info = httpx.get(server.url + "/tokenizer_info").json()
    kinds = {"add_bos_token": bool, "bos_token": str, "eos_token": str, "pad_token": str, "unk_token": str,
             "chat_template": str, "model_max_length": int, "added_tokens_decoder": dict}  # fmt: skip
    assert all(isinstance(info[name], kind) for name, kind in kinds.items() if info.get(name) is not None)
    assert info.get("model_max_length", CONTEXT) >= CONTEXT and info["chat_template"].strip()


def test_embeddings(client: openai.OpenAI, server: Server) -> None:
    texts = ["the quick brown fox", "the quick brown fox", "jumps over"]
    result = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    vectors = np.array([item.embedding for item in result.data])
    assert np.allclose((vectors**2).sum(1), 1, atol=1e-3) and np.allclose(vectors[0], vectors[1], atol=1e-3)
    assert result.usage.prompt_tokens == result.usage.total_tokens > 0
    encoded = post(server, "/v1/embeddings", input=texts[0], encoding_format="base64").json()
    decoded = np.frombuffer(base64.b64decode(encoded["data"][0]["embedding"]), "<f4")
    assert np.allclose(decoded, vectors[0], atol=1e-3)
    assert len(client.embeddings.create(model="tiny", input=[TOKENS, TOKENS[:2]]).data) == 2
    for invalid in ([], [[]], {"content": "string"}, "word " * 600, [99_999]):
        assert post(server, "/v1/embeddings", input=invalid).status_code == 400


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_dimensions_of_an_embedding(client: openai.OpenAI, model: LanguageModel, encoding: Any) -> None:
    width = model.transformer.config.hidden_size

    def embed(dimensions: Any) -> Any:
        request = {"model": "tiny", "input": "a text", "encoding_format": encoding}
        value = client.embeddings.create(**request, dimensions=dimensions).data[0].embedding
        return np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else np.array(value)

    whole, first = embed(width), embed(5)
    assert len(whole) == width and len(first) == 5 and np.linalg.norm(first) == pytest.approx(1, abs=1e-3)
    assert np.allclose(first, whole[:5] / np.linalg.norm(whole[:5]), atol=1e-3)
    for invalid in (-1, 0, width + 1, 1.5):
        with pytest.raises(openai.BadRequestError) as error:
            embed(invalid)
        assert error.value.param == "dimensions"


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list().data] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match="there is no model 'this/does-not-exist'"):
        client.models.retrieve("this/does-not-exist")


def test_every_endpoint_needs_a_key_except_those_for_probes(tmp_path: Path) -> None:
    with running(tmp_path, keys=Keys.read(["valid"])) as server:
        paths = httpx.get(server.url + "/openapi.json", headers={"Authorization": "Bearer valid"}).json()["paths"]
        assert len(paths) > 20
        for path, methods in paths.items():
            for method in methods:
                url = server.url + path.replace("{", "").replace("}", "")
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    status = httpx.request(method.upper(), url, headers=headers).status_code
                    assert (status != 401) == (path in OPEN_PATHS), f"{method} {path}: {status}"
                assert httpx.request(method.upper(), url, headers={"Authorization": "Bearer valid"}).status_code != 401
        for path in ("/health", "/v1/models", "/metrics"):
            for headers in ({}, {"Access-Control-Request-Method": "GET"}):  # without an origin it is no preflight request
                response = httpx.request("OPTIONS", server.url + path, headers=headers)
                assert not response.is_success or response.content == b""
        assert httpx.get(server.url + "/health/", follow_redirects=True).status_code == 200
        assert httpx.get(server.url + "/v1/models/", follow_redirects=True).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/none"])
def test_every_answer_has_one_request_id(server: Server, path: str) -> None:
    ids = [httpx.get(server.url + path).headers.get_list("x-request-id") for _ in range(2)]
    assert all(len(values) == 1 and values[0] for values in ids) and ids[0] != ids[1]
    assert httpx.get(server.url + path, headers={"X-Request-Id": "caller"}).headers.get_list("x-request-id") == ["caller"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": 1}] * 500}] * 50}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 1}] * 2000}),
        ("/v1/chat/completions", {"messages": HELLO, "max_tokens": "A" * 100_000}),
        ("/v1/completions", {"prompt": [[1.5] * 1000] * 1000}),
        ("/v1/messages", {"max_tokens": 4, "messages": [{"role": "user", "content": {"text": "payload" * 3000}}]}),
    ],
)
def test_the_error_for_a_large_body_is_short(server: Server, path: str, body: dict[str, Any]) -> None:
    response = post(server, path, **body)
    assert response.status_code == 400 and len(response.content) < 2000
    for internal in ("lmcraft/", ".py", "function-", "constrained", "Discriminator", "0x"):
        assert internal not in response.text
    assert json.loads(response.text)["error"]["message"]


def test_a_body_of_another_type(server: Server) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain"):
        content = json.dumps({"messages": HELLO})
        response = httpx.post(server.url + "/v1/chat/completions", content=content, headers={"Content-Type": kind})
        assert response.status_code == 415

"""Errors as responses in OpenAI's format."""

from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from lmcraft.errors import UserError
from lmcraft.server.errors import ApiError
from lmcraft.server.http import error_handlers
from tests.finetuning.chat import chat_folder
from tests.server.tiny_server import CONTEXT, Server, running

HELLO = [{"role": "user", "content": "the quick brown fox"}]


DAMAGED_REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "the fox", "max_tokens": 2},
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 2},
    "/v1/responses": {"input": "the fox", "max_output_tokens": 16},
    "/v1/messages": {"messages": HELLO, "max_tokens": 2},
    "/v1/embeddings": {"input": "the fox"},
    "/v1/classify": {"input": "the fox", "labels": ["a", "b"]},
}


def test_a_damaged_model_answers_with_one_sentence_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = chat_folder(tmp_path / "model", max_position_embeddings=CONTEXT)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with running(tmp_path) as server:
        server.state.registry.open("damaged", folder)
        for path, body in DAMAGED_REQUESTS.items():
            response = httpx.post(server.url + path, json={"model": "damaged", **body})
            message = response.json()["error"]["message"]
            assert response.status_code == 503 and "its weights are damaged: download or save it again" in message
        stream = {"model": "damaged", "stream": True, **DAMAGED_REQUESTS["/v1/completions"]}
        assert "its weights are damaged" in httpx.post(server.url + "/v1/completions", json=stream).text
        healthy = httpx.post(server.url + "/v1/completions", json={"model": "tiny", "prompt": "the fox", "max_tokens": 2})
        assert healthy.status_code == 200
    records = [record for record in caplog.records if record.name == "lmcraft.server"]
    assert [record.exc_info for record in records] == [None]


ENDLESS_PARAMETERS = {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}, "required": ["a"]}
ENDLESS_TOOL = {"type": "function", "function": {"name": "f", "parameters": ENDLESS_PARAMETERS}}
ENDLESS = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#"}}}


@pytest.mark.parametrize(
    ("field", "value", "status", "message"),
    [
        ("temperature", -1, 400, "temperature=-1 is invalid"),
        ("functions", [{}], 400, "functions=[{}] is not supported; use tools"),
        ("temprature", 1, 400, "'temprature' is not supported; leave it out"),
        ("messages", [], 400, "messages=[] is invalid"),
        ("model", "../../etc", 404, "there is no model '../../etc' here"),
        ("n", 99, 400, "ask for at most 16"),
        ("max_tokens", 10_000, 400, f"context is {CONTEXT} tokens, but the prompt has"),
        ("logit_bias", {"99999": 1}, 400, "logit_bias names the token 99999"),
        ("logit_bias", {"x": 1}, 400, "keys must be token ids"),
        ("max_tokens", True, 400, "max_tokens=true is invalid"),
        ("max_tokens", "3", 400, "max_tokens='3' is invalid"),
        ("temperature", False, 400, "temperature=false is invalid"),
        ("stream", "no", 400, "stream='no' is invalid"),
        ("logprobs", "yes", 400, "logprobs='yes' is invalid"),
        ("response_format", ENDLESS, 400, "schema allows no text"),
        ("tool_choice", "required", 400, "tool_choice needs tools"),
        ("stop", 5, 400, "stop=5 is invalid; use a string or a list"),
        ("repetition_penalty", 1e-44, 400, "the logits overflow"),
    ],
)
def test_an_invalid_request_gets_a_one_line_error(
    server: Server, field: str, value: object, status: int, message: str
) -> None:
    body = {"model": "tiny", "messages": HELLO, field: value}
    response = httpx.post(server.url + "/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, set(error) - {"values"}) == (status, {"message", "type", "param", "code"})
    assert message in error["message"] and "\n" not in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"stop": 5}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"response_format": ENDLESS}, "response_format.json_schema.schema"),
        ({"tools": [ENDLESS_TOOL], "tool_choice": "required"}, "tools"),
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "url": 1}]}]},
            "messages[0].content[0].url",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}, "messages[0].content[0].text"),
        ({"structured_outputs": {"json": ""}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"grammar": "("}}, "structured_outputs.grammar"),
        ({"response_format": {"type": "json_object", "schema": {"type": "x"}}}, "response_format.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"contains": {}, "minimum": "a"}}}},
            "response_format.json_schema.schema",
        ),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}],
                "tool_choice": "required",
            },
            "tools",
        ),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"uniqueItems": True}}}
                ],
                "tool_choice": "required",
            },
            "tools",
        ),
        ({"messages": [*HELLO, {"content": "x"}]}, "messages[1].role"),
        ({"messages": None}, "messages"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}}, "response_format.json_schema.schema"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_an_error_names_the_field_as_the_client_wrote_it(server: Server, body: dict[str, object], param: str) -> None:
    response = httpx.post(server.url + "/v1/chat/completions", json={"messages": HELLO} | body)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert param in error["message"] and len(error["message"]) < 400


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a" * 2000}]}, "messages"),
        ("/v1/chat/completions", {"messages": HELLO, "max_completion_tokens": 10_000}, "max_completion_tokens"),
        ("/v1/chat/completions", {"messages": HELLO, "max_tokens": 10_000}, "max_tokens"),
        ("/v1/completions", {"prompt": "a" * 2000}, "prompt"),
        ("/v1/completions", {"prompt": "a" * 2000, "echo": True, "logprobs": 1, "max_tokens": 0}, "prompt"),
        ("/v1/embeddings", {"input": "a" * 2000}, "input"),
        ("/v1/classify", {"input": "a" * 2000, "labels": ["a", "b"]}, "input"),
        ("/v1/responses", {"input": "a" * 2000}, "input"),
    ],
)
def test_a_text_beyond_the_context_names_its_field(server: Server, path: str, body: dict[str, object], param: str) -> None:
    response = httpx.post(server.url + path, json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)


def test_an_unknown_endpoint(server: Server) -> None:
    assert httpx.get(server.url + "/v1/nothing").json()["error"]["message"].startswith("there is no such endpoint")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ApiError(429, "try again", headers={"Retry-After": "3"}), 429, "try again"),
        (UserError("stop is empty"), 400, "stop is empty"),
        (RuntimeError("a secret of the server"), 500, "internal error; see the server's log"),
    ],
)
def test_exceptions_become_responses(error: Exception, status: int, message: str) -> None:
    app = FastAPI()
    error_handlers.install(app)

    @app.get("/")
    def fail() -> None:
        raise error

    response = TestClient(app, raise_server_exceptions=False).get("/")
    assert (response.status_code, response.json()["error"]["message"]) == (status, message)
    assert response.headers.get("retry-after") == ("3" if status == 429 else None)


def test_long_values_are_shortened_in_messages(server: Server) -> None:
    body = {"model": "tiny", "messages": HELLO, "temperature": "x" * 10_000}
    message = httpx.post(server.url + "/v1/chat/completions", json=body).json()["error"]["message"]
    assert message.startswith("temperature='xxx") and "..." in message and len(message) < 200

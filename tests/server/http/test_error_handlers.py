"""Errors as responses in OpenAI's format."""

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lmcraft.errors import UserError
from lmcraft.server.errors import ApiError
from lmcraft.server.http import error_handlers
from tests.server.tiny_server import CONTEXT, Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]


@pytest.mark.parametrize(
    ("field", "value", "status", "message"),
    [
        ("temperature", -1, 422, "temperature=-1 is invalid"),
        ("functions", [], 422, "'functions' is not supported; leave it out"),
        ("messages", [], 422, "messages=[] is invalid"),
        ("model", "../../etc", 404, "there is no model '../../etc' here"),
        ("n", 99, 400, "ask for at most 16"),
        ("max_tokens", 10_000, 400, f"context is {CONTEXT} tokens, but the prompt has"),
        ("logit_bias", {"99999": 1}, 400, "logit_bias names the token 99999"),
        ("tool_choice", "required", 400, "tool_choice needs tools"),
        ("store", True, 422, "store=True is invalid"),
        ("repetition_penalty", 1e-44, 400, "the logits overflow"),
    ],
)
def test_an_invalid_request_gets_a_one_line_error(
    server: Server, field: str, value: object, status: int, message: str
) -> None:
    body = {"model": "tiny", "messages": HELLO, field: value}
    response = httpx.post(server.url + "/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, set(error)) == (status, {"message", "type", "param", "code"})
    assert message in error["message"] and "\n" not in error["message"]


def test_a_body_that_is_not_json(server: Server) -> None:
    for content in (b"{", b"\xff\xfe", b"[]", b'"a"'):
        response = httpx.post(
            server.url + "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
        )
        assert response.status_code in (400, 422) and response.json()["error"]["message"]
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

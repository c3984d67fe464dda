"""A gateway in front of a server: the gateway checks keys and quotas, the server answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx
import openai
import pytest

from lmcraft.server.http.keys import Key, Keys
from tests.server.engine.test_worker import wait_until
from tests.server.tiny_server import Server, running

KEY = "lmc-" + "k" * 40
HELLO = [{"role": "user", "content": "the fox"}]


@pytest.fixture(scope="module")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    plain = next(iter(Keys.read([KEY])))
    keys = Keys([Key("reader", plain.sha256, requests_per_minute=1000, tokens_per_minute=4000)])
    with running(tmp_path_factory.mktemp("gateway"), upstream=server.url + "/v1", keys=keys) as running_gateway:
        yield running_gateway


def test_responses_are_forwarded_whole_and_streamed(server: Server, gateway: Server) -> None:
    direct = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
    through = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY)
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 8, "seed": 4}
    expected = direct.chat.completions.create(**request).choices[0].message.content
    assert through.chat.completions.create(**request).choices[0].message.content == expected
    parts = through.chat.completions.create(**request, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == expected
    assert [model.id for model in through.models.list()] == ["tiny"]
    info = httpx.get(gateway.url + "/api/info", headers={"Authorization": f"Bearer {KEY}"}).json()
    assert info["settings"] and not any(setting["name"].startswith("dry_") for setting in info["settings"])  # vLLM lacks DRY
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        through.chat.completions.create(**{**request, "model": "other"})


def test_the_gateway_checks_keys_and_quotas(gateway: Server) -> None:
    with pytest.raises(openai.AuthenticationError, match="is unknown"):
        openai.OpenAI(base_url=gateway.url + "/v1", api_key="wrong").models.list()
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY, max_retries=0)
    with pytest.raises(openai.BadRequestError, match="its key has 4000 a minute"):
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5000)
    for _ in range(12):  # the unused tokens are refunded
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=400, stop=["e", "t", "a", " ", "o"])
    assert "models" not in httpx.get(gateway.url + "/api/info").json()


def test_what_the_engine_keeps_is_read_and_deleted_through_the_gateway(gateway: Server) -> None:
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY, max_retries=0)
    response = client.responses.create(model="tiny", input="the fox", max_output_tokens=4)
    assert client.responses.retrieve(response.id).output_text == response.output_text
    assert [item.content[0].text for item in client.responses.input_items.list(response.id, limit=1)] == ["the fox"]
    assert client.responses.input_tokens.count(model="tiny", input="the fox").input_tokens == response.usage.input_tokens
    with pytest.raises(openai.BadRequestError, match="cannot be canceled"):
        client.responses.cancel(response.id)
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError, match=response.id):
        client.responses.retrieve(response.id)
    completion = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=4, store=True)
    assert client.chat.completions.retrieve(completion.id).id == completion.id
    assert [message.content for message in client.chat.completions.messages.list(completion.id)] == ["the fox"]
    assert client.chat.completions.delete(completion.id).deleted
    headers = {"Authorization": f"Bearer {KEY}"}
    for path in ("/v1/responses/a%20b", "/v1/responses/..%2Fmodels", "/v1/responses/é/input_items"):
        assert httpx.get(gateway.url + path, headers=headers).status_code == 404
    assert httpx.get(f"{gateway.url}/v1/responses/{response.id}").status_code == 401


def test_an_unreachable_upstream_is_503(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("unreachable"), upstream="http://127.0.0.1:9") as gateway:
        response = httpx.post(gateway.url + "/v1/chat/completions", json={"messages": HELLO})
        assert response.status_code == 503 and "127.0.0.1:9 cannot be reached" in response.json()["error"]["message"]
        assert httpx.get(gateway.url + "/health").status_code == 503


class UpstreamEngine(BaseHTTPRequestHandler):
    """Answers with the status and the body that the request's `model` spells."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, content_type, content = ANSWERS[body["model"]]
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


EVENT = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"total_tokens": 30}}\n\ndata: [DONE]\n\n'
FINAL = b'event: response.completed\ndata: {"response": {"usage": {"input_tokens": 10, "output_tokens": 7}}}\n\n'
ANSWERS = {
    "reported": (200, "application/json", b'{"usage": {"total_tokens": 50}}'),
    "silent": (200, "application/json", b"{}"),
    "busy": (429, "application/json", b"{}"),
    "failed": (503, "application/json", b'{"usage": null}'),
    "late": (504, "text/plain", b""),
    "stream": (200, "text/event-stream", EVENT * 5 + USAGE),
    "cached": (
        200,
        "application/json",
        b'{"usage": {"input_tokens": 5, "cache_read_input_tokens": 30, "output_tokens": 7}}',
    ),
    "responses stream": (200, "text/event-stream", EVENT + FINAL),
    "stream without usage": (200, "text/event-stream", EVENT * 5),
}


@pytest.fixture(scope="module")
def charged_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), UpstreamEngine)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    keys = Keys([Key("reader", next(iter(Keys.read([KEY]))).sha256, tokens_per_minute=10_000)])
    url = f"http://127.0.0.1:{upstream.server_port}"
    with running(tmp_path_factory.mktemp("charged"), upstream=url, keys=keys) as server:
        yield server
    upstream.shutdown()


@pytest.mark.parametrize(
    ("answer", "charged"),
    [
        ("reported", 50),
        ("silent", 1000),
        ("busy", 0),
        ("failed", 0),
        ("late", 0),
        ("stream", 30),
        ("responses stream", 17),
        ("cached", 42),
        ("stream without usage", 5),
    ],
)
def test_the_quota_is_charged_for_what_the_engine_used(charged_gateway: Server, answer: str, charged: int) -> None:
    bucket = charged_gateway.state.quotas._tokens["reader"]
    bucket._clock = lambda: 0.0
    bucket._time, bucket._level = 0.0, 10_000.0
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": answer, "max_tokens": 1000, "messages": HELLO}
    httpx.post(charged_gateway.url + "/v1/chat/completions", json=body, headers=headers)
    wait_until(lambda: 0 <= 10_000 - bucket._level - charged < 40)

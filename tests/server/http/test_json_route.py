"""Bodies that are JSON and bodies that are not; null fields and ignored ones."""

import json
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import parse_json
from tests.server.tiny_server import Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]
ENDPOINTS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/classify", "/tokenize"]


@pytest.mark.parametrize("text", ['{"a": [1, -2.5, null, "\\ud83d\\ude00\\u0000"]}', '\ufeff"天"', "1e308"])
def test_json_is_parsed(text: str) -> None:
    assert parse_json(text.encode()) == json.loads(text.removeprefix("\ufeff"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        ('{"a": 1}'.encode("utf-16"), "the body is not JSON"),
        (b'"\xed\xa0\x80"', "the body is not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": [-Infinity]}', "-Infinity is not a JSON value"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits .5,000.; send"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a": [{"b": "x\\ud800"}]}', r"a\[0\].b has half of a surrogate pair"),
        (b'{"a": {"\\udfff": 1}}', "a has half of a surrogate pair"),
        (b'"\\udc00\\ud83d"', "the body has half"),
    ],
)
def test_what_json_does_not_have_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ApiError, match=message) as error:
        parse_json(content)
    assert error.value.status == 400 and "\n" not in error.value.message


@pytest.mark.parametrize("path", [*ENDPOINTS, "/detokenize", "/v1/moderations", "/api/conversations", "/api/import"])
def test_every_endpoint_refuses_what_is_not_json(server: Server, path: str) -> None:
    for content in (b"x", b'{"a": NaN}', b"5"):
        response = httpx.post(server.url + path, content=content, headers={"content-type": "application/json"})
        assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"):
        response = httpx.post(server.url + path, content=b"{}", headers={"content-type": media_type})
        assert response.status_code == 415 and media_type.partition(";")[0] in response.json()["error"]["message"]
    response = httpx.post(server.url + path, content=b"{}", headers={"content-encoding": "gzip"})
    assert response.status_code == 415


@pytest.mark.parametrize("media_type", [None, "application/json", "Application/JSON; charset=utf-8", "application/x+json"])
def test_types_of_json(server: Server, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}
    response = httpx.post(server.url + "/tokenize", content=b'{"prompt": "a"}', headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("path", ENDPOINTS)
def test_null_means_absent(server: Server, path: str) -> None:
    schema = httpx.get(server.url + "/openapi.json").json()
    reference = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = schema["components"]["schemas"][reference.rpartition("/")[2]]
    body: dict[str, Any] = {"messages": HELLO, "prompt": "a", "input": "a", "labels": ["a", "b"], "max_tokens": 1}
    if path == "/tokenize":
        del body["messages"]
    elif path == "/v1/responses":
        del body["prompt"]  # there it is the name of a stored prompt
    values = {name: body.get(name) for name in fields["properties"]}
    response = httpx.post(server.url + path, json={**values, "a_field_of_tomorrow": None})
    assert response.status_code == 200, response.text


def test_ignored_fields_are_listed_in_a_header(server: Server) -> None:
    asked = {
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prediction": {"content": "x"},
        "verbosity": "low",
    }
    quiet = {"metadata": {}, "store": False, "user": "ada", "stream_options": None}
    for stream in (False, True):
        body = {"messages": HELLO, "max_tokens": 1, "stream": stream}
        response = httpx.post(server.url + "/v1/chat/completions", json=body | asked)
        assert response.status_code == 200
        assert sorted(response.headers["x-ignored-fields"].split(", ")) == sorted(asked)
        assert "x-ignored-fields" not in httpx.post(server.url + "/v1/chat/completions", json=body | quiet).headers


def test_the_official_clients_own_message_is_accepted(server: Server) -> None:
    dumped = {"role": "assistant", "content": "Hello", "refusal": None, "annotations": None, "audio": None,
              "function_call": None, "tool_calls": None}  # fmt: skip
    call = {"id": "a", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}", "parsed_arguments": {}}}
    histories = [
        dumped,
        dumped | {"annotations": [], "audio": {}, "function_call": {}, "tool_calls": [], "parsed": {"a": 1}},
        dumped | {"content": None, "tool_calls": [call]},
        dumped | {"content": None, "refusal": "I cannot."},
        dumped
        | {"content": [{"type": "refusal", "refusal": "I cannot."}, {"type": "text", "text": "x", "annotations": []}]},
    ]
    for message in histories:
        body = {"messages": [*HELLO, message, *HELLO], "max_tokens": 1}
        response = httpx.post(server.url + "/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
    for field in ("audio", "function_call"):
        body = {"messages": [*HELLO, dumped | {field: {"id": "x"}}, *HELLO]}
        response = httpx.post(server.url + "/v1/chat/completions", json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, f"messages[1].{field}")

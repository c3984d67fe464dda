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


@pytest.mark.parametrize(
    "text", ['{"a": [1, -2.5, null, "\\ud83d\\ude00\\u0000"]}', '\ufeff"天"', "1e308", "[" * 200 + "]" * 200]
)
def test_json_is_parsed(text: str) -> None:
    assert parse_json(text.encode()) == json.loads(text.removeprefix("\ufeff"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", r"the body is not UTF-8 \(byte 0 is 0xff\), as JSON must be; encode it as UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "the body is not UTF-8"),
        (b'"\xed\xa0\x80"', "the body is not UTF-8"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": [-Infinity]}', "-Infinity is not a JSON value"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits .5,000.; send"),
        *((b'{"a": ' + b"[" * n + b"]" * n + b"}", "^the body is nested more than 200 levels") for n in (200, 900, 100_000)),
        (b'{"a": ' * 250 + b"1" + b"}" * 250, r"put inner parts of a schema into its \$defs$"),
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


CALL = {"id": "c1", "type": "function", "index": 1, "function": {"name": "f", "arguments": "{}"}}
CACHED = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    ("path", "body", "ignored"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "name": "ada", "content": [{**TEXT, **CACHED}]},
                          {"role": "assistant", "content": "b", "refusal": "c", "reasoning": "d", "tool_calls": [CALL]},
                          {"role": "tool", "tool_call_id": "c1", "content": "4", "name": "f"}]},
            {"messages[0].name", "messages[0].content[0].cache_control", "messages[1].refusal", "messages[1].reasoning",
             "messages[1].tool_calls[0].index", "messages[2].name"},
        ),
        (
            "/v1/chat/completions",
            {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
             "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "null"}, "description": "d"}}},
            {"tools[0].function.strict", "response_format.json_schema.description"},
        ),
        (
            "/v1/responses",
            {"input": [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]},
                       {"role": "user", "content": "a", "phase": "final"}], "store": False,
             "reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": {"type": "text", "schema": {"a": 1}}}},
            {"input[0]", "input[1].phase", "reasoning.effort", "reasoning.summary", "text.format.schema"},
        ),
        (
            "/v1/messages",
            {"messages": [*HELLO, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "s"},
                                                                    {"type": "redacted_thinking", "data": "y"}, TEXT]},
                          {"role": "user", "content": [{**TEXT, **CACHED}]}],
             "thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [{"name": "f", "input_schema": {}, **CACHED}]},
            {"messages[1].content[0]", "messages[1].content[0].signature", "messages[1].content[1].data",
             "messages[2].content[0].cache_control", "thinking", "thinking.budget_tokens", "tools[0].cache_control"},
        ),
    ],
)  # fmt: skip
def test_ignored_fields_of_inner_objects_are_listed_with_their_paths(
    server: Server, path: str, body: dict[str, Any], ignored: set[str]
) -> None:
    length = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    response = httpx.post(server.url + path, json=body | {length: 8})
    assert response.status_code == 200, response.text
    assert set(response.headers["x-ignored-fields"].split(", ")) == ignored


def test_ignored_parameters_of_an_address_are_listed(server: Server) -> None:
    body = {"input": "the quick", "max_output_tokens": 16}
    response = httpx.post(f"{server.url}/v1/responses?beta=true", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "beta"
    address = f"{server.url}/v1/responses/{response.json()['id']}"
    for query, ignored in (
        ("", None),
        ("?stream=false", None),
        ("?starting_after=3", "starting_after"),
        ("?stream=false&starting_after=3&%0a%C3%A9=1", "starting_after, '\\n\\xe9'"),
        ("/input_items?limit=3&before=x", "before"),
    ):
        got = httpx.get(address.removesuffix("?") + query)
        assert got.status_code == 200 and got.headers.get("x-ignored-fields") == ignored, query


def test_the_list_of_ignored_fields_is_bounded(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": [{**TEXT, **CACHED}] * 60}], "max_tokens": 1}
    listed = httpx.post(server.url + "/v1/chat/completions", json=body).headers["x-ignored-fields"].split(", ")
    assert len(listed) == 51 and listed[-1] == "and 10 more"


BAD, RESULT = "bad name!", {"role": "tool", "tool_call_id": "c2", "content": "4"}
ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "assistant", "content": "b"}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}


def answering(call_id: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "4"}]}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": HELLO, "tools": [{"type": "function", "function": {"name": BAD}}]},
         "tools[0].function.name"),
        ("/v1/chat/completions", {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "x" * 129}}]},
         "tools[0].function.name"),
        ("/v1/chat/completions", {"messages": [*HELLO, RESULT]}, "messages[1].tool_call_id"),
        ("/v1/chat/completions", {"messages": [*HELLO, ASSISTANT, RESULT]}, "messages[2].tool_call_id"),
        ("/v1/chat/completions", {"messages": [*HELLO, {**RESULT, "tool_call_id": "c1"}, ASSISTANT]},
         "messages[1].tool_call_id"),
        ("/v1/chat/completions", {"messages": [*HELLO, ASSISTANT, {"role": "tool", "content": "4"}]},
         "messages[2].tool_call_id"),
        ("/v1/responses", {"input": "a", "tools": [{"type": "function", "name": BAD}]}, "tools[0].name"),
        ("/v1/responses", {"input": [{"type": "function_call_output", "call_id": "c2", "output": "4"}]}, "input[0].call_id"),
        ("/v1/messages", {"messages": HELLO, "tools": [{"name": BAD, "input_schema": {}}]}, "tools[0].name"),
        ("/v1/messages", {"messages": [answering("c1")]}, "messages[0].content[0].tool_use_id"),
        ("/v1/messages", {"messages": [*HELLO, USE, answering("c2")]}, "messages[2].content[0].tool_use_id"),
        ("/v1/messages", {"messages": [*HELLO, USE, answering("c1"), ANSWER, answering("c1")]},
         "messages[4].content[0].tool_use_id"),
    ],
)  # fmt: skip
def test_names_of_tools_and_ids_of_results_are_checked(server: Server, path: str, body: dict[str, Any], param: str) -> None:
    response = httpx.post(server.url + path, json=body | ({"max_tokens": 1} if path == "/v1/messages" else {}))
    error = response.json()["error"]
    assert response.status_code == 400 and param in (error.get("param"), error.get("details", {}).get("param")), error


def test_a_set_of_texts_is_no_reason_to_refuse_a_tool(server: Server) -> None:
    pytest.importorskip("llguidance")
    parameters = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string", "maxLength": 1}}}}
    parameters["properties"]["tags"] |= {"maxItems": 2, "uniqueItems": True}
    tools = {
        "/v1/chat/completions": {"type": "function", "function": {"name": "f", "parameters": parameters}},
        "/v1/responses": {"type": "function", "name": "f", "parameters": parameters},
        "/v1/messages": {"name": "f", "input_schema": parameters},
    }
    for path, tool in tools.items():
        body = {"input": "a"} if path == "/v1/responses" else {"messages": HELLO, "max_tokens": 60}
        body |= {"tools": [tool], "tool_choice": {"type": "any"} if path == "/v1/messages" else "required"}
        response = httpx.post(server.url + path, json=body)
        assert (response.status_code, response.headers["x-ignored-fields"]) == (200, "tools[0] uniqueItems")
        inner = tool.get("function", tool)
        inner["strict"] = True
        response = httpx.post(server.url + path, json=body)
        assert response.status_code == 400 and "uniqueItems cannot be enforced" in response.json()["error"]["message"]


@pytest.mark.parametrize("name", ["", " ", "a,b", "\n", "é", "\x9a\U00103663"])
def test_a_header_can_hold_any_ignored_name(server: Server, name: str) -> None:
    response = httpx.get(server.url + "/tokenizer_info", params={name: "1", "beta": "2"})
    assert response.headers["x-ignored-fields"] == f"{name!a}, beta"

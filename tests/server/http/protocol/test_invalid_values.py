"""Values that are not valid, described in our own words: every field of every request, with values of every kind."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.protocol.classify import ClassifyRequest
from lmcraft.server.http.protocol.completions import CompletionRequest
from lmcraft.server.http.protocol.conversations import ImportBody, NewMessage, NewPreference, NewRating
from lmcraft.server.http.protocol.embeddings import EmbeddingRequest
from lmcraft.server.http.protocol.invalid_values import as_api_error
from lmcraft.server.http.protocol.messages import MessagesRequest
from lmcraft.server.http.protocol.moderations import ModerationRequest
from lmcraft.server.http.protocol.responses import ResponsesRequest
from lmcraft.server.http.protocol.tokenize import DetokenizeRequest, TokenizeRequest

Json = dict[str, Any]
BODIES: list[Any] = [
    ChatRequest, CompletionRequest, ResponsesRequest, MessagesRequest, EmbeddingRequest, ClassifyRequest,
    ModerationRequest, TokenizeRequest, DetokenizeRequest, NewMessage, NewRating, NewPreference, ImportBody,
]  # fmt: skip
WRONG = (5, -3, 1.5, 2**70, True, "x", "", "a b!", [], [[]], [5], [-1], ["x", 5], {}, {"a": 1}, {"type": "zz"}, {"": [None]})
FOREIGN = re.compile(
    r"[Ii]nput should|valid (string|list|dict)|dictionary|validation|Value error|pydantic|tagged|Extra inputs|NoneType"
    r"|discriminator|_item_type|constrained|function-|\bTrue\b|\bFalse\b|\bNone\b"
)


def resolve(schema: Json, root: Json) -> list[Json]:
    """The alternatives of a schema, without references."""
    if "$ref" in schema:
        return resolve(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    branches = schema.get("anyOf") or schema.get("oneOf")
    return [one for branch in branches for one in resolve(branch, root)] if branches else [schema]


def sample(schema: Json, root: Json) -> Any:
    """A value of a schema."""
    schema = next((branch for branch in resolve(schema, root) if branch.get("type") != "null"), {})
    if "const" in schema or "enum" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    match schema.get("type"):
        case "object":
            return {name: sample(schema["properties"][name], root) for name in schema.get("required", ())}
        case "array":
            return [sample(schema.get("items", {}), root)] * schema.get("minItems", 1)
        case "string":
            return "text"
        case kind:
            return {"integer": 1, "number": 0.5, "boolean": True}.get(str(kind), "x")


def places(schema: Json, root: Json, depth: int = 4) -> Iterator[tuple[list[Any], Json]]:
    """The paths of all fields, each with an object for the first part of the path that makes the field possible."""
    for branch in resolve(schema, root):
        if branch.get("type") == "object" and depth:
            base = sample(branch, root)
            for name, inner in branch.get("properties", {}).items():
                yield [name], base
                for path, value in places(inner, root, depth - 1):
                    yield [name, *path], {**base, name: value}
        elif branch.get("type") == "array":
            for path, value in places(branch.get("items", {}), root, depth - 1):
                yield [0, *path], [value]


def with_value(body: Any, path: list[Any], value: Any) -> Any:
    part, *rest = path
    value = with_value(body[part], rest, value) if rest else value
    return {**body, part: value} if isinstance(body, dict) else [value, *body[1:]]


def error_of(adapter: TypeAdapter[Any], body: Any) -> ApiError | None:
    try:
        adapter.validate_python(body)
    except ValidationError as error:
        errors = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        return as_api_error(errors, body)
    return None


def spell(path: list[Any]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


@pytest.mark.parametrize("body_type", BODIES, ids=lambda kind: getattr(kind, "__name__", "ImportBody"))
def test_every_wrong_value_is_described_in_our_words(body_type: type[BaseModel]) -> None:
    adapter = TypeAdapter(body_type)
    schema = adapter.json_schema()
    cases = [([], value) for value in WRONG]
    cases += [(path, with_value(base, path, value)) for path, base in places(schema, schema) for value in WRONG]
    messages = set()
    for path, body in cases:
        if (error := error_of(adapter, body)) is None:
            continue
        messages.add(error.message)
        assert not FOREIGN.search(error.message) and "\n" not in error.message, error.message
        assert len(error.message) < 400, error.message
        field = error.param or ""
        assert field in error.message
        assert field.startswith(spell(path)) or spell(path).startswith(field.rpartition(".")[0]), error.message
    assert len(messages) > 10


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stop": ""}, "stop='' is invalid; use at least 1 character"),
        ({"stop": 5}, "stop=5 is invalid; use a string or a list"),
        ({"stop": ["a", 5]}, "stop[1]=5 is invalid; use a string"),
        ({"stop": ["a"] * 99}, "it has 99 entries; use at most 16"),
        ({"logit_bias": {str(n): 1 for n in range(1025)}}, "it has 1,025 entries; use at most 1,024"),
        ({"user": "x" * 257}, "it has 257 characters; use at most 256"),
        ({"max_tokens": True}, "max_tokens=true is invalid; use an integer"),
        ({"temperature": 2**70}, "use at most 100"),
        ({"tool_choice": "maybe"}, "tool_choice='maybe' is invalid; use 'none', 'auto' or 'required'"),
        ({"tool_choice": 5}, "tool_choice=5 is invalid; use 'none', 'auto' or 'required' or an object"),
        ({"tool_choice": {}}, "the field 'tool_choice.type' is missing; add it"),
        ({"tool_choice": {"type": "allowed_tools"}}, "the field 'tool_choice.allowed_tools' is missing; add it"),
        ({"tool_choice": {"type": "x"}}, "tool_choice.type='x' is not supported; use 'function' or 'allowed_tools'"),
        ({"functions": [{}]}, "functions=[{}] is not supported; use tools"),
        ({"messages": 5}, "messages=5 is invalid; use a list"),
        (
            {"messages": [{"role": "user", "content": [{"type": None, "text": "a"}]}]},
            "'messages[0].content[0].type' is missing",
        ),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]=5 is invalid; use an object"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type='image_url' is not supported; use 'text', 'input_text', 'output_text' or 'refusal'",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "bad name!"}}]},
            "tools[0].function.name='bad name!' is invalid; use 1 to 128 letters (a to z), digits, '_' and '-'",
        ),
    ],
)
def test_messages(fields: Json, message: str) -> None:
    error = error_of(TypeAdapter(ChatRequest), {"messages": [{"role": "user", "content": "a"}], **fields})
    assert error is not None and message in error.message

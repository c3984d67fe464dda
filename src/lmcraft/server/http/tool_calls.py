"""Tool calls: parsed from generated text, and enforced by a JSON schema when a request demands one.

The server runs no tools; it returns the calls. It knows these formats: `<tool_call>{...}</tool_call>` (Hermes and Qwen),
`[TOOL_CALLS][...]` and `[TOOL_CALLS]name[ARGS]{...}` (Mistral), DeepSeek's, `<|python_tag|>{...}` and a bare JSON object
(Llama 3). Whatever is not a call of a tool that was offered stays text.
"""

import json
import re
import secrets
import string
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import uuid4

from lmcraft.inference.json_schema import SchemaError, close_objects, map_schemas, normalize_schema
from lmcraft.inference.text_stream import overlap
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import Tool
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.tool_messages import MISTRAL_TAG, short_id

HERMES_TAG, PYTHON_TAG, DEEPSEEK_TAG = "<tool_call>", "<|python_tag|>", "<｜tool▁calls▁begin｜>"
END_TAGS = {HERMES_TAG: "</tool_call>", DEEPSEEK_TAG: "<｜tool▁calls▁end｜>", MISTRAL_TAG: "", PYTHON_TAG: ""}
"""The tags that begin calls, with those that end them; empty: the calls end with the text."""
INNER_TAGS = ("[ARGS]", "[CALL_ID]", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>")
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
_CALL_KEYS = {"name", "arguments", "parameters", "type", "id"}
_BARE_CALL = re.compile(r'\s*\[?\s*(?:\{\s*(?:"(?P<key>\w*))?)?')
_FIRST_KEY = re.compile(r'\s*\[?\s*\{\s*"(?P<key>\w*)"')
_QUOTES = re.compile(r'(?<!\\)(?:\\\\)*"')
_DEEPSEEK_CALL = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?(?P<name>[^<\n]+?)(?:<｜tool▁sep｜>|\n```json\n)"
    r"(?P<arguments>.*?)(?:\n```)?<｜tool▁call▁end｜>",
    re.DOTALL,
)
_CUT_CALL = re.compile(
    r'\s*\{\s*"name"\s*:\s*(?:"(?P<name>[^"]*)"(?:\s*,\s*"arguments"\s*:\s*(?P<arguments>.*))?)?', re.DOTALL
)
_MISTRAL_CALL = re.compile(r"\s*(?P<name>[\w.-]+)(?:\[CALL_ID\](?P<id>\w+))?(?:\[ARGS\])?\s*(?=\{)")


def call_id() -> str:
    """A new id in OpenAI's form."""
    return f"call_{uuid4().hex[:24]}"


def short_call_id() -> str:
    """A new id of nine letters and digits, as Mistral's templates demand."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))


@dataclass(frozen=True)
class Call:
    """A function that the model calls."""

    name: str
    arguments: str
    """JSON text."""
    id: str = field(default_factory=call_id)
    is_cut: bool = False
    """Whether the answer ended in the middle of it: `arguments` is the beginning of a JSON text."""

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


def call_schema(tools: Sequence[Tool]) -> str:
    """The JSON schema of a call to any of the tools.

    Each tool's parameters are a schema resource of their own (`$id`), so that `#` in their references means them. Objects
    that list their properties have no others: a small model adds properties without end.

    Raises:
        ApiError: the parameters of a tool cannot be enforced.
    """
    schemas = []
    for n, tool in enumerate(tools):
        arguments = {"type": "object", **close_objects(_enforceable_parameters(tool)), "$id": f"urn:tool:{n}"}
        call = {"name": {"const": tool.function.name}, "arguments": arguments}
        schemas.append({"type": "object", "properties": call, "required": list(call), "additionalProperties": False})
    return json.dumps(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})


def allows_repeated_items(tool: Tool) -> bool:
    """Whether a forced call may have repeated items where the tool's parameters demand `uniqueItems`.

    A grammar can only enforce it by listing all arrays. Without `strict`, a set of texts is no reason to refuse the tool.
    """
    parameters = tool.function.parameters
    return parameters is not None and not tool.function.strict and _enforceable_parameters(tool) != parameters


def _enforceable_parameters(tool: Tool) -> dict[str, Any]:
    """A tool's parameters as far as they are enforced: without `strict`, lists of different items may have equal ones.

    Raises:
        ApiError: they cannot be enforced.
    """
    name = tool.function.name
    parameters = NO_ARGUMENTS if tool.function.parameters is None else tool.function.parameters
    if parameters.get("type", "object") != "object":
        message = f"tools: the parameters of '{name}' have the type {parameters['type']!r}; they must be an object"
        raise ApiError(400, message, code="invalid_value", param="tools")
    try:
        normalize_schema(parameters)
        return parameters
    except SchemaError as error:
        if not tool.function.strict and (loose := _with_repeated_items(parameters)) is not None:
            return loose
        message = f"tools: the parameters of '{name}' cannot be used: {error}"
        raise ApiError(400, message, code="invalid_value", param="tools") from error


def _with_repeated_items(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The schema without `uniqueItems`; None if it cannot be enforced without it either."""
    try:
        loose: dict[str, Any] = map_schemas(parameters, lambda part: {k: v for k, v in part.items() if k != "uniqueItems"})
        normalize_schema(loose)
        return loose
    except (SchemaError, RecursionError):
        return None


@dataclass(frozen=True)
class CallFormat:
    """How a model writes calls, by its tokenizer."""

    hidden_tags: dict[int, str]
    """Tags that are special tokens, which decoding leaves out."""
    new_id: Callable[[], str]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "CallFormat":
        tags = {*END_TAGS, *END_TAGS.values(), *INNER_TAGS}
        hidden_tags = {token_id: token for token, token_id in tokenizer.special_tokens.items() if token in tags}
        is_mistral = MISTRAL_TAG in tokenizer.special_tokens or MISTRAL_TAG in (tokenizer.chat_template or "")
        return cls(hidden_tags, short_call_id if is_mistral else call_id)


class ToolParser:
    """Splits text that arrives in pieces into prose and tool calls.

    White space before the first call, between calls and after the last one is left out, unless prose borders it.

    Args:
        names: of the tools that were offered.
        new_id: makes the ids of calls.
        is_forced: the whole text is a call without tags.
        max_calls: further calls are left out.
    """

    def __init__(
        self,
        names: Collection[str],
        new_id: Callable[[], str] = call_id,
        *,
        is_forced: bool = False,
        max_calls: int = sys.maxsize,
    ) -> None:
        self._names, self._new_id, self._is_forced, self._max_calls = names, new_id, is_forced, max_calls
        self._held = ""
        """Text of which it is not known yet whether it is prose."""
        self._space = ""
        """White space after a call, or at the beginning."""
        self._borders_call = True
        """Whether nothing but white space has come since a call, or since the beginning."""
        self._has_prose = False
        self.calls: list[Call] = []

    def put(self, piece: str) -> tuple[str, list[Call]]:
        """Add a piece; returns the text that is now known to be prose, and the calls that the piece completes."""
        self._held += piece
        text = ""
        calls: list[Call] = []
        if self._may_be_bare():
            return text, calls
        while (start := self._find_tag()) is not None:
            offset, tag = start
            text += self._release(offset)
            if (end := self._find_end(tag)) is None:
                return text, calls
            if new_calls := self._parse(tag, self._held[len(tag) : end]):
                calls += self._add(new_calls)
                self._held = self._held[end + len(END_TAGS[tag]) :]
            else:
                text += self._release(len(tag))
        text += self._release(len(self._held) - max(overlap(self._held, tag) for tag in END_TAGS))
        return text, calls

    def end(self) -> tuple[str, list[Call]]:
        """End the text; returns the prose and the calls that were held back."""
        tag = next((tag for tag in END_TAGS if self._held.startswith(tag)), "")
        calls: list[Call] = []
        if (tag or self._is_at_start) and (new_calls := self._parse(tag, self._held[len(tag) :])):
            calls, self._held = self._add(new_calls), ""
        if self._is_forced:  # nothing but a call was generated
            return "", calls or self._add(self._cut_call())
        text = self._release(len(self._held))
        return text + ("" if self.calls else self._space), calls

    @property
    def _is_at_start(self) -> bool:
        return not self._has_prose and not self.calls

    def _may_be_bare(self) -> bool:
        """Whether all text so far may be the beginning of calls without tags."""
        if self._is_forced or not self._is_at_start:
            return self._is_forced
        if (match := _BARE_CALL.fullmatch(self._held)) is not None:  # its first key is not complete
            key = match["key"] or ""
            return "{" in self._held and any(name.startswith(key) for name in _CALL_KEYS)
        return (match := _FIRST_KEY.match(self._held)) is not None and match["key"] in _CALL_KEYS

    def _find_tag(self) -> tuple[int, str] | None:
        """Offset of the first tag, and the tag."""
        return min(((offset, tag) for tag in END_TAGS if (offset := self._held.find(tag)) >= 0), default=None)

    def _find_end(self, tag: str) -> int | None:
        """Offset of the tag that ends the calls after `tag`, outside of texts in them; None if it has not arrived."""
        end = len(tag) - 1
        while END_TAGS[tag] and (end := self._held.find(END_TAGS[tag], end + 1)) >= 0:
            if len(_QUOTES.findall(self._held[len(tag) : end])) % 2 == 0:
                return end
        return None

    def _release(self, length: int) -> str:
        """Take so much of the held text as prose."""
        text, self._held, self._space = self._space + self._held[:length], self._held[length:], ""
        if self._borders_call and not text.strip():
            text, self._space = "", text
        if text:
            self._borders_call, self._has_prose = False, True
        return text

    def _parse(self, tag: str, text: str) -> list[Call]:
        return parse_calls(text, self._names, tag=tag, new_id=self._new_id)

    def _cut_call(self) -> list[Call]:
        """The forced call that the end of the answer cut off, if it is known which tool it calls."""
        match = _CUT_CALL.match(self._held)
        name, arguments = (match["name"], match["arguments"] or "") if match else (None, "")
        if name is None and len(self._names) == 1:
            name = next(iter(self._names))
        if name is None or name not in self._names:
            return []
        return [Call(name, arguments, self._new_id(), is_cut=not _is_json(arguments))]

    def _add(self, calls: Sequence[Call]) -> list[Call]:
        """Add calls up to the limit; returns those."""
        added = list(calls[: max(0, self._max_calls - len(self.calls))])
        self.calls += added
        self._borders_call, self._space = True, ""
        return added


def parse_calls(text: str, names: Collection[str], *, tag: str = "", new_id: Callable[[], str] = call_id) -> list[Call]:
    """The calls in the text after a tag; empty if it holds anything other than calls of these tools."""
    try:
        objects = _read_objects(text, tag)
    except (ValueError, RecursionError):
        return []
    calls = []
    for value in objects:
        if not isinstance(value, dict) or value.get("name") not in names or value.keys() - _CALL_KEYS:
            return []
        arguments = value.get("arguments", value.get("parameters"))
        if arguments is None and not tag:  # {"name": ...} alone is rather an answer
            return []
        if not isinstance(arguments, str | dict | None):
            return []
        given_id = str(value.get("id", ""))
        has_id = new_id is short_call_id and short_id(given_id) == given_id
        written = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        calls.append(Call(value["name"], written, given_id if has_id else new_id()))
    return calls


def _read_objects(text: str, tag: str) -> list[Any]:
    """The calls as objects with a name and arguments."""
    if tag == DEEPSEEK_TAG:
        matches = list(_DEEPSEEK_CALL.finditer(text))
        return [{"name": match["name"].strip(), "arguments": _DECODER.decode(match["arguments"])} for match in matches]
    objects, rest = [], text.strip()
    while tag == MISTRAL_TAG and (match := _MISTRAL_CALL.match(rest)) is not None:
        arguments, end = _DECODER.raw_decode(rest, match.end())
        objects.append({"name": match["name"], "arguments": arguments, "id": match["id"] or ""})
        rest = rest[end:].strip().removeprefix(MISTRAL_TAG)
    if objects and not rest:
        return objects
    value = _DECODER.decode(rest)
    return value if isinstance(value, list) else [value]


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)

"""Tool calls: parsed from generated text, and enforced by a JSON schema when a request demands one.

The server runs no tools; it returns the calls. It knows these formats: `<tool_call>{...}</tool_call>` (Hermes and Qwen),
`[TOOL_CALLS][...]` (Mistral), and a bare JSON object (Llama 3).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lmcraft.inference.text_stream import overlap
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import Tool

OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"
MISTRAL_TAG = "[TOOL_CALLS]"
START_TAGS = (OPEN_TAG, MISTRAL_TAG)


@dataclass(frozen=True)
class Call:
    """A function that the model calls."""

    name: str
    arguments: str
    """JSON text."""
    id: str = field(default_factory=lambda: f"call_{uuid4().hex[:24]}")

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


def call_schema(tools: Sequence[Tool], name: str | None = None) -> str:
    """The JSON schema of a call to any of the tools, or to the tool `name`.

    Raises:
        ApiError: there is no such tool.
    """
    functions = [tool.function for tool in tools if name in (None, tool.function.name)]
    if not functions:
        raise ApiError(400, f"tool_choice names '{name}', which is not among the tools; add it", param="tool_choice")
    schemas = [
        {
            "type": "object",
            "properties": {"name": {"const": function.name}, "arguments": function.parameters},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    return json.dumps(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})


class ToolParser:
    """Splits text that arrives in pieces into prose and tool calls.

    Args:
        bare: the whole text is a call without tags (Llama 3's format), so all of it is held back until the end.
    """

    def __init__(self, *, bare: bool = False) -> None:
        self._bare = bare
        self._held = ""
        self._in_prose = False
        """Whether prose or a call has been seen; after that, a `{` no longer begins a bare call."""
        self.calls: list[Call] = []

    def put(self, piece: str) -> tuple[str, list[Call]]:
        """Add a piece; returns the text that is now known to be prose, and the calls that the piece completes."""
        self._held += piece
        text, calls = "", []
        if not self._in_prose and (self._bare or self._held.lstrip()[:1] in ("", "{")):
            return "", []
        while (start := self._held.find(OPEN_TAG)) >= 0 and (end := self._held.find(CLOSE_TAG, start)) >= 0:
            new_calls = parse_calls(self._held[start + len(OPEN_TAG) : end])
            after = end + len(CLOSE_TAG)
            text += self._held[:start] if new_calls else self._held[:after]
            calls += new_calls
            self._held = self._held[after:]
        if not any(tag in self._held for tag in START_TAGS):
            certain = len(self._held) - max(overlap(self._held, tag) for tag in START_TAGS)
            text, self._held = text + self._held[:certain], self._held[certain:]
        self._in_prose = self._in_prose or bool(text.strip()) or bool(calls)
        self.calls += calls
        return (text if text.strip() or not self.calls else ""), calls

    def end(self) -> tuple[str, list[Call]]:
        """End the text; returns the prose and the calls that were held back."""
        held, self._held = self._held, ""
        before, tag, after = held.partition(MISTRAL_TAG)
        if not tag:
            before, tag, after = held.partition(OPEN_TAG)
        if not tag and not self._in_prose:
            before, after = "", held
        calls = parse_calls(after) if after else []
        self.calls += calls
        return (before if calls else held), calls


def parse_calls(text: str) -> list[Call]:
    """The calls in a JSON text, which holds one object or a list of them; empty if it holds anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    calls = []
    for call in value if isinstance(value, list) else [value]:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return []
        arguments = call.get("arguments", call.get("parameters", {}))
        calls.append(
            Call(call["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False))
        )
    return calls

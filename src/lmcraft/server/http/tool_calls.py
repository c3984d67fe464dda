"""Tool calls: parsed out of what a model writes, and forced where a request says that one must be made.

The server runs none: it returns what the model would call. Known spellings: `<tool_call>{...}</tool_call>` of Hermes and
Qwen, Mistral's `[TOOL_CALLS][...]`, and the bare object of Llama 3.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lmcraft.inference.text_stream import overlap
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import Tool

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MISTRAL = "[TOOL_CALLS]"
MARKS = (OPEN, MISTRAL)


@dataclass(frozen=True)
class Call:
    """A function that the model would call."""

    name: str
    arguments: str
    """JSON text."""
    id: str = field(default_factory=lambda: f"call_{uuid4().hex[:24]}")

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


def call_schema(tools: Sequence[Tool], name: str | None = None) -> str:
    """The JSON schema of a call of one of the tools, or of the one with a name; what is said then is one.

    Raises:
        ApiError: there is no such tool.
    """
    chosen = [tool.function for tool in tools if name in (None, tool.function.name)]
    if not chosen:
        raise ApiError(400, f"tool_choice names '{name}', which is not among the tools: add it", param="tool_choice")
    forms = [
        {
            "type": "object",
            "properties": {"name": {"const": function.name}, "arguments": function.parameters},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in chosen
    ]
    return json.dumps(forms[0] if len(forms) == 1 else {"anyOf": forms})


class ToolParser:
    """Splits a text that comes in pieces into what is said and what is called.

    Args:
        bare: the whole text is a call, or begins like one (Llama 3's form): it is held back until it ends.
    """

    def __init__(self, *, bare: bool = False) -> None:
        self._bare = bare
        self._held = ""
        self._said = False
        self.calls: list[Call] = []

    def put(self, piece: str) -> tuple[str, list[Call]]:
        """The text that is certain now, and the calls that ended with this piece."""
        self._held += piece
        text, calls = "", []
        if not self._said and (self._bare or self._held.lstrip()[:1] in ("", "{")):
            return "", []
        while (at := self._held.find(OPEN)) >= 0 and (end := self._held.find(CLOSE, at)) >= 0:
            inside = self._held[at + len(OPEN) : end]
            found = parse_calls(inside)
            text += self._held[:at] if found else self._held[: end + len(CLOSE)]
            calls += found
            self._held = self._held[end + len(CLOSE) :]
        if not any(mark in self._held for mark in MARKS):
            keep = max(overlap(self._held, mark) for mark in MARKS)
            cut = len(self._held) - keep
            text, self._held = text + self._held[:cut], self._held[cut:]
        self._said = self._said or bool(text.strip()) or bool(calls)
        self.calls += calls
        return (text if text.strip() or not self.calls else ""), calls

    def end(self) -> tuple[str, list[Call]]:
        """What was held back."""
        held, self._held = self._held, ""
        before, mark, after = held.partition(MISTRAL)
        if not mark:
            before, mark, after = held.partition(OPEN)
        if not mark and not self._said:
            before, after = "", held
        calls = parse_calls(after) if after else []
        self.calls += calls
        return (before if calls else held), calls


def parse_calls(text: str) -> list[Call]:
    """The calls that a JSON text spells: one object or several; none where it is something else."""
    try:
        value = json.loads(text)
    except ValueError:
        return []
    calls = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            return []
        arguments = one.get("arguments", one.get("parameters", {}))
        calls.append(
            Call(one["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False))
        )
    return calls

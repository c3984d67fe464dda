"""Tool calls in text that arrives in pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.server.http.tool_calls import ToolParser

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "</b>"}}\n</tool_call>'


def parse(pieces: list[str], *, bare: bool = False) -> tuple[str, list[tuple[str, Any]]]:
    """The prose and the calls of a text; the parser must list the same calls."""
    parser, prose, calls = ToolParser(bare=bare), "", []
    for text, new_calls in [*map(parser.put, pieces), parser.end()]:
        prose, calls = prose + text, calls + new_calls
    assert calls == parser.calls
    return prose, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("text", "prose", "calls"),
    [
        (CALL, "", ["add"]),
        (f"I will add.\n{CALL}\n{CALL}", "I will add.\n", ["add", "add"]),
        ('[TOOL_CALLS][{"name": "add", "arguments": {}}]', "", ["add"]),
        ('{"name": "add", "parameters": {"a": 2}}', "", ["add"]),
        ('{"answer": 42}', '{"answer": 42}', []),
        ("<tool_call>not JSON</tool_call> so", "<tool_call>not JSON</tool_call> so", []),
        ("<tool_call>never closed", "<tool_call>never closed", []),
        ("a < b and <tool", "a < b and <tool", []),
        ("", "", []),
    ],
)
def test_calls_are_parsed_however_the_text_is_split(text: str, prose: str, calls: list[str]) -> None:
    for size in (1, 3, 7, 1000):
        pieces = [text[n : n + size] for n in range(0, len(text), size)]
        actual_prose, called = parse(pieces)
        assert (actual_prose.strip(), [name for name, _ in called]) == (prose.strip(), calls), size


@given(st.lists(st.text(alphabet='<tool_cal>[]TOOL_CALLS{}"ab \n', max_size=8), max_size=12))
def test_no_text_is_lost(pieces: list[str]) -> None:
    """Everything that is not a call is prose, in order."""
    prose, calls = parse(pieces)
    assert calls or prose == "".join(pieces)

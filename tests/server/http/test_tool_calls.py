"""Tool calls out of a text that comes in pieces; and the tokens of fill-in-the-middle."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.server.errors import ApiError
from lmcraft.server.http.request_builder import middle_ids
from lmcraft.server.http.tool_calls import ToolParser
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "</b>"}}\n</tool_call>'


def parsed(pieces: list[str], *, bare: bool = False) -> tuple[str, list[tuple[str, Any]]]:
    """The text and the calls that came out, which have to be those of the parser."""
    parser, said, calls = ToolParser(bare=bare), "", []
    for text, some in [*map(parser.put, pieces), parser.end()]:
        said, calls = said + text, calls + some
    assert calls == parser.calls
    return said, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("text", "said", "calls"),
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
def test_calls_are_found_however_the_text_is_cut(text: str, said: str, calls: list[str]) -> None:
    for size in (1, 3, 7, 1000):
        pieces = [text[n : n + size] for n in range(0, len(text), size)]
        found, called = parsed(pieces)
        assert (found.strip(), [name for name, _ in called]) == (said.strip(), calls), size


@given(st.lists(st.text(alphabet='<tool_cal>[]TOOL_CALLS{}"ab \n', max_size=8), max_size=12))
def test_no_word_is_lost(pieces: list[str]) -> None:
    """What is no call is said, in order."""
    said, calls = parsed(pieces)
    assert calls or said == "".join(pieces)


def test_the_middle_is_asked_for_in_the_vocabularys_own_tokens() -> None:
    marks = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    tokenizer = train_bpe([TEXT], vocab_size=300, special_tokens=marks)
    code, plain = (
        cast(Any, SimpleNamespace(name="m", model=SimpleNamespace(tokenizer=t)))
        for t in (tokenizer, train_bpe([TEXT], vocab_size=300))
    )
    ids = middle_ids(code, "the <|fim_middle|>", "fox")
    assert (
        tokenizer.decode(ids, skip_special_tokens=False) == "<|fim_prefix|>the <|fim_middle|><|fim_suffix|>fox<|fim_middle|>"
    )
    assert [i for i in ids if i in tokenizer.special_tokens.values()] == [tokenizer.id_of(mark) for mark in marks]
    with pytest.raises(ApiError, match="cannot fill in the middle"):
        middle_ids(plain, "a", "b")

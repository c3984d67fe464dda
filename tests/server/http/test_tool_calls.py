"""Tool calls in text that arrives in pieces."""

import json
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")

from lmcraft.inference.continuation import Token
from lmcraft.server.errors import ApiError
from lmcraft.server.http.chat_answer import ChatChoice
from lmcraft.server.http.protocol.chat import ChatRequest, Function, Tool
from lmcraft.server.http.tool_calls import (
    DEEPSEEK_TAG,
    ToolParser,
    allows_repeated_items,
    call_schema,
    parse_calls,
    short_call_id,
)
from lmcraft.server.moderation.held_answer import Piece
from lmcraft.tokenizer.train import train_bpe
from tests.inference.json_schema.matching import Grammar

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "</b>"}}\n</tool_call>'


NAMES = ("add", "now")


def parse(pieces: list[str], **options: Any) -> tuple[str, list[tuple[str, Any]]]:
    """The prose and the calls of a text; the parser must list the same calls."""
    parser, prose, calls = ToolParser(NAMES, **options), "", []
    for text, new_calls in [*map(parser.put, pieces), parser.end()]:
        prose, calls = prose + text, calls + new_calls
    assert calls == parser.calls
    return prose, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("text", "prose", "calls"),
    [
        (CALL, "", ["add"]),
        (f"I will add.\n{CALL}\n{CALL}", "I will add.\n", ["add", "add"]),
        (f"\n\n{CALL}\n\nDone.\n", "\n\nDone.\n", ["add"]),
        (f"{CALL}\n", "", ["add"]),
        ('<tool_call>{"name": "add", "arguments": {"a": "</tool_call> \\\\\\" <tool_call>"}}</tool_call>', "", ["add"]),
        (f"<tool_call> is a tag. {CALL}", "<tool_call> is a tag. ", ["add"]),
        ('<tool_call>{"name": "add", "arguments": {}}', "", ["add"]),
        ('<tool_call>{"name": "add"}</tool_call>', "", ["add"]),
        ('<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "add", "arguments": [1]}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',) * 2 + ([],),
        (
            '[TOOL_CALLS] [{"name": "add", "arguments": {}}, {"name": "now", "arguments": {}, "id": "abc123XYZ"}]',
            "",
            ["add", "now"],
        ),
        ("Sure.[TOOL_CALLS]add[ARGS]{}[TOOL_CALLS]now[CALL_ID]abc123XYZ[ARGS]{}", "Sure.", ["add", "now"]),
        ("[TOOL_CALLS]what?", "[TOOL_CALLS]what?", []),
        ('<|python_tag|>{"name": "add", "parameters": {}}', "", ["add"]),
        (
            f"{DEEPSEEK_TAG}<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{{}}\n```<｜tool▁call▁end｜>",
            "",
            ["add"],
        ),
        (
            f"So {DEEPSEEK_TAG}<｜tool▁call▁begin｜>now<｜tool▁sep｜>{{}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>!",
            "So !",
            ["now"],
        ),
        ('{"name": "Alice", "age": 3}',) * 2 + ([],),
        ('{"name": "add", "age": 3}',) * 2 + ([],),
        ('{"name": "add"}',) * 2 + ([],),
        ('[{"name": "add", "arguments": {}}]', "", ["add"]),
        ('[1, {"a": "b"}]',) * 2 + ([],),
        ("  {}\n",) * 2 + ([],),
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
        assert (actual_prose, [name for name, _ in called]) == (prose, calls), size


def test_a_json_answer_that_is_no_call_is_not_held_back() -> None:
    assert ToolParser(NAMES).put('{"answ') == ('{"answ', [])
    assert ToolParser(NAMES).put('{"na') == ("", [])


def test_a_forced_call_and_the_limit_of_calls() -> None:
    assert parse(['{"name": "add", "arguments": {}}'], is_forced=True) == ("", [("add", {})])
    assert parse([CALL, CALL, "x"], max_calls=1)[1] == [("add", {"a": 1, "b": "</b>"})]


@pytest.mark.parametrize("names", [NAMES, ["add"]])
@pytest.mark.parametrize(
    ("text", "arguments", "is_cut"),
    [
        ("", None, True),
        ('{"na', None, True),
        ('{"name": "ad', None, True),
        ('{"name": "add"', "", True),
        ('{"name": "add", "argum', "", True),
        ('{"name": "add", "arguments": ', "", True),
        ('{"name": "add", "arguments": {"a": "x, \\u00', '{"a": "x, \\u00', True),
        ('{"name": "add", "arguments": {"a": {}, "b":\n [1', '{"a": {}, "b":\n [1', True),
        ('{"name": "add", "arguments": {"a": 1}', '{"a": 1}', False),
    ],
)
def test_a_forced_call_that_is_cut_off(text: str, arguments: str | None, is_cut: bool, names: list[str]) -> None:
    parser = ToolParser(names, is_forced=True)
    assert parser.put(text) == ("", [])
    prose, calls = parser.end()
    if arguments is None:  # only one tool can be meant
        arguments = "" if names == ["add"] else None
    assert (prose, [(call.name, call.arguments, call.is_cut) for call in calls]) == (
        "",
        [] if arguments is None else [("add", arguments, is_cut)],
    )


def test_ids_have_the_form_that_the_template_demands() -> None:
    parser = ToolParser(NAMES, short_call_id)
    parser.put(
        '[TOOL_CALLS][{"name": "add", "arguments": {}, "id": "abc123XYZ"}, {"name": "add", "arguments": {}, "id": "5"}]'
    )
    ids = [call.id for call in parser.end()[1]]
    assert ids[0] == "abc123XYZ" and re.fullmatch("[a-zA-Z0-9]{9}", ids[1])
    assert parse_calls('{"name": "add", "arguments": {}, "id": "abc123XYZ"}', NAMES)[0].id.startswith("call_")


def test_tags_that_decoding_leaves_out_are_put_back() -> None:
    special = ["<|endoftext|>", "[TOOL_CALLS]", "[ARGS]"]
    tokenizer = train_bpe(["add the numbers"], vocab_size=280, special_tokens=special)
    body = ChatRequest.model_validate(
        {"messages": [{"role": "user", "content": "1+1"}], "tools": [{"type": "function", "function": {"name": "add"}}]}
    )
    generation = SimpleNamespace(
        served=SimpleNamespace(model=SimpleNamespace(tokenizer=tokenizer)), prepared=SimpleNamespace(thinking=None)
    )
    choice, decoder = ChatChoice.start(body, cast(Any, generation)), tokenizer.stream()
    ids = tokenizer.encode('So[TOOL_CALLS]add[ARGS]{"a": 1}', parse_special=True)
    for n, token_id in enumerate(ids):
        reason = "stop" if n == len(ids) - 1 else None
        choice.add(Piece([Token(row=0, id=token_id, logprob=0.0, text=decoder.put(token_id), finish_reason=reason)]))
    assert choice.parser is not None and (choice.text, choice.finish_reason) == ("So", "tool_calls")
    assert [(call.name, call.arguments) for call in choice.parser.calls] == [("add", '{"a": 1}')]
    assert re.fullmatch("[a-zA-Z0-9]{9}", choice.parser.calls[0].id)


def tool(name: str, parameters: dict[str, Any] | None = None) -> Tool:
    return Tool(type="function", function=Function(name=name, parameters=parameters))


def test_the_references_of_each_tool_stay_its_own() -> None:
    pytest.importorskip("llguidance")

    def item(kind: str) -> dict[str, Any]:
        return {"properties": {"item": {"$ref": "#/$defs/Item"}}, "required": ["item"], "additionalProperties": False,
                "$defs": {"Item": {"type": kind}}}  # fmt: skip

    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}, "additionalProperties": False}
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "x", "definitions": {"N": {"const": 1}},
           "properties": {"n": {"$ref": "#/definitions/N"}}, "required": ["n"], "additionalProperties": False}  # fmt: skip
    tools = [tool("count", item("integer")), tool("say", item("string")), tool("grow", tree), tool("old", old), tool("now")]
    grammar = Grammar(json.loads(call_schema(tools)))
    for name, arguments, is_valid in [
        ("count", {"item": 3}, True), ("count", {"item": "x"}, False), ("say", {"item": "x"}, True),
        ("say", {"item": 3}, False),
        ("grow", {"child": {"child": {}}}, True), ("grow", {"child": {"name": "grow"}}, False), ("old", {"n": 1}, True),
        ("old", {"n": 2}, False), ("now", {}, True), ("now", {"a": 1}, False), ("other", {}, False), ("count", 5, False),
    ]:  # fmt: skip
        assert grammar.accepts({"name": name, "arguments": arguments}) == is_valid, (name, arguments)
    assert Grammar(json.loads(call_schema([tool("any", {})]))).accepts({"name": "any", "arguments": {"a": [1]}})
    assert not Grammar(json.loads(call_schema([tool("any", {})]))).accepts({"name": "any", "arguments": 5})


def test_a_set_is_a_list_unless_the_tool_is_strict() -> None:
    pytest.importorskip("llguidance")
    tags = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}}
    colors = {"type": "object", "properties": {"c": {"type": "array", "items": {"enum": ["r", "g"]}, "uniqueItems": True}}}
    grammar = Grammar(json.loads(call_schema([tool("tag", tags), tool("paint", colors)])))
    assert grammar.accepts({"name": "tag", "arguments": {"tags": ["a", "b"]}})
    assert grammar.accepts({"name": "tag", "arguments": {"tags": ["a", "a"]}})
    assert not grammar.accepts({"name": "tag", "arguments": {"tags": [5]}})
    assert not grammar.accepts({"name": "paint", "arguments": {"c": ["r", "r"]}})  # few values: enforced
    assert allows_repeated_items(tool("tag", tags)) and not allows_repeated_items(tool("paint", colors))
    strict = Tool(type="function", function=Function(name="tag", parameters=tags, strict=True))
    with pytest.raises(ApiError, match=r"properties\.tags\.uniqueItems cannot be enforced"):
        call_schema([strict])


@given(st.lists(st.text(alphabet='<tool_cal>[]TOOL_CALLS{}"ab \n', max_size=8), max_size=12))
def test_no_text_is_lost(pieces: list[str]) -> None:
    """Everything that is not a call is prose, in order."""
    prose, calls = parse(pieces)
    assert calls or prose == "".join(pieces)

"""The values that a schema excludes."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.inference.json_schema.negation import INCOMPLETE, negate, pattern_except
from lmcraft.inference.json_schema.scope import SchemaError, Scope


@pytest.mark.parametrize(
    ("schema", "negated"),
    [
        (True, False),
        ({"title": "anything"}, False),
        ({"type": ["null", "boolean", "number", "string"]}, {"type": ["array", "object"]}),
        ({"minimum": 3}, {"type": "number", "exclusiveMaximum": 3}),
        ({"minLength": 0}, False),
        ({"maxItems": 2}, {"type": "array", "minItems": 3}),
        ({"required": ["a"]}, {"type": "object", "properties": {"a": False}}),
        ({"anyOf": [{"minimum": 3}, True]}, {"allOf": [{"type": "number", "exclusiveMaximum": 3}, False]}),
        ({"$ref": "#/$defs/text"}, {"type": ["null", "boolean", "number", "array", "object"]}),
    ],
)
def test_negate(schema: Any, negated: Any) -> None:
    assert negate(schema, Scope({"$defs": {"text": {"type": "string"}}})) == negated


@pytest.mark.parametrize(
    "schema", [{"pattern": "a"}, {"const": [1]}, {"type": "integer"}, {"$ref": "#"}, {"const": "x" * 501}]
)
def test_what_has_no_negation_is_an_error(schema: Any) -> None:
    with pytest.raises(SchemaError, match="negated"):
        negate(schema, Scope({"$ref": "#"}))


def test_partial_negation_marks_what_it_lacks() -> None:
    schema = {"required": ["a"], "properties": {"a": {"pattern": "x"}}}
    partial = negate(schema, Scope(True), partial=True)
    assert partial == {"anyOf": [{"type": "object", "properties": {"a": False}}], INCOMPLETE: "properties"}
    for cannot_be_negated in (schema, {"not_required": 1} | schema, partial):
        with pytest.raises(SchemaError, match="cannot be negated"):
            negate(cannot_be_negated, Scope(True))


@given(st.sets(st.text("ab|.\n", max_size=4), min_size=1, max_size=4), st.text("ab|.\nc", max_size=5))
def test_a_pattern_of_all_other_texts(texts: set[str], text: str) -> None:
    pattern = re.sub(r"\\u\{([0-9a-f]+)\}", lambda match: re.escape(chr(int(match[1], 16))), pattern_except(sorted(texts)))
    assert bool(re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text)) == (text not in texts)

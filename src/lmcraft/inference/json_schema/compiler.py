"""A JSON schema as a grammar of llguidance, with the escapes in strings that keep it exact."""

import json
from collections.abc import Iterator
from typing import Any

from lmcraft.extras import import_optional
from lmcraft.inference.json_schema.normalizer import normalize_schema
from lmcraft.inference.json_schema.patterns import CONTROL_CHARACTERS, CONTROL_ESCAPE
from lmcraft.inference.json_schema.scope import SchemaError, map_schemas

# JSON as Python's json.dumps writes it: a small model that may insert spaces anywhere never stops inserting them.
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_SHORT_ESCAPES = 'nrbtf\\"'
_ALL_ESCAPES = f"{_SHORT_ESCAPES}u"


def compile_schema(schema: Any) -> str:
    """The grammar, in llguidance's form, of the JSON texts that fit a schema.

    Raises:
        SchemaError: the schema is invalid, has no values, or has a keyword that cannot be enforced.
    """
    llguidance = import_optional("llguidance", "grammar", "structured output")
    normalized = normalize_schema(schema)
    style = {**_STYLE, "json_allowed_escapes": _allowed_escapes(normalized)}
    return str(llguidance.LLMatcher.grammar_from_json_schema(json.dumps(normalized), defaults=style))


def _allowed_escapes(schema: dict[str, Any]) -> str:
    r"""The letters that may follow a backslash in strings.

    Where an object has names of its own and others, llguidance 1.9 lets a name pass for another one if it is spelled with
    escapes: "\u0061" for "a". Without such escapes there are no control characters, and llguidance would leave those of
    constants out.
    """
    schemas: list[dict[str, Any]] = []

    def collect(part: dict[str, Any]) -> dict[str, Any]:
        schemas.append(part)
        return part

    map_schemas(schema, collect)
    if not any(map(_has_other_names, schemas)):
        return _ALL_ESCAPES
    for part in schemas:
        patterns = [part.get("pattern", ""), *part.get("patternProperties", {})]
        texts = _strings([part.get("const"), part.get("enum")])
        if any(CONTROL_ESCAPE in pattern for pattern in patterns) or any(CONTROL_CHARACTERS & {*text} for text in texts):
            raise SchemaError(
                "a control character needs objects without further properties; set additionalProperties to false"
            )
    return _SHORT_ESCAPES


def _has_other_names(schema: dict[str, Any]) -> bool:
    named = schema.keys() & {"properties", "required", "patternProperties"}
    return bool(named) and (schema.get("additionalProperties") is not False or named > {"patternProperties"})


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)

"""Whether a grammar lets a JSON value through, token by token."""

import json
from functools import cache
from itertools import permutations
from typing import Any

from lmcraft.inference.grammar import JSON_STYLE
from lmcraft.inference.json_schema import normalize_schema


@cache
def byte_tokenizer() -> Any:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


class Grammar:
    """The grammar of a schema.

    Raises:
        ValueError: the schema is refused.
    """

    def __init__(self, schema: Any) -> None:
        from llguidance import LLMatcher

        text = json.dumps(normalize_schema(schema))
        self._grammar = LLMatcher.grammar_from_json_schema(text, defaults=JSON_STYLE)  # type: ignore[arg-type]
        if (matcher := self._matcher()).is_error():
            raise ValueError(matcher.get_error())

    def _matcher(self) -> Any:
        from llguidance import LLMatcher

        return LLMatcher(byte_tokenizer(), self._grammar, log_level=0)

    def accepts(self, value: Any) -> bool:
        """Whether the value can be generated, its keys in some order."""
        orders = permutations(value.items()) if isinstance(value, dict) else [value]
        return any(
            self._accepts_text(json.dumps(dict(o) if isinstance(o, tuple) else o, ensure_ascii=False)) for o in orders
        )

    def _accepts_text(self, text: str) -> bool:
        matcher, ids = self._matcher(), byte_tokenizer().tokenize_bytes(text.encode())
        return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())

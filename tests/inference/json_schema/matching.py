"""Whether a grammar lets a JSON value through, token by token."""

import json
from functools import cache
from itertools import permutations
from typing import Any

from lmcraft.inference.json_schema import compile_schema


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
        self._grammar = compile_schema(schema)
        if (matcher := self._matcher()).is_error():
            raise ValueError(matcher.get_error())

    def _matcher(self) -> Any:
        from llguidance import LLMatcher

        return LLMatcher(byte_tokenizer(), self._grammar, log_level=0)

    def accepts(self, value: Any) -> bool:
        """Whether the value can be generated, its keys in some order."""
        orders = permutations(value.items()) if isinstance(value, dict) else [value]
        return any(self.accepts_text(json.dumps(dict(o) if isinstance(o, tuple) else o, ensure_ascii=False)) for o in orders)

    def accepts_text(self, text: str) -> bool:
        matcher, ids = self._matcher(), byte_tokenizer().tokenize_bytes(text.encode())
        return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())

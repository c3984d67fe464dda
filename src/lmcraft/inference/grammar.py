"""Structured output: a text that fits a JSON schema, a regular expression or a grammar, whatever the model would say.

The library llguidance says which tokens may come next; all others get the logit -inf.
"""

import json
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLTokenizer

MOST_CHARACTERS = 100_000  # of a grammar
# JSON as Python's json.dumps writes it: a small model that may put spaces anywhere puts them for ever.
JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# What compiling and following one may cost; llguidance's numbers, see its LLParserLimits.
LIMITS = {
    "max_grammar_size": 100_000,
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "max_lexer_states": 50_000,
}


class Constraint:
    """What one continuation may say, as far as it has come.

    Args:
        config: says the schema, the regular expression or the grammar.
        tokenizer: of the model.
        vocab_size: of the model.
        eos_token_ids: what may come when the text is whole.

    Raises:
        UserError: llguidance is not installed, there is no end token, or the grammar is wrong or costs too much.
    """

    def __init__(
        self, config: GenerationConfig, tokenizer: Tokenizer, vocab_size: int, eos_token_ids: Collection[int]
    ) -> None:
        try:
            from llguidance import LLMatcher, LLParserLimits
        except ImportError as error:
            raise UserError("structured output needs the package llguidance: pip install 'lmcraft[grammar]'") from error
        name, text = structure_of(config)
        if not eos_token_ids:
            raise UserError(f"{name} needs a model with an end token, so that the text can end when it is whole")
        if len(text) > MOST_CHARACTERS:
            raise UserError(f"{name} has {len(text):,} characters: give at most {MOST_CHARACTERS:,}")
        compile_grammar: dict[str, Callable[[str], str]] = {
            "json_schema": lambda schema: LLMatcher.grammar_from_json_schema(schema, defaults=JSON_STYLE),  # type: ignore[arg-type]
            "regex": LLMatcher.grammar_from_regex,
            "grammar": LLMatcher.grammar_from_lark,
        }
        known = _llguidance_tokenizer(tokenizer, vocab_size, tuple(sorted(eos_token_ids)))
        self._name = name
        try:
            self._matcher = LLMatcher(known, compile_grammar[name](text), log_level=0, limits=LLParserLimits(**LIMITS))  # type: ignore[arg-type]
        except ValueError as error:
            raise UserError(f"{name} cannot be used: {error}") from error
        self._check()

    @property
    def finished(self) -> bool:
        """Whether the text is whole and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def masked(self, logits_1V: Tensor) -> Tensor:
        """The logits, (1, V), of the tokens that may come next; -inf for all others.

        Raises:
            UserError: what comes next costs too much to find out.
        """
        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        allowed = np.unpackbits(mask, bitorder="little")[: logits_1V.shape[1]].astype(bool)
        return logits_1V.masked_fill(torch.from_numpy(~allowed), -torch.inf)

    def accept(self, token_id: int) -> None:
        """Take the token that was chosen."""
        self._matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            message = " ".join(str(self._matcher.get_error()).split())
            raise UserError(f"{self._name} cannot be used: {message[:300]}")


def structure_of(config: GenerationConfig) -> tuple[str, str]:
    """The name and text of the structure that a configuration asks for; both empty if it asks for none.

    Raises:
        UserError: it asks for several.
    """
    said = [(name, text) for name in ("json_schema", "regex", "grammar") if (text := getattr(config, name))]
    if len(said) > 1:
        raise UserError(f"{said[0][0]} and {said[1][0]} cannot both hold: give one of them")
    return said[0] if said else ("", "")


@lru_cache(maxsize=4)
def _llguidance_tokenizer(tokenizer: Tokenizer, vocab_size: int, eos_token_ids: tuple[int, ...]) -> "LLTokenizer":
    from llguidance import LLTokenizer

    try:
        return LLTokenizer(json.dumps(tokenizer.to_json()), n_vocab=vocab_size, eos_token=list(eos_token_ids))
    except ValueError as error:
        raise UserError(f"this tokenizer cannot be used for structured output: {error}") from error

"""Structured output: text that is guaranteed to match a JSON schema, a regular expression or a grammar.

At each position the library llguidance computes the set of allowed tokens; all others get the logit -inf.
"""

import json
import re
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from functools import lru_cache
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.json_schema import TOO_DEEP, compile_schema
from lmcraft.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

R = TypeVar("R")
MAX_GRAMMAR_CHARACTERS = 100_000
# llguidance's compiler recurses along references, up to 8 KB for each, and a stack that overflows ends the process. This is
# more than twice what the longest chains take that fit into `MAX_GRAMMAR_CHARACTERS`. Only what is used takes memory.
COMPILER_STACK_BYTES = 256 * 2**20
# The compiler's time and memory grow with the square of their number: 1 s and 50 MB for these, 50 s and 5 GB for ten times
# as many.
MAX_OPTIONAL_PARTS = 5_000
_EMPTY_ALTERNATIVE = r"\{0?,|\|\s*\)|\(\s*\|"
_OPTIONAL_PARTS = {  # the groups; what is escaped is none
    "regex": re.compile(rf"\\.|([?*]|{_EMPTY_ALTERNATIVE})", re.DOTALL),
    "grammar": re.compile(rf"\\.|([?*\[]|{_EMPTY_ALTERNATIVE})", re.DOTALL),
}
MAX_ERROR_CHARACTERS = 300
# Limits on the cost of compiling and following a grammar, in llguidance's units; see its LLParserLimits.
LIMITS: dict[str, Any] = {
    "max_grammar_size": 100_000,
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "max_lexer_states": 50_000,
}
MAX_COMPILED_GRAMMARS = 4  # that are kept: the n texts of a request, and the turns of an agent, have the same
_STACK_SIZE_LOCK = threading.Lock()  # Python has one setting for the stacks of all new threads


class StructureError(UserError):
    """A schema, regular expression or grammar that cannot be used.

    Args:
        setting: the setting that has it.
        reason: follows the name of the setting in the message.
    """

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting} {reason}")
        self.reason = reason


class GrammarConstraint:
    """The grammar of one continuation, and how far the text has come in it.

    Args:
        config: holds the schema, the regular expression or the grammar.
        tokenizer: of the model.
        vocab_size: of the model.
        eos_token_ids: tokens that may follow a complete text.
        last_resort_ids: those of them that may follow only where no other token may.
        owner: of the request; only requests of the same owner share a compiled grammar.

    Raises:
        UserError: llguidance is not installed.
        StructureError: the grammar is invalid or too expensive, or there is no end token.
    """

    def __init__(
        self,
        config: GenerationConfig,
        tokenizer: Tokenizer,
        vocab_size: int,
        eos_token_ids: Collection[int],
        last_resort_ids: Collection[int] = (),
        owner: str = "",
    ) -> None:
        import_optional("llguidance", "grammar", "structured output")
        name, text = structured_output(config)
        if not eos_token_ids:
            raise StructureError(name, "needs a model with an end token: set eos_token_id in its generation_config.json")
        if len(text) > MAX_GRAMMAR_CHARACTERS:
            raise StructureError(name, f"has {len(text):,} characters: give at most {MAX_GRAMMAR_CHARACTERS:,}")
        if (count := _count_optional_parts(name, text)) > MAX_OPTIONAL_PARTS:
            raise StructureError(name, f"has {count:,} parts that may be left out: give at most {MAX_OPTIONAL_PARTS:,}")
        self._tokenizer = _llguidance_tokenizer(tokenizer, vocab_size, tuple(sorted(eos_token_ids)))
        self._name, self._last_resort_ids = name, sorted(last_resort_ids)
        self._allowed = np.ones(vocab_size, dtype=bool)
        self._matcher = _compile(name, text, self._tokenizer, owner).deep_copy()

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def mask_logits(self, logits_1V: Tensor) -> Tensor:
        """The logits, (1, V), with -inf for tokens that may not come next.

        Raises:
            UserError: the set of allowed tokens is too expensive to compute.
        """
        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        self._allowed = np.unpackbits(mask, bitorder="little")[: logits_1V.shape[1]].astype(bool)
        others = self._allowed.copy()
        others[self._last_resort_ids] = False
        if others.any():
            self._allowed = others
        if np.count_nonzero(self._allowed) == 1:
            self._spell_forced_text(int(self._allowed.argmax()))
        return logits_1V.masked_fill(torch.from_numpy(~self._allowed), -torch.inf)

    def _spell_forced_text(self, token_id: int) -> None:
        """Replace the only allowed token if it is a special one that the text must spell, such as `<|im_end|>`.

        llguidance tokenizes text that must follow as if it could contain special tokens, and then rejects the token.
        """
        forced = self._matcher.compute_ff_bytes().decode("utf-8", "ignore")
        if forced and self._tokenizer.is_special_token(token_id) and not self._matcher.validate_tokens([token_id]):
            self._allowed[token_id] = False
            self._allowed[self._tokenizer.greedy_tokenize(forced)[0]] = True

    def accept(self, token_id: int) -> None:
        """Advance by the chosen token.

        Raises:
            UserError: a logits processor chose a token that is not allowed.
        """
        if not self._allowed[token_id]:
            raise UserError(
                f"a logits_processor chose the token {token_id}, which {self._name} does not allow there: leave the logits "
                "that are -inf as they are"
            )
        self._matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        _check_matcher(self._matcher, self._name)


def _count_optional_parts(name: str, text: str) -> int:
    pattern = _OPTIONAL_PARTS.get(name)
    return 0 if pattern is None else sum(match[1] is not None for match in pattern.finditer(text))


def _call_on_large_stack(function: Callable[[], R]) -> R:
    """Call a function in a thread of its own, with a stack of `COMPILER_STACK_BYTES`."""
    result: Future[R] = Future()

    def call() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    with _STACK_SIZE_LOCK:
        default_bytes = threading.stack_size(COMPILER_STACK_BYTES)
        try:
            threading.Thread(target=call, name="grammar compiler", daemon=True).start()
        finally:
            threading.stack_size(default_bytes)
    return result.result()


@lru_cache(maxsize=MAX_COMPILED_GRAMMARS)
def _compile(name: str, text: str, tokenizer: "LLTokenizer", owner: str) -> "LLMatcher":
    """The matcher of a grammar, before any text: to be copied, not used. How long this takes shows only the same owner that
    the grammar is known.

    Raises:
        StructureError: the grammar is invalid or too expensive.
    """
    from llguidance import LLMatcher, LLParserLimits

    compile_grammar: dict[str, Callable[[str], str]] = {
        "json_schema": lambda text: compile_schema(_parse_schema(text)),
        "regex": LLMatcher.grammar_from_regex,
        "grammar": LLMatcher.grammar_from_lark,
    }
    limits = LLParserLimits(**LIMITS)
    try:
        matcher = _call_on_large_stack(lambda: LLMatcher(tokenizer, compile_grammar[name](text), log_level=0, limits=limits))
    except ValueError as error:
        raise StructureError(name, _describe_error(str(error))) from error
    _check_matcher(matcher, name)
    return matcher


def _check_matcher(matcher: "LLMatcher", name: str) -> None:
    if matcher.is_error():
        raise StructureError(name, _describe_error(str(matcher.get_error())))


def _describe_error(error: str) -> str:
    """Why a grammar fails, from llguidance's error; a dump of the parser follows the error if it failed while running."""
    message, dump, _ = error.partition("<state>")
    if message.startswith("recursion limit exceeded"):  # of the JSON that the schema is written in
        return f"is {TOO_DEEP}: put inner parts into $defs"
    if not dump:
        return f"cannot be used: {shorten(message, MAX_ERROR_CHARACTERS, placeholder=' ...')}"
    if message.startswith("NoExtensionBias"):  # llguidance's name for a state in which no token may follow
        return "allows no text, because a part of it can never end: make sure that nothing refers to itself without end"
    return "is too expensive to follow: simplify it, and make sure that nothing refers to itself without end"


def _parse_schema(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"the schema is {TOO_DEEP}: put inner parts into $defs") from error
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from error


def structured_output(config: GenerationConfig) -> tuple[str, str]:
    """The name and text of the setting that asks for structured output; both empty if none does.

    Raises:
        UserError: several settings do.
    """
    requested = [(name, text) for name in ("json_schema", "regex", "grammar") if (text := getattr(config, name))]
    if len(requested) > 1:
        raise UserError(f"{requested[0][0]} and {requested[1][0]} are both set: set only one of them")
    return requested[0] if requested else ("", "")


@lru_cache(maxsize=4)
def _llguidance_tokenizer(tokenizer: Tokenizer, vocab_size: int, eos_token_ids: tuple[int, ...]) -> "LLTokenizer":
    from llguidance import LLTokenizer

    try:
        return LLTokenizer(json.dumps(tokenizer.to_json()), n_vocab=vocab_size, eos_token=list(eos_token_ids))
    except ValueError as error:
        raise UserError(f"this tokenizer cannot be used for structured output: {error}") from error

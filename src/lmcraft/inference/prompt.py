"""Prompts: encodes a text as one, and checks that a model can continue it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from textwrap import shorten
from typing import SupportsIndex

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.tokenizer.fill_in_middle import require_fill_in_middle
from lmcraft.tokenizer.token_ids import MAX_SHOWN_CHARACTERS, list_token_ids
from lmcraft.tokenizer.tokenizer import Tokenizer


def encode_prompt(tokenizer: Tokenizer, text: str, *, add_special_tokens: bool = True) -> list[int]:
    """The token ids of a prompt.

    With `add_special_tokens`, the tokens that begin every text (`Tokenizer.begin_ids`) come first. If there is no token at
    all, the prompt is the token that separates texts: the beginning-of-text token, or else the end-of-text token.

    Raises:
        UserError: the text is empty, and the tokenizer has neither of these tokens.
    """
    if ids := [*(tokenizer.begin_ids if add_special_tokens else ()), *tokenizer.encode(text)]:
        return ids
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if start is None:
        raise UserError("the prompt is empty, and the tokenizer has no token that begins a text: enter some text")
    return [start]


def list_prompt_ids(tokenizer: Tokenizer, prompt: object) -> Sequence[int]:
    """The token ids of a prompt that is a text, or token ids in a list, tensor or array.

    Raises:
        UserError: it is neither, or an empty text for which there is no token.
    """
    if isinstance(prompt, str):
        return encode_prompt(tokenizer, prompt)
    if not isinstance(prompt, Iterable) or isinstance(prompt, bytes | Mapping):
        shown = shorten(repr(prompt), MAX_SHOWN_CHARACTERS)
        raise UserError(f"the prompt {shown} is neither a text nor a list of token ids: give one of them")
    return list_token_ids(prompt) if hasattr(prompt, "tolist") else prompt  # type: ignore[return-value]


def encode_gap(tokenizer: Tokenizer, prompt: object, suffix: str | None) -> tuple[Sequence[int], Collection[int]]:
    """The token ids of a prompt, and further tokens that end the text: those of a gap, if a `suffix` follows it.

    Raises:
        UserError: as in `list_prompt_ids`; the vocabulary has no tokens for fill-in-the-middle, or the suffix is not a text.
    """
    if suffix is None:
        return list_prompt_ids(tokenizer, prompt), ()
    tokens = require_fill_in_middle(tokenizer, "suffix")
    prefix = prompt if isinstance(prompt, str) else list_prompt_ids(tokenizer, prompt)
    return tokens.prompt(tokenizer, prefix, suffix), tokens.ends


def check_token_ids(prompt_ids: Sequence[int], vocab_size: int) -> None:
    """Raise UserError for no token ids, or one that is not a whole number or outside the vocabulary."""
    if not prompt_ids:
        raise UserError("the prompt has no tokens: give at least one, such as the beginning-of-text token")
    if others := [token_id for token_id in prompt_ids if not isinstance(token_id, SupportsIndex)]:
        raise UserError(f"the prompt has {others[0]!r} among its token ids: give one text, or whole numbers")
    if outside := [token_id for token_id in prompt_ids if not 0 <= token_id < vocab_size]:
        raise UserError(f"the prompt has token {outside[0]}, but the model's token ids are 0 to {vocab_size - 1}")


def check_prompt(
    prompt_ids: Sequence[int],
    config: GenerationConfig,
    *,
    vocab_size: int,
    context_length: int,
    tokenizer: Tokenizer | None,
) -> int:
    """Check that a model can continue a prompt with these settings.

    Args:
        prompt_ids: the prompt.
        config: the generation settings.
        vocab_size: of the model.
        context_length: maximum number of tokens of prompt and continuation together.
        tokenizer: None if there is none, and so no stop strings.

    Returns:
        How many tokens may follow: the smallest of max_new_tokens, and the room left in max_length and in the context.

    Raises:
        UserError: the prompt is empty, too long or outside the vocabulary; a setting does not fit the model.
    """
    num_tokens = len(prompt_ids)
    if config.stop and tokenizer is None:
        raise UserError(f"stop={config.stop!r} needs a tokenizer: give one, or leave stop out")
    check_token_ids(prompt_ids, vocab_size)
    if num_tokens >= context_length:
        raise UserError(
            f"the prompt has {num_tokens} tokens, which leaves no room in the model's context "
            f"(max_position_embeddings={context_length}): shorten it"
        )
    if 0 < config.max_length <= num_tokens:
        raise UserError(
            f"max_length={config.max_length} counts the prompt, which has {num_tokens} tokens: raise it, "
            "or set max_new_tokens"
        )
    limits = [context_length - num_tokens, config.max_new_tokens, config.max_length and config.max_length - num_tokens]
    return min(limit for limit in limits if limit > 0)

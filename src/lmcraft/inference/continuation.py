"""One continuation as it grows: what each token says, and which is the last."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.text_stream import TextStream

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Token:
    """One step of one continuation."""

    row: int
    """Which of `num_return_sequences`."""
    id: int
    logprob: float
    """The model's own log-probability of it; under beam search, with the penalties."""
    text: str
    """The text that it makes certain; "" without a tokenizer."""
    finish_reason: FinishReason | None
    """Set on the last token: an end token or a stop string, or a limit."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens in its place, each with its log-probability, as many as the request asked for."""


class Row:
    """One continuation as it grows: decides what each token says and whether it is the last."""

    def __init__(self, row: int, room: int, eos_token_ids: Collection[int], text: TextStream | None) -> None:
        self.row = row
        self._room = room
        self._eos_token_ids = eos_token_ids
        self._text = text

    def accept(
        self, token_id: int, logprob: float, *, last: bool = False, alternatives: tuple[tuple[int, float], ...] = ()
    ) -> Token:
        """Take the next token; `last` if nothing may follow it."""
        self._room -= 1
        text = ""
        reason: FinishReason | None = None
        if token_id in self._eos_token_ids:
            reason = "stop"
        elif self._text is not None:
            text = self._text.put(token_id)
        if reason is None and (last or self._room == 0):
            reason = "stop" if last else "length"
        if self._text is not None:
            text += self._text.end() if reason else ""
            reason = "stop" if self._text.stopped else reason
        return Token(self.row, token_id, logprob, text, reason, alternatives)


def room_for(context: int, prompt_length: int, config: GenerationConfig) -> int:
    """How many tokens may follow the prompt: the least of max_new_tokens, max_length and the model's context, in tokens.

    Raises:
        UserError: the prompt is empty, or leaves no room.
    """
    if prompt_length == 0:
        raise UserError("the prompt has no tokens: give at least one (the token that begins a text will do)")
    if prompt_length >= context:
        raise UserError(
            f"the prompt has {prompt_length} tokens, which leaves no room in the model's context "
            f"(max_position_embeddings={context}): shorten it"
        )
    if 0 < config.max_length <= prompt_length:
        raise UserError(
            f"max_length={config.max_length} counts the prompt, which has {prompt_length} tokens: raise it, "
            "or set max_new_tokens"
        )
    rooms = [context - prompt_length, config.max_new_tokens, config.max_length and config.max_length - prompt_length]
    return min(room for room in rooms if room > 0)

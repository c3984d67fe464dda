"""One continuation as it grows: the text of each token, and whether it is the last."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from lmcraft.inference.text_stream import TextStream

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token."""

    row: int
    """Index among the prompt's `num_return_sequences` continuations."""
    id: int
    logprob: float
    """The model's log-probability, before penalties and temperature; in beam search, after penalties."""
    text: str
    """The text that this token releases; "" without a tokenizer."""
    finish_reason: FinishReason | None
    """Set on the last token: "stop" for an end token or a stop string, "length" for a limit."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The most likely tokens at this position with their log-probabilities, as many as the request asked for."""
    stop: str = ""
    """The stop string that ended the continuation; set on the last token."""


class Continuation:
    """Turns the token ids of one continuation into `Token`s, and ends it.

    Args:
        row: index among the prompt's continuations.
        max_new_tokens: tokens until the limit.
        eos_token_ids: tokens that end it.
        text: detokenizer; None leaves `Token.text` empty.
    """

    def __init__(self, row: int, max_new_tokens: int, eos_token_ids: Collection[int], text: TextStream | None) -> None:
        self.row = row
        self._remaining = max_new_tokens
        self._eos_token_ids = eos_token_ids
        self._text = text

    def append(
        self, token_id: int, logprob: float, *, last: bool = False, alternatives: tuple[tuple[int, float], ...] = ()
    ) -> Token:
        """Add the next token; `last`: nothing may follow it."""
        self._remaining -= 1
        text, stop = "", ""
        reason: FinishReason | None = None
        if token_id in self._eos_token_ids:
            reason = "stop"
        elif self._text is not None:
            text = self._text.put(token_id)
        if reason is None and (last or self._remaining == 0):
            reason = "stop" if last else "length"
        if self._text is not None:
            text += self._text.end() if reason else ""
            stop = self._text.stopped_by
            reason = "stop" if stop else reason
        return Token(self.row, token_id, logprob, text, reason, alternatives, stop)

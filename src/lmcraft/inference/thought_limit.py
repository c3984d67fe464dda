"""A limit of the tokens that a model thinks before its answer."""

from collections import deque

import torch
from torch import Tensor

from lmcraft.inference.thoughts import Thinking, ThoughtParser
from lmcraft.tokenizer.tokenizer import Tokenizer


class ThoughtLimit:
    """Ends the thoughts of one continuation after a number of tokens, by choosing the tokens of the closing tag.

    Args:
        thinking: how the answer begins.
        tokenizer: of the model.
        max_tokens: of the thoughts; 0: the closing tag follows the opening one at once.
    """

    finished = False

    def __init__(self, thinking: Thinking, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._parser = ThoughtParser(thinking.form, is_open=thinking.is_open)
        self._decoder, self._hidden_tags = tokenizer.stream(), self._parser.hidden_tags(tokenizer)
        self._closing_ids = tokenizer.encode(thinking.form.closing, parse_special=True)
        self._num_left = max_tokens
        self._forced: deque[int] = deque()
        self._end_thoughts_in_time()

    def mask_logits(self, logits_1V: Tensor) -> Tensor:
        """The logits, (1, V), with -inf for all tokens but the next one of the closing tag, once the limit is reached."""
        if not self._forced:
            return logits_1V
        return torch.full_like(logits_1V, -torch.inf).index_fill_(1, torch.tensor([self._forced[0]]), 0.0)

    def accept(self, token_id: int) -> None:
        """Advance by the chosen token."""
        if self._forced:
            self._forced.popleft()
        self._num_left -= self._parser.is_thinking
        text = self._hidden_tags.get(token_id, "") + self._decoder.put(token_id)
        self._parser.put(text)
        if text and not self._forced:  # not within a character
            self._end_thoughts_in_time()

    def _end_thoughts_in_time(self) -> None:
        if self._parser.is_thinking and self._num_left <= 0:
            self._forced.extend(self._closing_ids)

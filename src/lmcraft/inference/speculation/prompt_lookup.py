"""Prompt lookup decoding (Saxena 2023): propose the tokens that followed the last occurrence of the text's last few tokens.

Summaries, edits and code repeat their prompt. The model keeps a proposal only where it agrees, so the text is unchanged.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from lmcraft.inference.request import SequenceState

MIN_NGRAM_TOKENS, MAX_NGRAM_TOKENS = 2, 4


class NgramIndex:
    """The last position after each n-gram of a text that only grows."""

    def __init__(self) -> None:
        self._position_after: dict[tuple[int, ...], int] = {}
        self._num_indexed = MIN_NGRAM_TOKENS

    def continuation(self, tokens: Sequence[int], max_tokens: int) -> list[int]:
        """Up to `max_tokens` tokens that followed the longest n-gram at the end of `tokens`, where it occurred last."""
        for end in range(self._num_indexed, len(tokens)):
            for length in range(MIN_NGRAM_TOKENS, min(MAX_NGRAM_TOKENS, end) + 1):
                self._position_after[tuple(tokens[end - length : end])] = end
        self._num_indexed = max(self._num_indexed, len(tokens))
        for length in range(min(MAX_NGRAM_TOKENS, len(tokens)), MIN_NGRAM_TOKENS - 1, -1):
            position = self._position_after.get(tuple(tokens[-length:]))
            if position is not None:
                return list(tokens[position : position + max(0, max_tokens)])
        return []


class PromptLookupProposer:
    """Proposes tokens for greedy requests from an index of each sequence's own text."""

    seconds_per_token = 0.0

    def __init__(self) -> None:
        self._indexes: WeakKeyDictionary[SequenceState, NgramIndex] = WeakKeyDictionary()

    def supports(self, sequence: SequenceState) -> bool:
        return sequence.request.config.greedy

    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        index = self._indexes.get(sequence)
        if index is None:
            index = self._indexes[sequence] = NgramIndex()
        return index.continuation(sequence.tokens, max_tokens)

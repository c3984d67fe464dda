"""Prompt lookup decoding (Saxena 2023): propose the tokens that followed the last occurrence of the text's last few tokens.

Summaries, edits and code repeat their prompt. The model keeps a proposal only where it agrees, so the text is unchanged.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from lmcraft.inference.request import SequenceState

NGRAM_LENGTHS = ((4,), (3, 2))  # of the proposers of an engine: more equal tokens, more accepted proposals


class NgramIndex:
    """The last position after each n-gram of a text that only grows.

    Args:
        lengths: of the n-grams, in tokens, the longest first.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = lengths
        self._position_after: dict[tuple[int, ...], int] = {}
        self._num_indexed = min(lengths)

    def continuation(self, tokens: Sequence[int], max_tokens: int) -> list[int]:
        """`max_tokens` tokens that followed the longest n-gram at the end of `tokens`, where it occurred last.

        If they reach the end of the text, its last tokens repeat.
        """
        for end in range(self._num_indexed, len(tokens)):
            for length in self._lengths:
                if length <= end:
                    self._position_after[tuple(tokens[end - length : end])] = end
        self._num_indexed = max(self._num_indexed, len(tokens))
        for length in self._lengths:
            position = self._position_after.get(tuple(tokens[-length:])) if length <= len(tokens) else None
            if position is not None:
                return [tokens[position + n % (len(tokens) - position)] for n in range(max_tokens)]
        return []


class PromptLookupProposer:
    """Proposes tokens for greedy requests from an index of each sequence's own text.

    Args:
        lengths: of the n-grams to look for, the longest first.
    """

    is_free = True
    seconds_per_token = 0.0

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = lengths
        self._indexes: WeakKeyDictionary[SequenceState, NgramIndex] = WeakKeyDictionary()

    def supports(self, sequence: SequenceState) -> bool:
        return sequence.request.config.greedy

    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        index = self._indexes.get(sequence)
        if index is None:
            index = self._indexes[sequence] = NgramIndex(self._lengths)
        return index.continuation(sequence.tokens, max_tokens)

"""What the base model is compared with: a compressor and a trigram model that have read the same text.

Both are given in bits per byte of the held-out text, which is what a model needs to compress it with an arithmetic coder.
"""

import lzma
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log2

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26}]


def xz_bits_per_byte(training: str, held_out: str) -> float:
    """Bits that xz adds for the held-out text after it has read the training text, which its dictionary holds whole."""
    before = len(lzma.compress(training.encode(), filters=FILTERS))
    after = len(lzma.compress((training + held_out).encode(), filters=FILTERS))
    return 8 * (after - before) / len(held_out.encode())


class Trigrams:
    """Interpolated with bigrams, unigrams and equal probabilities, by the number of continuations (Witten and Bell 1991)."""

    def __init__(self, tokens: Sequence[int], vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.counts: list[dict[tuple[int, ...], Counter[int]]] = [defaultdict(Counter) for _ in range(3)]
        for order, counts in enumerate(self.counts):
            for position in range(order, len(tokens)):
                counts[tuple(tokens[position - order : position])][tokens[position]] += 1
        self.totals = [{context: counter.total() for context, counter in counts.items()} for counts in self.counts]

    def probability(self, context: tuple[int, ...], token: int) -> float:
        probability = 1 / self.vocab_size
        for order, counts in enumerate(self.counts[: len(context) + 1]):
            last = context[len(context) - order :]
            if (counter := counts.get(last)) is not None:
                kinds = len(counter)
                probability = (counter[token] + kinds * probability) / (self.totals[order][last] + kinds)
        return probability

    def bits(self, tokens: Sequence[int]) -> float:
        """Of a text; a token's context are the two before it."""
        return -sum(log2(self.probability(tuple(tokens[max(0, n - 2) : n]), token)) for n, token in enumerate(tokens))

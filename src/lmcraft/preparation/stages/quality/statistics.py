"""A document as the rules of quality see it: its tokens and lines, each found once."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import LETTER, MARK, WHOLE, Tokens, tokenize, tokenize_joined
from lmcraft.preparation.stages.quality.punctuation import SYMBOLS


class Statistics:
    """A document and what has been measured of it.

    Args:
        text: the document.
        characters_per_word: how many Chinese, Japanese or Korean characters count as a word.
        joined: whether "don't", "3.14" and "os.path" are one word each.
    """

    def __init__(self, text: str, characters_per_word: float = 1.0, *, joined: bool = True) -> None:
        self.text, self.characters_per_word, self.joined = text, characters_per_word, joined

    @cached_property
    def separate_tokens(self) -> Tokens:
        """Words and punctuation, nothing joined."""
        return tokenize(self.text)

    @cached_property
    def tokens(self) -> Tokens:
        """Words and punctuation, as the rules count them."""
        return tokenize_joined(self.text, self.separate_tokens) if self.joined else self.separate_tokens

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The hashes of the words, as `data.words.hash_words` has them, (W,)."""
        return self.separate_tokens.words

    @cached_property
    def kinds(self) -> list[int]:
        """Number of tokens of each kind."""
        numbers: list[int] = np.bincount(self.tokens.kinds, minlength=LETTER + 1).tolist()
        return numbers

    @cached_property
    def n_tokens(self) -> float:
        """Words and punctuation; characters that are words count as fractions of words."""
        return len(self.tokens) - self.kinds[WHOLE] * (1 - 1 / self.characters_per_word)

    @cached_property
    def other_marks(self) -> list[str]:
        """The marks that Gopher's rules count as words, such as bullets."""
        if self.text.isascii():
            return []
        are_marks = self.tokens.kinds == MARK
        places = zip(self.tokens.starts[are_marks].tolist(), self.tokens.stops[are_marks].tolist(), strict=True)
        return [
            self.text[start:stop] for start, stop in places if self.text[start] > "\x9f" and self.text[start] not in SYMBOLS
        ]

    @cached_property
    def n_words(self) -> float:
        """Tokens other than punctuation."""
        return self.n_tokens - self.kinds[MARK] + len(self.other_marks)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each token, (T,)."""
        return self.tokens.stops - self.tokens.starts

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Characters of all tokens before each, and of all, (T + 1,)."""
        ends = np.zeros(len(self.tokens) + 1, dtype=np.int64)
        np.cumsum(self.lengths, out=ends[1:])
        return ends

    @cached_property
    def lines(self) -> list[str]:
        """Lines, cut at runs of line breaks."""
        lines = [line for line in self.text.split("\n") if line]
        if self.text.startswith("\n") or not self.text:
            lines.insert(0, "")
        return [*lines, ""] if self.text.endswith("\n") else lines

    @cached_property
    def filled_lines(self) -> list[str]:
        """Lines that are not blank."""
        return [line for line in self.lines if line and not line.isspace()]

    @cached_property
    def all_lines(self) -> list[str]:
        """Lines, blank ones included."""
        return self.text.splitlines()

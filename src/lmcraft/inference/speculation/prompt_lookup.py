"""Guessing what comes next from what the text said before (prompt lookup decoding, Saxena 2023).

Summaries, edits and code repeat their prompt. A guess costs a row of a step that reads every weight anyway, and is kept only
where the model says the same, so the text is the same.
"""

from collections.abc import Sequence

LONGEST, SHORTEST = 4, 2  # tokens that have to agree


class Lookup:
    """Where each few tokens of one text, which only grows, were last followed by others."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._seen = SHORTEST

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """Up to `most` tokens that followed the last occurrence of the text's end."""
        for end in range(self._seen, len(tokens)):
            for length in range(SHORTEST, min(LONGEST, end) + 1):
                self._after[tuple(tokens[end - length : end])] = end
        self._seen = max(self._seen, len(tokens))
        for length in range(min(LONGEST, len(tokens)), SHORTEST - 1, -1):
            after = self._after.get(tuple(tokens[-length:]))
            if after is not None:
                return list(tokens[after : after + max(0, most)])
        return []


class Luck:
    """How often the guesses of one sequence were right, of late; before there were any, and after long without, hopeful."""

    HOPE = (2.0, 0.5)  # guesses that count as if they had been right, and wrong
    FADING = 0.9  # of what was, at each step

    def __init__(self) -> None:
        self._right = self._wrong = 0.0

    def learn(self, guesses: int, right: int) -> None:
        """Of some guesses after one another so many were right; those after the first wrong one say nothing."""
        self._right = self.FADING * self._right + right
        self._wrong = self.FADING * self._wrong + (right < guesses)

    @property
    def chance(self) -> float:
        """That a guess is right, if those before it are."""
        right, wrong = self._right + self.HOPE[0], self._wrong + self.HOPE[1]
        return right / (right + wrong)

    def tokens(self, guesses: int) -> float:
        """How many tokens a step with so many guesses is expected to give: arXiv 2211.17192, equation 1."""
        return sum(self.chance**n for n in range(guesses + 1))

"""Guesses of what follows, as many as pay: a right one saves a step, a wrong one costs a row of the next."""

from collections.abc import Mapping

from lmcraft.inference.request import Sequence
from lmcraft.inference.speculation.draft import Draft
from lmcraft.inference.threads import ThreadChoice

SIZES = (15, 7, 3)  # rows are multiplied four together, and cost little more than one


class Guesser:
    """Guesses for a sequence that grows alone, from what its text said before or with a smaller model.

    Args:
        steps: what a step takes, by its rows.
        lookup: guess greedy continuations from their own text.
        draft: guesses where that finds nothing.
    """

    def __init__(self, steps: Mapping[int, ThreadChoice], lookup: bool, draft: Draft | None) -> None:
        self._steps, self._lookup, self._draft = steps, lookup, draft

    def guess(self, sequence: Sequence, room: int) -> list[int]:
        """At most `room` tokens that may follow."""
        looks = self._lookup and sequence.request.config.greedy
        if not looks and self._draft is None:
            return []
        most, guesses = min(self.worthwhile(sequence), room), []
        if looks:
            guesses = sequence.lookup.guess(sequence.tokens, most)
        if self._draft is not None and not guesses:
            guesses = self._draft.guess(sequence, most)
        return guesses

    def worthwhile(self, sequence: Sequence) -> int:
        """How many give the most tokens a second, by the sequence's luck so far and the time that steps took."""
        best, most = 0, 0.0
        for guesses in (*SIZES, 0):
            seconds = self._steps[guesses + 1].usual
            if not seconds:
                return guesses  # to learn what it takes
            if self._draft is not None:
                seconds += guesses * self._draft.seconds
            if (rate := sequence.luck.tokens(guesses) / seconds) > most:
                best, most = guesses, rate
        return best

"""A text as the tiers read it: several views, each with the way back to the characters of the original."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text."""

    name: str
    """"plain": compatibility forms, case, invisible characters, look-alikes and traditional characters undone; "unmasked":
    also digits and signs for letters, split and stretched words, with their surroundings only; "merged": the same with "l"
    written "i"; "pinyin": Chinese by sound, one private-use character per syllable."""
    text: str
    offsets: NDArray[np.int32] | None = None
    """(len(text) + 1,): where each character comes from in the original, then the original's length; None: the same
    positions. Never decreasing."""
    ends: NDArray[np.int32] | None = None
    """(len(text),): where each character ends in the original; None: each stands for one."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The passage of the original for text[start:end]."""
        if self.offsets is None:
            return start, end
        first = int(self.offsets[start])
        if end <= start:
            return first, first
        return first, int(self.offsets[end - 1]) + 1 if self.ends is None else int(self.ends[end - 1])


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """A text and its views; the first is "plain", further ones only where they say something else."""

    original: str
    views: tuple[View, ...]

    @property
    def plain(self) -> View:
        return self.views[0]

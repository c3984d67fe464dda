"""A dictionary learned from pairs of phrases, and translation by its longest entries: the baseline, and the model's draft.

An entry is a run of words, and the run of characters that it occurs together with most strictly, by the coefficient of Dice
(1945): twice the number of pairs that have both, over the number that have one plus the number that have the other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence

from similarity import PLACEHOLDER

TOKEN = re.compile(rf"(?P<placeholder>{PLACEHOLDER.pattern})|--?[\w-]+|\w+(?:['-]\w+)*|[^\w\s]")
CHARACTER = re.compile(rf"{PLACEHOLDER.pattern}|[A-Za-z0-9_-]+|\S")
MAX_WORDS, MAX_CHARACTERS = 5, 10
MIN_PAIRS, MIN_DICE = 2, 0.3

Run = tuple[str, ...]


class Dictionary:
    """The translation of each run of words that has one."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        sources = _frequent([set(_runs(_keys(_words(source)), MAX_WORDS)) for source, _ in pairs])
        targets = _frequent([set(_runs(CHARACTER.findall(target), MAX_CHARACTERS)) for _, target in pairs])
        target_counts = Counter(run for row in targets for run in row)
        rows = defaultdict(list)
        for number, row in enumerate(sources):
            for run in row:
                rows[run].append(number)
        self.entries: dict[Run, Run] = {}
        for run, numbers in rows.items():
            together: Counter[Run] = Counter()
            for number in numbers:
                together.update(targets[number])
            scores = (
                (2 * n / (len(numbers) + target_counts[target]), len(target), target) for target, n in together.items()
            )
            dice, _, translation = max(scores, default=(0.0, 0, ()))
            if dice >= MIN_DICE:
                self.entries[run] = translation

    def translate(self, source: str) -> str:
        """The translations of the longest entries, from left to right; words without one stay as they are."""
        words = _words(source)
        keys, output, position = _keys(words), [], 0
        while position < len(words):
            for length in range(min(MAX_WORDS, len(words) - position), 0, -1):
                run = tuple(keys[position : position + length])
                if run in self.entries or length == 1:
                    output += self.entries.get(run, (words[position],))
                    position += length
                    break
        return _join(output)


def _words(text: str) -> list[str]:
    return [match[0] for match in TOKEN.finditer(text)]


def _keys(words: Sequence[str]) -> list[str]:
    """Words without case; placeholders as they are."""
    return [word if PLACEHOLDER.fullmatch(word) else word.lower() for word in words]


def _runs(items: Sequence[str], longest: int) -> Iterator[Run]:
    for start in range(len(items)):
        for end in range(start + 1, min(start + longest, len(items)) + 1):
            yield tuple(items[start:end])


def _frequent(rows: Sequence[set[Run]]) -> list[set[Run]]:
    """The runs of each row that occur in at least MIN_PAIRS rows."""
    counts: Counter[Hashable] = Counter(run for row in rows for run in row)
    return [{run for run in row if counts[run] >= MIN_PAIRS} for row in rows]


def _join(items: Sequence[str]) -> str:
    """Words of Latin letters with spaces between them, other characters without."""
    text = ""
    for item in items:
        space = text[-1:].isascii() and text[-1:].isalnum() and item[0].isascii() and item[0].isalnum()
        text += " " * space + item
    return text

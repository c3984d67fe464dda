"""A dictionary learned from pairs of phrases, and translations made of its entries.

An entry is a run of words, and the runs of characters that it occurs together with most strictly, by the coefficient of Dice
(1945): twice the number of pairs that have both, over the number that have one plus the number that have the other.
"""

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from similarity import PLACEHOLDER

TOKEN = re.compile(rf"(?P<placeholder>{PLACEHOLDER.pattern})|--?[\w-]+|\w+(?:['-]\w+)*|[^\w\s]")
CHARACTER = re.compile(rf"{PLACEHOLDER.pattern}|[A-Za-z0-9_-]+|\S")
MAX_WORDS, MAX_CHARACTERS = 5, 10
MIN_PAIRS, MIN_DICE, MIN_SURE_DICE = 2, 0.15, 0.3
MAX_TRANSLATIONS = 4
PRIOR = 1  # pairs in the denominator: what occurs together twice may be chance
BEAM = 48
FREQUENT_WORDS = 24  # that a translation may leave out: the, of, to
SEGMENT_COST, UNKNOWN_COST, OMISSION_COST, SWAP_COST = 0.3, 1.0, 1.2, 1.5  # in nats, beside the logarithm of Dice

Run = tuple[str, ...]


class Dictionary:
    """The translations of runs of words, the strictest first, each with its coefficient."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        words = [_keys(_words(source)) for source, _ in pairs]
        sources = _frequent([set(_runs(row, MAX_WORDS)) for row in words])
        targets = _frequent([set(_runs(CHARACTER.findall(target), MAX_CHARACTERS)) for _, target in pairs])
        counts = Counter(run for row in targets for run in row)
        rows = defaultdict(list)
        for number, row in enumerate(sources):
            for run in row:
                rows[run].append(number)
        self.entries: dict[Run, list[tuple[float, Run]]] = {}
        for run, numbers in rows.items():
            together: Counter[Run] = Counter()
            for number in numbers:
                together.update(targets[number])
            scores = (
                (2 * n / (len(numbers) + counts[target] + PRIOR), len(target), target) for target, n in together.items()
            )
            if best := _distinct(heapq.nlargest(4 * MAX_TRANSLATIONS, scores)):
                self.entries[run] = best
        frequencies = Counter(word for row in words for word in row if word.isalpha())
        self._omissible = {word for word, _ in frequencies.most_common(FREQUENT_WORDS)}

    def translate(self, source: str) -> str:
        """The translations of the longest entries, from left to right; words without one stay as they are."""
        words = _words(source)
        keys, output, position = _keys(words), [], 0
        while position < len(words):
            for length in range(min(MAX_WORDS, len(words) - position), 0, -1):
                dice, translation = self.entries.get(tuple(keys[position : position + length]), [(0.0, ())])[0]
                if dice >= MIN_SURE_DICE or length == 1:
                    output += translation if dice >= MIN_SURE_DICE else (words[position],)
                    position += length
                    break
        return _join(output)

    def candidates(self, source: str, count: int) -> dict[str, float]:
        """Different translations with their scores, the best first: entries of any length, neighbors swapped, frequent words
        left out."""
        words = _words(source)
        keys = _keys(words)
        beams: list[dict[tuple[Run, ...], float]] = [{} for _ in range(len(words) + 1)]
        beams[0][()] = 0.0
        for position in range(len(words)):
            for segments, score in heapq.nlargest(BEAM, beams[position].items(), key=lambda item: item[1]):
                for length in range(1, min(MAX_WORDS, len(words) - position) + 1):
                    beam = beams[position + length]
                    for gain, segment in self._options(words, keys, position, length):
                        _keep_best(beam, (*segments, segment), score + gain)
                        if segments and segment:
                            _keep_best(beam, (*segments[:-1], segment, segments[-1]), score + gain - SWAP_COST)
        texts: dict[str, float] = {}
        for segments, score in heapq.nlargest(4 * count, beams[-1].items(), key=lambda item: item[1]):
            texts.setdefault(_join([item for segment in segments for item in segment]), score)
        return dict(list(texts.items())[:count])

    def _options(self, words: Sequence[str], keys: Sequence[str], position: int, length: int) -> Iterator[tuple[float, Run]]:
        """Translations of the words from `position` on, with what each adds to the score."""
        entries = self.entries.get(tuple(keys[position : position + length]), ())
        yield from ((length * math.log(dice) - SEGMENT_COST, translation) for dice, translation in entries)
        if length == 1 and not entries:
            yield -UNKNOWN_COST, (words[position],)
        if length == 1 and keys[position] in self._omissible:
            yield -OMISSION_COST, ()


def _distinct(scores: Sequence[tuple[float, int, Run]]) -> list[tuple[float, Run]]:
    """The first translations, without those that are part of one with the same coefficient."""
    kept: list[tuple[float, Run]] = []
    for dice, _, target in scores:
        text = "".join(target)
        if dice >= MIN_DICE and not any(dice == other and text in "".join(longer) for other, longer in kept):
            kept.append((dice, target))
    return kept[:MAX_TRANSLATIONS]


def _keep_best(beam: dict[tuple[Run, ...], float], segments: tuple[Run, ...], score: float) -> None:
    beam[segments] = max(score, beam.get(segments, -math.inf))


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
    counts = Counter(run for row in rows for run in row)
    return [{run for run in row if counts[run] >= MIN_PAIRS} for row in rows]


def _join(items: Sequence[str]) -> str:
    """Words of Latin letters with spaces between them, other characters without."""
    text = ""
    for item in items:
        space = text[-1:].isascii() and text[-1:].isalnum() and item[0].isascii() and item[0].isalnum()
        text += " " * space + item
    return text

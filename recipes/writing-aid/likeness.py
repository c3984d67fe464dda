"""How much like the person a model writes, what it copies, and whether a rewrite keeps the meaning."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from passages import Passage
from tasks import Example

from lmcraft.evaluation.style import StyleProfile, words_of
from lmcraft.retrieval.embeddings import TextEncoder
from lmcraft.statistics.intervals import Metric, mean_interval
from recipes.work import Figure

CHUNK_PASSAGES = 5  # in a text of the profile
COPIED_WORDS = 8  # in a row are no accident


def chunks(passages: Sequence[Passage]) -> list[str]:
    """Texts of about equal lengths."""
    return [
        " ".join(passage.text for passage in passages[start : start + CHUNK_PASSAGES])
        for start in range(0, len(passages) - CHUNK_PASSAGES + 1, CHUNK_PASSAGES)
    ]


def cut_alike(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Answers to the same prompts, each cut to the length of the shortest, since Delta depends on the number of words."""
    words = {name: [words_of(text) for text in rows] for name, rows in texts.items()}
    counts = [min(map(len, answers)) for answers in zip(*words.values(), strict=True)]
    return {name: [" ".join(row[:count]) for row, count in zip(rows, counts, strict=True)] for name, rows in words.items()}


def style_figures(
    profile: StyleProfile, examples: Sequence[Example], written: dict[str, list[str]], other: Sequence[str]
) -> list[Figure]:
    """Delta of what the models wrote, beside the person's own answers to the same prompts and another author's text. What
    an answer repeats from its prompt is the person's, and does not count."""
    prompts = [SeenRuns([example.text]) for example in examples]
    texts = {
        name: [seen.others(text) for seen, text in zip(prompts, rows, strict=True)] for name, rows in written.items()
    } | {
        "the person, held out": [example.answer for example in examples],
        "another author": [other[n % len(other)] for n in range(len(examples))],
    }
    deltas = {name: profile.distance(rows) for name, rows in cut_alike(texts).items()}
    after = deltas.pop("after")
    return [
        Figure("distance from the person's style (Burrows's Delta)", name, delta.value, after.value, interval(after))
        for name, delta in deltas.items()
    ]


def copy_figures(training: Sequence[Passage], examples: Sequence[Example], after: Sequence[str]) -> list[Figure]:
    """The longest run of words that is also in the training texts, on average, and how many answers have a long one."""
    seen = SeenRuns([passage.text for passage in training])
    longest = [seen.longest(text) for text in after]
    own = [seen.longest(example.answer) for example in examples]
    share = np.mean(np.array(longest) >= COPIED_WORDS)
    print(f"answers with {COPIED_WORDS} words in a row from the training texts: {share:.1%}")
    result = mean_interval(longest)
    name = "the person, held out"
    return [
        Figure("longest run of words from the training texts", name, float(np.mean(own)), result.value, interval(result))
    ]


class SeenRuns:
    """The runs of words in some texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = [word for text in texts for word in (*words_of(text), "")]  # an empty word ends a text
        self._starts = defaultdict(list)
        for start, pair in enumerate(pairwise(self._words)):
            self._starts[pair].append(start)

    def longest(self, text: str) -> int:
        """The number of words of the longest run that the text shares with them; 0 for fewer than two."""
        words = words_of(text)
        lengths = (
            self._length(words, begin, start)
            for begin, pair in enumerate(pairwise(words))
            for start in self._starts.get(pair, ())
        )
        return max(lengths, default=0)

    def others(self, text: str) -> str:
        """The words of a text that are in no run of COPIED_WORDS or more."""
        words = words_of(text)
        copied: set[int] = set()
        for begin, pair in enumerate(pairwise(words)):
            length = max((self._length(words, begin, start) for start in self._starts.get(pair, ())), default=0)
            if length >= COPIED_WORDS:
                copied.update(range(begin, begin + length))
        return " ".join(word for number, word in enumerate(words) if number not in copied)

    def _length(self, words: Sequence[str], begin: int, start: int) -> int:
        """Of the run that begins at `begin` in the words, and at `start` in the texts."""
        length = 2
        while begin + length < len(words) and words[begin + length] == self._words[start + length]:
            length += 1
        return length


def meaning_figures(encoder: TextEncoder, texts: Sequence[str], before: Sequence[str], after: Sequence[str]) -> list[Figure]:
    """The cosine of the embeddings of a plain text and its rewrite; beside it, of texts and the rewrites of others. None
    without texts."""
    if not texts:
        return []
    vectors, rewritten, first = (encoder(list(rows)) for rows in (texts, after, before))
    result, earlier = mean_interval((vectors * rewritten).sum(1)), float((vectors * first).sum(1).mean())
    chance = float((vectors * np.roll(rewritten, 1, axis=0)).sum(1).mean())
    rows = (("before", earlier), ("rewrites of other texts", chance))
    return [Figure("meaning kept in rewrites (cosine)", name, value, result.value, interval(result)) for name, value in rows]


def interval(metric: Metric) -> tuple[float, float] | None:
    return None if metric.low is None or metric.high is None else (metric.low, metric.high)

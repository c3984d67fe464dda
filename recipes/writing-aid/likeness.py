"""How much like the person a model writes, what it copies, and whether a rewrite keeps the meaning."""

from collections.abc import Sequence

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


def shorten(texts: Sequence[str], words: Sequence[int]) -> list[str]:
    """Texts cut to at most so many words each, since Delta depends on the number of words."""
    return [" ".join(words_of(text)[:count]) for text, count in zip(texts, words, strict=True)]


def style_figures(
    profile: StyleProfile, examples: Sequence[Example], written: dict[str, list[str]], other: Sequence[str]
) -> list[Figure]:
    """Delta of what the models wrote, beside the person's own answers to the same prompts and another author's text."""
    lengths = [len(words_of(example.answer)) for example in examples]
    texts = {
        **written,
        "the person, held out": [example.answer for example in examples],
        "another author": [other[n % len(other)] for n in range(len(examples))],
    }
    deltas = {name: profile.distance(shorten(rows, lengths)) for name, rows in texts.items()}
    after = deltas.pop("after")
    return [
        Figure("distance from the person's style (Burrows's Delta)", name, delta.value, after.value, interval(after))
        for name, delta in deltas.items()
    ]


def copy_figures(training: Sequence[Passage], examples: Sequence[Example], after: Sequence[str]) -> list[Figure]:
    """The longest run of words that is also in the training texts, on average, and how many answers have a long one."""
    seen = runs([passage.text for passage in training], 2)
    longest = [longest_run(text, seen) for text in after]
    own = [longest_run(example.answer, seen) for example in examples]
    share = np.mean(np.array(longest) >= COPIED_WORDS)
    print(f"answers with {COPIED_WORDS} words in a row from the training texts: {share:.1%}")
    result = mean_interval(longest)
    name = "the person, held out"
    return [
        Figure("longest run of words from the training texts", name, float(np.mean(own)), result.value, interval(result))
    ]


def runs(texts: Sequence[str], shortest: int) -> dict[int, set[tuple[str, ...]]]:
    """The runs of words of each length up to four times COPIED_WORDS."""
    rows = [words_of(text) for text in texts]
    return {
        length: {tuple(words[start : start + length]) for words in rows for start in range(len(words) - length + 1)}
        for length in range(shortest, 4 * COPIED_WORDS + 1)
    }


def longest_run(text: str, seen: dict[int, set[tuple[str, ...]]]) -> int:
    words = words_of(text)
    return max(
        (
            length
            for length, known in seen.items()
            if any(tuple(words[start : start + length]) in known for start in range(len(words) - length + 1))
        ),
        default=0,
    )


def meaning_figures(encoder: TextEncoder, texts: Sequence[str], before: Sequence[str], after: Sequence[str]) -> list[Figure]:
    """The cosine of the embeddings of a plain text and its rewrite; beside it, of texts and the rewrites of others."""
    vectors, rewritten, first = (encoder(list(rows)) for rows in (texts, after, before))
    result, earlier = mean_interval((vectors * rewritten).sum(1)), float((vectors * first).sum(1).mean())
    chance = float((vectors * np.roll(rewritten, 1, axis=0)).sum(1).mean())
    rows = (("before", earlier), ("rewrites of other texts", chance))
    return [Figure("meaning kept in rewrites (cosine)", name, value, result.value, interval(result)) for name, value in rows]


def interval(metric: Metric) -> tuple[float, float] | None:
    return None if metric.low is None or metric.high is None else (metric.low, metric.high)

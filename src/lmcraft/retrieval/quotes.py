"""The part of a passage that answers a question, as it stands there."""

import re
from collections.abc import Iterator, Sequence

from lmcraft.retrieval.index import Index
from lmcraft.retrieval.passages import Passage, cut_sentences
from lmcraft.retrieval.terms import clues, terms

MAX_QUOTE_CHARS = 500
MIN_QUOTE_CHARS = 120
_LEADS_ON = re.compile(r"[:：]\s*\Z")


def best_quote(index: Index, question: str, passage: Passage, max_chars: int = MAX_QUOTE_CHARS) -> tuple[int, int]:
    """Begin and end, in the passage's text, of the whole sentences or blocks that have most of what the question asks about.

    The shortest of the best. What follows a colon belongs to what leads to it, and short quotes grow by what follows them.
    """
    units = list(_units(passage, max_chars))
    question_clues = clues(question)

    def score(run: tuple[int, int]) -> float:
        return index.coverage(question_clues, frozenset(terms(passage.text[run[0] : run[1]])))

    scores = {run: score(run) for run in _runs(passage.text, units, max_chars)}
    return max(scores, key=lambda run: (scores[run], run[0] - run[1])) if any(scores.values()) else next(iter(scores))


def _units(passage: Passage, max_chars: int) -> Iterator[tuple[int, int]]:
    for start, end in passage.blocks:
        yield from cut_sentences(passage.text, start, end, max_chars)


def _runs(text: str, units: Sequence[tuple[int, int]], max_chars: int) -> Iterator[tuple[int, int]]:
    """For each unit, the run of units that begins there."""
    for n, (start, end) in enumerate(units):
        for _, later in units[n + 1 :]:
            leads_on = _LEADS_ON.search(text[start:end]) is not None
            if later - start > max_chars or not (leads_on or end - start < MIN_QUOTE_CHARS):
                break
            end = later
        yield start, end

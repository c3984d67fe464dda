"""Cuts words out of a text together with their sentences or lines."""

import re
from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import SINGLE, word_spans

MAX_SENTENCE_WORDS = 60  # longer ones are cut between words
SENTENCE = re.compile(r"[^\n.!?。！？…；]*(?:[.!?。！？…；]+[\"'”’」』）)\]]*[^\S\n]*|\n+|$)")
PIECE = re.compile(f"{SINGLE}|(?:(?!{SINGLE})\\S)+\\s*|\\s+")


def cut_words(text: str, covered_W: NDArray[np.bool_]) -> tuple[str, str] | None:
    """Cut the sentences of which at least half of the words are covered.

    Args:
        text: of a document.
        covered_W: whether each of its words goes, (W,).

    Returns:
        The text without them, and the first ones that were cut together; None if nothing is cut.
    """
    starts = [start for start, _ in word_spans(text)]
    kept: list[str] = []
    cut_first = cut_last = -1
    goes = False
    for first, last in _sentences(text, starts):
        sentence, covered = text[first:last], covered_W[bisect_left(starts, first) : bisect_left(starts, last)]
        goes = 2 * int(covered.sum()) >= len(covered) if len(covered) else goes and not sentence.endswith("\n")
        if goes:
            kept.append("\n" if sentence.endswith("\n") else "")
            cut_first = first if cut_first < 0 else cut_first
            cut_last = last if cut_last in (-1, first) else cut_last
        else:
            kept.append(sentence)
    if cut_first < 0:
        return None
    return re.sub(r"\n{3,}", "\n\n", "".join(kept)).strip(), text[cut_first:cut_last].strip()


def _sentences(text: str, starts: list[int]) -> Iterator[tuple[int, int]]:
    """Where sentences begin and end; of long ones, their words."""
    for match in SENTENCE.finditer(text):
        if bisect_left(starts, match.end()) - bisect_left(starts, match.start()) > MAX_SENTENCE_WORDS:
            yield from (piece.span() for piece in PIECE.finditer(text, *match.span()))
        elif match[0]:
            yield match.span()

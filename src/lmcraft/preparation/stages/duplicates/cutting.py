"""Cuts words out of a text together with their sentences or lines."""

import re

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import SINGLE, split_words

MAX_SENTENCE_WORDS = 60  # longer ones are cut between words
SENTENCE = re.compile(r"[^\n.!?。！？…；]*(?:[.!?。！？…；]+[\"'”’」』）)\]]*[^\S\n]*|\n+|$)")
PIECE = re.compile(f"{SINGLE}|(?:(?!{SINGLE})\\S)+\\s*|\\s+")


def cut_words(text: str, covered: NDArray[np.bool_]) -> tuple[str, str] | None:
    """The text without the sentences of which at least half of the words are covered, and what was cut first.

    Args:
        text: of a document.
        covered: whether each of its words goes, (W,).

    Returns:
        None if sentences and text do not have the same words, or nothing is cut.
    """
    sentences = _sentences(text)
    counts = [len(split_words(sentence)) for sentence in sentences]
    if sum(counts) != len(covered):
        return None
    kept: list[str] = []
    cut: list[tuple[int, str]] = []
    start = 0
    was_cut = False
    for sentence, count in zip(sentences, counts, strict=True):
        goes = 2 * int(covered[start : start + count].sum()) >= count if count else was_cut and not sentence.endswith("\n")
        if goes:
            cut.append((len(kept), sentence))
            kept.append("\n" if sentence.endswith("\n") else "")
        else:
            kept.append(sentence)
        start += count
        was_cut = goes
    if not cut:
        return None
    return re.sub(r"\n{3,}", "\n\n", "".join(kept)).strip(), _first_cut(cut)


def _sentences(text: str) -> list[str]:
    """The text in sentences; long ones in words."""
    return [
        piece
        for sentence in SENTENCE.findall(text)
        for piece in (PIECE.findall(sentence) if len(split_words(sentence)) > MAX_SENTENCE_WORDS else [sentence])
        if piece
    ]


def _first_cut(cut: list[tuple[int, str]]) -> str:
    """The first sentences that were cut together."""
    first = cut[0][0]
    return "".join(sentence for offset, (number, sentence) in enumerate(cut) if number == first + offset).strip()

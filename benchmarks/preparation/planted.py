"""Documents with planted near-duplicates, whose true similarity is known.

An original is a row of passages of real texts, English or Chinese. Passages are drawn again when all were used, so originals
share passages, as pages that quote the same text do. A copy is an original with edits: words replaced, removed or added,
passages moved, the end cut off. Similarity is the Jaccard similarity of the sets of runs of 5 English words or 8 Chinese
characters; that of a copy and its original is computed from the runs themselves, not from hashes.

python benchmarks/preparation/planted.py OUT.jsonl [--documents 100000]
"""

import argparse
import json
import random
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Language, corpus_documents

ENGLISH = ("speeches", "novel", "bible", "kernel-docs")
CHINESE = ("three-kingdoms", "poems", "debian-reference-zh", "kernel-docs-zh", "manual-pages-zh")
MIN_WORDS, MAX_WORDS = 150, 1500  # of an original; Chinese: characters / CHARS_PER_WORD
PASSAGE_WORDS = 60
CHARS_PER_WORD = 1.7
RUN_LENGTH = {"en": 5, "zh": 8}
SHARE_CHINESE = 0.3
SHARE_COPIES, SHARE_NEAR_MISSES = 0.1, 0.02  # of all documents; copies are at least SIMILAR, near misses at least 0.7
SIMILAR = 0.8
MAX_CLUSTER = 50
SEED = 26
SINGLE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")  # a character that is a word
WORD = re.compile(f"{SINGLE.pattern}|(?:(?!{SINGLE.pattern})[^\\W_])+")
Words = list[str]  # of English, with their punctuation; characters of Chinese


@dataclass(frozen=True)
class Planted:
    """A document: an original, or a copy of one."""

    id: int  # its place in the shuffled order
    language: Language
    text: str
    role: Literal["original", "copy", "near-miss"]
    original: int = -1
    jaccard: float = 1.0
    """With its original."""


def plant(documents: int, seed: int = SEED) -> list[Planted]:
    """The documents, in random order; the same ones for the same seed and packages."""
    draw = random.Random(seed)
    makers = {"en": _Originals("en", draw), "zh": _Originals("zh", draw)}
    counts = {"copy": round(documents * SHARE_COPIES), "near-miss": round(documents * SHARE_NEAR_MISSES)}
    originals: list[tuple[Language, Words]] = []
    for _ in range(documents - sum(counts.values())):
        language: Language = "zh" if draw.random() < SHARE_CHINESE else "en"
        originals.append((language, makers[language].make()))
    rows: list[tuple[Language, Words, str, int, float]] = [(*own, "original", -1, 1.0) for own in originals]
    rows += _copies(originals, counts["copy"], "copy", (SIMILAR, 1.0), draw)
    rows += _copies(originals, counts["near-miss"], "near-miss", (0.7, SIMILAR), draw)
    order = draw.sample(range(len(rows)), len(rows))
    places = {row: place for place, row in enumerate(order)}
    return [
        Planted(place, language, _join(words, language), role, places.get(original, -1), jaccard)  # type: ignore[arg-type]
        for place, (language, words, role, original, jaccard) in enumerate(rows[row] for row in order)
    ]


class _Originals:
    """Makes texts of a language from passages of its corpora."""

    def __init__(self, language: Language, draw: random.Random) -> None:
        self._language, self._draw = language, draw
        self._passages = [
            passage
            for corpus in (ENGLISH if language == "en" else CHINESE)
            for document in corpus_documents(corpus)
            for passage in _cut(document.text, language)
        ]
        self._next: list[Words] = []

    def make(self) -> Words:
        scale = 1 if self._language == "en" else CHARS_PER_WORD
        length = round(MIN_WORDS * (MAX_WORDS / MIN_WORDS) ** self._draw.random() * scale)
        words: Words = []
        while len(words) < length:
            if not self._next:
                self._next = self._draw.sample(self._passages, len(self._passages))
            words += self._next.pop()
        return words


def _cut(text: str, language: Language) -> Iterator[Words]:
    words = text.split() if language == "en" else [c for c in text if not c.isspace()]
    length = PASSAGE_WORDS if language == "en" else round(PASSAGE_WORDS * CHARS_PER_WORD)
    for start in range(0, len(words) - length + 1, length):
        yield words[start : start + length]


def _join(words: Words, language: Language) -> str:
    return " ".join(words) if language == "en" else "".join(words)


def _copies(
    originals: Sequence[tuple[Language, Words]], count: int, role: str, bounds: tuple[float, float], draw: random.Random
) -> Iterator[tuple[Language, Words, str, int, float]]:
    """Copies of random originals, some of one and some of many."""
    least, most = bounds
    made = 0
    while made < count:
        number = draw.randrange(len(originals))
        language, words = originals[number]
        size = 1 if draw.random() < 0.7 or role != "copy" else round(MAX_CLUSTER ** draw.random())
        for _ in range(min(size, count - made)):
            copy, jaccard = _copy(words, language, least, most, draw)
            made += 1
            yield language, copy, role, number, jaccard


def _copy(words: Words, language: Language, least: float, most: float, draw: random.Random) -> tuple[Words, float]:
    """A copy whose similarity is in [least, most), or up to 1."""
    length = RUN_LENGTH[language]
    own = runs_of(_join(words, language))
    for _ in range(100):
        target = draw.uniform(least, most)
        edits = round(len(words) * (1 - target) / (length * (1 + target)))
        edit = draw.choice(EDITS)
        copy = edit(words, edits, length, draw)
        similarity = jaccard(runs_of(_join(copy, language)), own)
        if least <= similarity and (similarity < most or most == 1):
            return copy, similarity
    return (list(words), 1.0) if most == 1 else _copy(words, language, least, most, draw)


def _replace(words: Words, edits: int, length: int, draw: random.Random) -> Words:
    copy = list(words)
    for place in draw.sample(range(len(words)), min(edits, len(words))):
        copy[place] = draw.choice(words)
    return copy


def _remove(words: Words, edits: int, length: int, draw: random.Random) -> Words:
    gone = set(draw.sample(range(len(words)), min(edits, len(words))))
    return [word for place, word in enumerate(words) if place not in gone]


def _add(words: Words, edits: int, length: int, draw: random.Random) -> Words:
    copy = list(words)
    for place in sorted((draw.randrange(len(words)) for _ in range(edits)), reverse=True):
        copy.insert(place, draw.choice(words))
    return copy


def _move(words: Words, edits: int, length: int, draw: random.Random) -> Words:
    """Pieces in another order: each move breaks the runs at three places."""
    copy = list(words)
    for _ in range(max(1, edits // 3)):
        start = draw.randrange(len(copy))
        piece = copy[start : start + 20]
        del copy[start : start + 20]
        place = draw.randrange(len(copy))
        copy[place:place] = piece
    return copy


def _shorten(words: Words, edits: int, length: int, draw: random.Random) -> Words:
    """Without the end, which is where the template of a page differs."""
    return words[: len(words) - 2 * edits * length + 1]


EDITS: tuple[Callable[[Words, int, int, random.Random], Words], ...] = (_replace, _remove, _add, _move, _shorten)


def jaccard(own: frozenset[str], its: frozenset[str]) -> float:
    """The similarity of two sets."""
    return len(own & its) / len(own | its)


def runs_of(text: str) -> frozenset[str]:
    """The runs of 5 words of a text, as strings; of 8, where most words are single characters."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    singles = sum(map(bool, map(SINGLE.match, words)))
    length = 8 if 2 * singles > len(words) else 5
    return frozenset(" ".join(words[start : start + length]) for start in range(len(words) - length + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    with arguments.out.open("w", encoding="utf-8") as file:
        for document in plant(arguments.documents, arguments.seed):
            file.write(json.dumps(asdict(document), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

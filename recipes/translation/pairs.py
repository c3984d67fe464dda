"""Pairs of phrases: read from files, cleaned, and divided so that no phrase has a near-duplicate on another side."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from similarity import WORD, TrigramIndex

from lmcraft.data.documents import ReadStats
from lmcraft.data.sources import read_table
from lmcraft.errors import UserError

MAX_CHARACTERS = 160  # of a phrase; longer ones are paragraphs
MIN_SIMILARITY = 0.7  # of near-duplicates
MIN_PAIRS = 200
TEST_SHARE, VALIDATION_SHARE = 0.08, 0.03
Side = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Pair:
    """A phrase and its translation; near-duplicates share a group."""

    source: str
    target: str
    group: int = 0
    side: Side = "train"


def read_pairs(files: Sequence[Path], reverse: bool = False) -> list[Pair]:
    """The different pairs of all files, on one line each, without those that are empty, too long, or not translated; with
    `reverse`, the second column is the source.

    Raises:
        UserError: a file cannot be read, has other columns, or there are too few pairs.
    """
    pairs: dict[str, Pair] = {}
    left_out: Counter[str] = Counter()
    for columns in (pair for file in files for pair in _columns(file)):
        source, target = (" ".join(text.replace("\0", " ").split()) for text in (reversed(columns) if reverse else columns))
        if not source or not target:
            left_out["empty"] += 1
        elif max(len(source), len(target)) > MAX_CHARACTERS:
            left_out[f"longer than {MAX_CHARACTERS} characters"] += 1
        elif source == target or not WORD.search(source) or not WORD.search(target):
            left_out["without words to translate"] += 1
        elif pairs.setdefault(source.casefold(), Pair(source, target)).source != source:
            left_out["repeated"] += 1
    reasons = "".join(f"; {count:,} {reason}" for reason, count in left_out.items())
    print(f"{len(pairs):,} pairs{reasons}")
    if len(pairs) < MIN_PAIRS:
        raise UserError(
            f"--pairs {' '.join(map(str, files))}: {len(pairs)} usable pairs are too few; give {MIN_PAIRS} or more"
        )
    return list(pairs.values())


def _columns(file: Path) -> Iterator[tuple[str, str]]:
    """The columns `source` and `target`, or the first two."""
    for line, row in read_table(file, ReadStats("fail", remedy="fix the row")):
        if not isinstance(row, dict) or len(row) < 2:
            raise UserError(f"{file}:{line}: a row needs two columns, such as source and target")
        names = ("source", "target") if {"source", "target"} <= row.keys() else list(row)[:2]
        yield tuple("" if row[name] is None else str(row[name]) for name in names)  # type: ignore[misc]


def divide(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """The pairs with their groups of near-duplicates, each of which is on one side."""
    groups = TrigramIndex([pair.source for pair in pairs]).groups(MIN_SIMILARITY)
    sizes = Counter(groups)
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    sides: dict[int, Side] = {}
    count = 0
    for group in order:
        share = count / len(pairs)
        sides[group] = "test" if share < TEST_SHARE else "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"
        count += sizes[group]
    return [replace(pair, group=group, side=sides[group]) for pair, group in zip(pairs, groups, strict=True)]

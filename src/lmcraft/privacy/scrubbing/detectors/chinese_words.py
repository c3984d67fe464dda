"""How much better a Chinese name explains a text than ordinary words do.

Around each surname, the most probable way to cut the text into words and one name is compared with the most probable way
to cut it into words alone (a unigram model, as word segmentation has it). All surnames of a text are tried together.

Shapes: N characters of a text, R names that are tried.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmcraft.privacy.scrubbing.tables import chinese_words, given_name_characters, read_words

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WINDOW_CHARS = 3
"""Before and after a name: what may be a word with a part of it."""
PADDING = WINDOW_CHARS + 4
WINDOW = range(-WINDOW_CHARS, 4 + WINDOW_CHARS)
"""Positions around the start of a name, of at most four characters."""
UNKNOWN_CHARACTER, UNKNOWN_GIVEN, NEVER = math.log(2e-8), math.log(4e-7), -1e6
COMPOUND_SURNAME = math.log(1e-3)
RARE_SURNAME = math.log(0.15)
NAME_PRIOR = math.log(2e-3)
TWICE = math.log(0.02)
"""Of the second of two equal characters of a given name."""
ONE_GIVEN, TWO_GIVEN = math.log(0.2), math.log(0.8)
BITS = 17
MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


class Words(NamedTuple):
    """Words of some characters, in tables that arrays of keys look up; where two fall together, the rarer is left out."""

    keys: tuple[NDArray[np.uint64], ...]
    values: tuple[Floats, ...]

    @classmethod
    def build(cls, words: Mapping[str, float]) -> "Words":
        """Tables of words."""
        keys = tuple(np.zeros(1 << BITS, dtype=np.uint64) for _ in MULTIPLIERS)
        values = tuple(np.full(1 << BITS, NEVER) for _ in MULTIPLIERS)
        for word, value in sorted(words.items(), key=lambda item: (-item[1], item[0])):
            key = int.from_bytes(word.encode("utf-16-be"))
            for table, scores, multiplier in zip(keys, values, MULTIPLIERS, strict=True):
                slot = (key * multiplier % 2**64) >> (64 - BITS)
                if not table[slot]:
                    table[slot], scores[slot] = key, value
                    break
        return cls(keys, values)

    def look_up(self, keys: NDArray[np.uint64]) -> Floats:
        """The logarithm of the probability of each word; `NEVER` if it is none."""
        result = np.full(len(keys), NEVER)
        for table, scores, multiplier in zip(self.keys, self.values, MULTIPLIERS, strict=True):
            slots = (keys * np.uint64(multiplier)) >> np.uint64(64 - BITS)
            is_word = table[slots] == keys
            result[is_word] = scores[slots[is_word]]
        return result


class Tables(NamedTuple):
    """By character below U+10000, (65536,): logarithms of probabilities; and words of two and three characters."""

    single: Floats
    """As a word; 0 if it is not Chinese."""
    surname: Floats
    name_part: Floats
    """In a given name; `NEVER` if it is not Chinese."""
    is_given: NDArray[np.bool_]
    is_compound: NDArray[np.bool_]
    """Whether it starts a surname of two characters."""
    pairs: Words
    triples: Words
    compounds: Words


class Probabilities(NamedTuple):
    """Of the words of one, two and three characters that start at each position, (N + 2 * PADDING,)."""

    single: Floats
    pair: Floats
    triple: Floats


def score_names(text: str) -> tuple[Integers, Integers, Floats]:
    """The names that a text may have, by position, then by length.

    Returns:
        Positions, lengths and margins, (R,): the logarithm of the ratio of two probabilities, with a name and without.
    """
    tables = _tables()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    codes[codes > 0xFFFF] = 0
    codes = np.pad(codes, PADDING)
    inner = codes[PADDING:-PADDING]
    following = codes[PADDING + 1 : 1 - PADDING]
    is_single = (tables.surname[inner] > NEVER) & tables.is_given[following]
    starts, is_compound = np.flatnonzero(is_single), np.flatnonzero(tables.is_compound[inner])
    sizes, surnames = np.ones(len(starts), dtype=np.int64), tables.surname[inner[starts]]
    if len(is_compound):
        shares = tables.compounds.look_up(inner[is_compound] << np.uint64(16) | following[is_compound])
        kept = (shares > NEVER) & tables.is_given[codes[is_compound + (PADDING + 2)]]
        starts = np.append(starts, is_compound[kept])
        sizes = np.append(sizes, np.full(kept.sum(), 2))
        surnames = np.append(surnames, shares[kept])
    if not len(starts):
        return starts, starts, np.empty(0)
    before, after = _words_around(starts + PADDING, _probabilities(codes, tables))
    scores = NAME_PRIOR + surnames + before - after[0]
    columns, first = [], scores
    for count, prior in ((1, ONE_GIVEN), (2, TWO_GIVEN)):
        lengths = sizes + count
        scores = scores + tables.name_part[codes[starts + (PADDING - 1) + lengths]]
        if count == 2:  # 圆圆
            is_twice = codes[starts + (PADDING - 1) + lengths] == codes[starts + (PADDING - 2) + lengths]
            scores = np.where(is_twice, np.maximum(scores, first + TWICE), scores)
        first = scores
        margins = scores + prior + after[WINDOW_CHARS + lengths, np.arange(len(starts))]
        kept = margins > NEVER / 2
        columns.append((starts[kept], lengths[kept], margins[kept]))
    positions, lengths, margins = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((lengths, positions))
    return positions[order], lengths[order], margins[order]


def _words_around(starts: Integers, words: Probabilities) -> tuple[Floats, Floats]:
    """The logarithms of the probabilities of the best words in a window around each name.

    Returns:
        That of the characters before the name, (R,); and those from the n-th character of the window to its end, by n,
        (window + 1, R).
    """
    singles, pairs, triples = ([table[starts + offset] for offset in WINDOW] for table in words)
    after = np.zeros((len(WINDOW) + 1, len(starts)))
    for n in reversed(range(len(WINDOW))):
        value = singles[n] + after[n + 1]
        if n + 2 <= len(WINDOW):
            value = np.maximum(value, pairs[n] + after[n + 2])
        if n + 3 <= len(WINDOW):
            value = np.maximum(value, triples[n] + after[n + 3])
        after[n] = value
    a, b, c = singles[:WINDOW_CHARS]
    before = np.maximum(a + np.maximum(b + c, pairs[1]), np.maximum(pairs[0] + c, triples[0]))
    return before, after


def _probabilities(codes: NDArray[np.uint64], tables: Tables) -> Probabilities:
    pairs = codes[:-1] << np.uint64(16) | codes[1:]
    triples = pairs[:-1] << np.uint64(16) | codes[2:]
    return Probabilities(
        tables.single[codes],
        np.append(tables.pairs.look_up(pairs), NEVER),
        np.append(tables.triples.look_up(triples), [NEVER, NEVER]),
    )


@cache
def _tables() -> Tables:
    words, shares, surnames = chinese_words(), given_name_characters(), _surnames()
    characters = {chr(code) for code in range(0x4E00, 0xA000)}

    def fill(values: Mapping[str, float], otherwise: float) -> Floats:
        table = np.full(0x10000, otherwise)
        table[[ord(character) for character in values]] = list(values.values())
        return table

    compounds = {name: share for name, share in surnames.items() if len(name) == 2}
    return Tables(
        single=fill({character: words.get(character, UNKNOWN_CHARACTER) for character in characters}, 0.0),
        surname=fill({name: share for name, share in surnames.items() if len(name) == 1}, NEVER),
        name_part=fill({character: shares.get(character, UNKNOWN_GIVEN) for character in characters}, NEVER),
        is_given=fill(dict.fromkeys(shares, 1.0), 0.0) > 0,
        is_compound=fill({name[0]: 1.0 for name in compounds}, 0.0) > 0,
        pairs=Words.build({word: value for word, value in words.items() if len(word) == 2}),
        triples=Words.build({word: value for word, value in words.items() if len(word) == 3}),
        compounds=Words.build(compounds),
    )


def _surnames() -> dict[str, float]:
    """Each surname, and the logarithm of the share of people with it, which falls about as one over its rank."""
    names = dict.fromkeys(read_words("surnames.zh.txt"))
    shares = {name: math.log(0.3 / (rank + 4)) for rank, name in enumerate(names)}
    shares |= {name: shares[name] + RARE_SURNAME for name in read_words("rare-surnames.zh.txt") if name in shares}
    return shares | dict.fromkeys(read_words("compound-surnames.zh.txt"), COMPOUND_SURNAME)

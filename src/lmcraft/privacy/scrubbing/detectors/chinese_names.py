"""Chinese names: a surname and characters of given names where a name explains the text better than ordinary words do.

`chinese_words.py` compares the two; what stands before and after, such as "姓名：" or "先生", adds to the name.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.privacy.scrubbing.detectors.chinese_words import score_names
from lmcraft.privacy.scrubbing.kinds import Finding
from lmcraft.privacy.scrubbing.tables import read_words

MIN_MARGIN = -1.0
"""From which a passage is a name: missing one costs more than redacting a word."""
MAX_LOSS = 5.0
"""In the margin of a name that stands elsewhere in the text, too."""
LABEL_BONUS, ROLE_BONUS, TITLE_BONUS, SIGN_BONUS, WORD_BONUS = 8.0, 6.0, 5.0, 1.5, 1.5
ROLES = frozenset(read_words("roles.zh.txt"))
TITLES = frozenset(read_words("titles.zh.txt"))
BEFORE = frozenset(read_words("verbs.zh.txt"))
AFTER = frozenset(read_words("not-given.zh.txt")) | frozenset("和向已来今正任可会应")
SIGNS_BEFORE = frozenset("，。；：、！？“「《（(【[,:;\"'\t\n|>= ")
SIGNS_AFTER = frozenset("，。；：、！？”」》（）()】],:;\"'\t\n|< ")
SEXES, SIGNS_BEFORE_SEX = frozenset("男女"), frozenset("，,（( \t")
LABEL_SIGNS = frozenset(":：=")
LABEL_GAP = " \t\"'“”"
BRACKETS = "）)"
EXAMPLES, EXAMPLE_BONUS = frozenset(["张三", "李四", "王五", "赵六"]), 4.5
"""Names that stand for any name."""
MAX_ROLE_CHARS, MAX_GAP_CHARS = 5, 4


def find_chinese_names(text: str) -> Iterator[Finding]:
    """Names of Chinese people."""
    starts, lengths, margins = score_names(text)
    if not len(starts):
        return
    names = list(_drop_worse(_best_names(text, starts, lengths, margins)))
    yield from (Finding("name", start, start + length) for start, length, _ in names)
    accepted = {text[start : start + length] for start, length, _ in names if length > 2}
    if not accepted:
        return
    is_long = (lengths > 2) & (margins >= MIN_MARGIN - MAX_LOSS)
    for start, length in zip(starts[is_long].tolist(), lengths[is_long].tolist(), strict=True):
        if text[start : start + length] in accepted:  # elsewhere with less around it
            yield Finding("name", start, start + length)


def _best_names(
    text: str, starts: NDArray[np.int64], lengths: NDArray[np.int64], margins: NDArray[np.float64]
) -> Iterator[tuple[int, int, float]]:
    """Of each surname with a probable name: position, length of the best one, margin with what stands around."""
    before, after = _largest_bonuses()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes = np.concatenate([[10], np.minimum(codes, 0xFFFF), [10]])
    kept = margins + before[codes[starts]] + after[codes[starts + lengths + 1]] >= MIN_MARGIN
    best: tuple[int, int, float] | None = None
    bonus = 0.0
    for start, length, margin in zip(starts[kept].tolist(), lengths[kept].tolist(), margins[kept].tolist(), strict=True):
        if best is None or best[0] != start:
            if best is not None:
                yield best
            best, bonus = None, _bonus_before(text, start)
        total = margin + bonus + _bonus_after(text, start + length)
        if text[start : start + length] in EXAMPLES:
            total += EXAMPLE_BONUS
        if total >= MIN_MARGIN and (best is None or total > best[2]) and not _is_title(text, start + 1):
            best = start, length, total
    if best is not None:
        yield best


def _drop_worse(names: Iterable[tuple[int, int, float]]) -> Iterator[tuple[int, int, float]]:
    """Of names that overlap, the one with the larger margin."""
    last: tuple[int, int, float] | None = None
    for name in names:
        if last is None or name[0] >= last[0] + last[1]:
            if last is not None:
                yield last
            last = name
        elif name[2] > last[2]:
            last = name
    if last is not None:
        yield last


@cache
def _largest_bonuses() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The most that a character before and after a name may add, (65536,) each."""
    before, after = np.zeros(0x10000), np.zeros(0x10000)
    for words, bonus, table, position in (
        (BEFORE, WORD_BONUS, before, -1),
        (ROLES, ROLE_BONUS, before, -1),
        (SIGNS_BEFORE, SIGN_BONUS, before, -1),
        (LABEL_SIGNS | set(LABEL_GAP), LABEL_BONUS, before, -1),
        (AFTER, WORD_BONUS, after, 0),
        (SIGNS_AFTER, SIGN_BONUS, after, 0),
        (SIGNS_BEFORE_SEX | TITLES, TITLE_BONUS, after, 0),
    ):
        for word in words:
            code = ord(word[position])
            table[code] = max(table[code], bonus)
    return before, after


def _bonus_before(text: str, start: int) -> float:
    before = text[start - 1 : start]
    if not before:
        return SIGN_BONUS
    if before in SIGNS_BEFORE or before in LABEL_GAP:
        position = start
        while position > start - MAX_GAP_CHARS and text[position - 1 : position] in LABEL_GAP and position:
            position -= 1
        if position and text[position - 1] in LABEL_SIGNS:
            return LABEL_BONUS if _ends_with(text, position - 1, ROLES, MAX_ROLE_CHARS) else SIGN_BONUS
        return SIGN_BONUS
    if _ends_with(text, start, ROLES, MAX_ROLE_CHARS):
        return ROLE_BONUS
    return WORD_BONUS if _ends_with(text, start, BEFORE, 2) else 0.0


def _bonus_after(text: str, stop: int) -> float:
    after = text[stop : stop + 1]
    if not after or after in SIGNS_AFTER:
        return TITLE_BONUS if after in SIGNS_BEFORE_SEX and text[stop + 1 : stop + 2] in SEXES else SIGN_BONUS
    if _is_title(text, stop):
        return TITLE_BONUS
    return 1.0 if after in AFTER else 0.0


def _is_title(text: str, start: int) -> bool:
    return text[start : start + 2] in TITLES or text[start : start + 1] in TITLES or text[start : start + 3] in TITLES


def _ends_with(text: str, stop: int, words: frozenset[str], longest: int) -> bool:
    """Whether one of the words ends at a position; quotes, spaces and brackets before it do not count."""
    while stop and (text[stop - 1] in LABEL_GAP or text[stop - 1] in BRACKETS):
        stop -= 1
    for size in range(1, min(longest, stop) + 1):  # noqa: SIM110 - twice as fast as any()
        if text[stop - size : stop] in words:
            return True
    return False

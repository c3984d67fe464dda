"""Words in the views of a text, and what only a list of words can tell: masked letters (d*ng), Chinese by sound."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from lmcraft.moderation.lexicon.matcher import NO_MATCHES, Matches, split_key
from lmcraft.moderation.lexicon.opener import Matcher
from lmcraft.moderation.lexicon.passages import in_original
from lmcraft.moderation.normalization import (
    MERGED,
    SOUNDS,
    is_respelling,
    latin_pinyin,
    merge_letters,
    normalize_term,
    to_sounds,
)
from lmcraft.moderation.normalization.plain import to_codes
from lmcraft.moderation.normalized_text import NormalizedText, View

MASKS = "*#%&$@"
MASK = re.compile(rf"[{MASKS}]+(?=[a-z])")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
LETTERS_AND_MASKS = LETTERS.union(MASKS)
MASK_KINDS = np.array([(chr(code) in LETTERS) + 2 * (chr(code) in MASKS) for code in range(128)], dtype=np.uint8)
"""Of each character in ASCII: 1 for a letter, 2 for a mask."""
MIN_MASKED_CHARS, MAX_MASKED_CHARS = 4, 24
"""Of shorter words too little is left."""
PHRASE = re.compile(r"[a-z']+(?: [a-z']+)+")
UNDISGUISED = re.compile(r"[a-z' ]+")
TELLING = frozenset("傻屄肏屌婊骚贱淫妓嫖")
"""Characters that hardly stand in a word that merely sounds like another."""


class Spellings:
    """Finds spellings.

    Args:
        spellings: the tokens of each, and what it stands for; the first of several with the same tokens counts.
    """

    def __init__(self, spellings: Iterable[tuple[tuple[str, ...], int]]) -> None:
        unique: dict[tuple[str, ...], int] = {}
        for tokens, key in spellings:
            unique.setdefault(tokens, key)
        self._keys = np.array(list(unique.values()), dtype=np.int64)
        self._matcher = Matcher(list(unique)) if unique else None

    def find(self, text: str) -> Matches:
        """(start, end, key) of all spellings in a text."""
        if self._matcher is None:
            return NO_MATCHES
        matches = self._matcher.find(text)
        matches[:, 2] = self._keys[matches[:, 2]]
        return matches


class Vocabulary:
    """Finds words in the views of a text: as they are, and in disguises that only a list of words can tell.

    Args:
        words: the tokens of each word, in the plain view.
        strong: the positions of those that are looked for in disguises.
        doubtful: of some of two Chinese characters, what stands for them where they may be meant: many ordinary words sound
            like them.
    """

    def __init__(self, words: Sequence[tuple[str, ...]], strong: Sequence[int], doubtful: Mapping[int, int]) -> None:
        self._doubtful = doubtful
        self._texts = {key: "".join(words[key]) for key in strong}
        self._masked: dict[tuple[int, str], list[int]] = {}  # by length and first letter
        for key, text in self._texts.items():
            if MIN_MASKED_CHARS <= len(text) <= MAX_MASKED_CHARS and text.isascii() and text.isalpha():
                self._masked.setdefault((len(text), text[0]), []).append(key)
        chinese = {key: text for key, text in self._texts.items() if not any(map(str.isascii, text))}
        latin = [(tuple(split_key(name)), key) for key, text in chinese.items() for name in latin_pinyin(text)]
        sounds = {key: to_sounds(text) for key, text in chinese.items()}
        joined = {key: re.sub("[ ']", "", text) for key, text in self._texts.items() if PHRASE.fullmatch(text)}
        merged = [(text, key) for key, text in self._texts.items() if text.isascii()]
        self._plain = Spellings(chain(zip(words, range(len(words)), strict=True), latin))
        # Of phrases that are split, no spaces are left.
        unspaced = [((text,), key) for key, text in joined.items()]
        self._unmasked = Spellings(chain(((words[key], key) for key in strong), latin, unspaced))
        merged += [(text, key) for key, text in joined.items()]
        self._merged = Spellings((tuple(split_key(merge_letters(text))), key) for text, key in merged)
        self._sounds = Spellings((tuple(split_key(sound)), key) for key, sound in sounds.items() if len(sound) > 1)

    def find(self, text: NormalizedText, view: View) -> Matches:
        """(start, end, key) of the words in a view, as passages of the original text."""
        if view.name == SOUNDS:
            return self._find_sounds(text, view)
        if view.name == MERGED:
            return self._find_merged(text, view)
        if view is not text.plain:
            return in_original(view, self._unmasked.find(view.text))
        matches, masked = self._plain.find(view.text), self._find_masked(view.text)
        return in_original(view, np.concatenate([matches, masked]) if len(masked) else matches)

    def _find_merged(self, text: NormalizedText, view: View) -> Matches:
        """Words with digits and signs; in one without any, an "i" is an "i"."""
        matches = self._merged.find(view.text)
        if not len(matches):
            return matches
        passages = in_original(view, matches)
        plain = [normalize_term(text.original[start:end]) for start, end, _ in passages.tolist()]
        return passages[np.array([UNDISGUISED.fullmatch(passage) is None for passage in plain], dtype=np.bool_)]

    def _find_sounds(self, text: NormalizedText, view: View) -> Matches:
        matches = self._sounds.find(view.text)
        if not len(matches):
            return matches
        passages = in_original(view, matches)
        meanings: dict[tuple[str, int], int | None] = {}  # a hostile text repeats itself
        for number, (start, end, key) in enumerate(matches.tolist()):
            spelling = text.original[passages[number, 0] : passages[number, 1]], key
            if spelling not in meanings:
                is_meant = is_respelling(text, view, start, end, self._texts[key])
                meanings[spelling] = self._meaning(*spelling) if is_meant else None
            passages[number, 2] = -1 if (meaning := meanings[spelling]) is None else meaning
        return passages[passages[:, 2] >= 0]

    def _meaning(self, spelling: str, key: int) -> int:
        """The key, or the doubtful one of two characters of which none that tells is left."""
        return key if TELLING.intersection(spelling) else self._doubtful.get(key, key)

    def _find_masked(self, text: str) -> Matches:
        """Of several words that fit, the first."""
        matches: list[tuple[int, int, int]] = []
        last = 0
        for position in _masks_after_letters(text):
            if position >= last and MASK.match(text, position):
                start, last = _masked_word(text, position)
                key = self._complete(text[start:last])
                if key is not None:
                    matches.append((start, last, key))
        return np.array(matches, dtype=np.int64).reshape(-1, 3) if matches else NO_MATCHES

    def _complete(self, masked: str) -> int | None:
        for key in self._masked.get((len(masked), masked[0]), ()):
            if all(sign == letter or sign in MASKS for sign, letter in zip(masked, self._texts[key], strict=True)):
                return key if 2 * sum(sign in MASKS for sign in masked) <= len(masked) else None
        return None


def _masks_after_letters(text: str) -> list[int]:
    codes = np.frombuffer(text.encode(), dtype=np.uint8) if text.isascii() else np.minimum(to_codes(text), ord("z") + 1)
    kinds = MASK_KINDS[codes]
    positions: list[int] = (np.flatnonzero((kinds[1:] == 2) & (kinds[:-1] == 1)) + 1).tolist()
    return positions


def _masked_word(text: str, position: int) -> tuple[int, int]:
    """Start and end of the letters and masks around a position; so far apart that it is no word if it is too long."""
    start = end = position
    while start > 0 and position - start < MAX_MASKED_CHARS and text[start - 1] in LETTERS_AND_MASKS:
        start -= 1
    while end < len(text) and end - position < MAX_MASKED_CHARS and text[end] in LETTERS_AND_MASKS:
        end += 1
    while text[start] in MASKS:  # emphasis
        start += 1
    while text[end - 1] in MASKS:
        end -= 1
    is_whole = not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
    return (start, end) if is_whole else (end - 1, end)

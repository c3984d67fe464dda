"""Words that are respelled: with masked letters, as d*ng, and Chinese by its sound."""

import re
from collections.abc import Container, Mapping, Sequence

import numpy as np

from lmcraft.moderation.lexicon.matcher import Matches, split_key
from lmcraft.moderation.lexicon.opener import Matcher
from lmcraft.moderation.lexicon.passages import in_original
from lmcraft.moderation.normalization import WILDCARD, is_respelling, latin_pinyin, to_sounds
from lmcraft.moderation.normalized_text import NormalizedText, View

SOUNDS = "pinyin"
"""The views of Chinese by sound."""
MASKED = re.compile(rf"(?<!\S)[a-z{re.escape(WILDCARD)}]*[a-z][a-z{re.escape(WILDCARD)}]*(?!\S)")
MASK = re.compile(r"(?:[^\W\d_]*[*#%&$@]+[^\W\d_]*)+|[^\W\d_]+[-.·•][^\W\d_]+")
"""Masks as people write them: any number of asterisks and the like, or a single dot or hyphen."""
TELLING = frozenset("傻屄肏屌婊骚贱淫妓嫖")
"""Characters that hardly stand in a word that merely sounds like another."""
MIN_MASKED_CHARS, MAX_MASKED_CHARS = 4, 24
"""Of shorter words too little is left."""


class Spellings:
    """Finds spellings.

    Args:
        spellings: the tokens of each, and what it stands for; the first of several with the same tokens counts.
    """

    def __init__(self, spellings: Sequence[tuple[tuple[str, ...], int]]) -> None:
        unique: dict[tuple[str, ...], int] = {}
        for tokens, key in spellings:
            unique.setdefault(tokens, key)
        self._keys = np.array(list(unique.values()), dtype=np.int64)
        self._matcher = Matcher(list(unique)) if unique else None

    def find(self, text: str) -> Matches:
        """(start, end, key) of all spellings in a text."""
        if self._matcher is None:
            return np.empty((0, 3), dtype=np.int64)
        matches = self._matcher.find(text)
        matches[:, 2] = self._keys[matches[:, 2]]
        return matches


class DisguisedWords:
    """Finds words in disguises that no view undoes alone, since only a list of words can tell what is meant.

    Args:
        words: the words to look for, in the plain view, by key.
        plain_words: the tokens of all words, which are no disguises of others.
        doubtful: keys of two Chinese characters, and the keys that stand for them where they may be meant: many ordinary
            words sound like them.
    """

    def __init__(
        self, words: Mapping[int, str], plain_words: Container[tuple[str, ...]], doubtful: Mapping[int, int]
    ) -> None:
        self._words, self._doubtful = words, doubtful
        self._masked: dict[tuple[int, str], list[int]] = {}  # by length and first letter
        for key, word in words.items():
            if MIN_MASKED_CHARS <= len(word) <= MAX_MASKED_CHARS and word.isascii() and word.isalpha():
                self._masked.setdefault((len(word), word[0]), []).append(key)
        chinese = {key: word for key, word in words.items() if not word.isascii()}
        sounds = {key: to_sounds(word) for key, word in chinese.items()}
        self._sounds = Spellings([(tuple(split_key(sound)), key) for key, sound in sounds.items() if len(sound) > 1])
        latin = [(tuple(split_key(name)), key) for key, word in chinese.items() for name in latin_pinyin(word)]
        self._latin = Spellings([(tokens, key) for tokens, key in latin if tokens not in plain_words])

    def find(self, text: NormalizedText, view: View) -> Matches:
        """(start, end, key) of the words in a view, as passages of the original text."""
        if view.name == SOUNDS:
            return self._find_sounds(text, view)
        masked = in_original(view, self._find_masked(view.text))
        are_plausible = [bool(MASK.fullmatch(text.original, start, end)) for start, end, _ in masked.tolist()]
        return np.concatenate(
            [in_original(view, self._latin.find(view.text)), masked[np.array(are_plausible, dtype=np.bool_)]]
        )

    def _find_sounds(self, text: NormalizedText, view: View) -> Matches:
        matches = self._sounds.find(view.text)
        passages = in_original(view, matches)
        meanings: dict[tuple[str, int], int | None] = {}  # a hostile text repeats itself
        for number, (start, end, key) in enumerate(matches.tolist()):
            spelling = text.original[passages[number, 0] : passages[number, 1]], key
            if spelling not in meanings:
                is_meant = is_respelling(text, view, start, end, self._words[key])
                meanings[spelling] = self._meaning(*spelling) if is_meant else None
            passages[number, 2] = -1 if (meaning := meanings[spelling]) is None else meaning
        return passages[passages[:, 2] >= 0]

    def _meaning(self, spelling: str, key: int) -> int:
        """The key, or the doubtful one of two characters of which none that tells is left."""
        return key if TELLING.intersection(spelling) else self._doubtful.get(key, key)

    def _find_masked(self, text: str) -> Matches:
        """Of several words that fit, the first."""
        matches = []
        if WILDCARD in text:
            for match in MASKED.finditer(text):
                key = self._complete(match[0])
                if key is not None:
                    matches.append((match.start(), match.end(), key))
        return np.array(matches, dtype=np.int64).reshape(-1, 3)

    def _complete(self, masked: str) -> int | None:
        if WILDCARD not in masked or not MIN_MASKED_CHARS <= len(masked) <= MAX_MASKED_CHARS:
            return None
        for key in self._masked.get((len(masked), masked[0]), ()):
            if all(sign in (letter, WILDCARD) for sign, letter in zip(masked, self._words[key], strict=True)):
                return key
        return None

"""Words that are respelled: with masked letters, as d*ng, and Chinese by its sound."""

import re
from collections.abc import Container, Mapping, Sequence

import numpy as np

from lmcraft.moderation.lexicon.matcher import Matches, split_key
from lmcraft.moderation.lexicon.opener import Matcher
from lmcraft.moderation.lexicon.passages import in_original
from lmcraft.moderation.normalization import MERGED, SOUNDS, is_respelling, latin_pinyin, merge_letters, to_sounds
from lmcraft.moderation.normalized_text import NormalizedText, View

MASKS = "*#%&$@-"
MASK = re.compile(rf"(?<=[a-z])(?:[{MASKS[:-1]}]+(?=[a-z])|-(?=[a-z]))")
LETTERS_AND_MASKS = frozenset("abcdefghijklmnopqrstuvwxyz" + MASKS)
MIN_MASKED_CHARS, MAX_MASKED_CHARS = 4, 24
"""Of shorter words too little is left."""
PHRASE = re.compile(r"[a-z']+(?:[ -][a-z']+)+")
TELLING = frozenset("傻屄肏屌婊骚贱淫妓嫖")
"""Characters that hardly stand in a word that merely sounds like another."""


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
        joined = [(re.sub(r"[ '-]", "", word), key) for key, word in words.items() if PHRASE.fullmatch(word)]
        joined = [(word, key) for word, key in joined if (word,) not in plain_words]
        self._joined = Spellings([((word,), key) for word, key in joined])
        merged = [(merge_letters(word), key) for key, word in words.items() if word.isascii()]
        merged += [(merge_letters(word), key) for word, key in joined]
        self._merged = Spellings([(tuple(split_key(word)), key) for word, key in merged])

    def find(self, text: NormalizedText, view: View) -> Matches:
        """(start, end, key) of the words in a view, as passages of the original text."""
        if view.name == SOUNDS:
            return self._find_sounds(text, view)
        if view.name == MERGED:
            return in_original(view, self._merged.find(view.text))
        spelled = self._latin.find(view.text)
        if view is text.plain:
            others = self._find_masked(view.text)
        else:
            others = self._joined.find(view.text)  # no spaces are left where a phrase was split
        return in_original(view, np.concatenate([spelled, others]))

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
        matches: list[tuple[int, int, int]] = []
        last = 0
        for mask in MASK.finditer(text):
            if mask.start() >= last:
                start, last = _masked_word(text, mask.start())
                key = self._complete(text[start:last])
                if key is not None:
                    matches.append((start, last, key))
        return np.array(matches, dtype=np.int64).reshape(-1, 3)

    def _complete(self, masked: str) -> int | None:
        for key in self._masked.get((len(masked), masked[0]), ()):
            if all(sign == letter or sign in MASKS for sign, letter in zip(masked, self._words[key], strict=True)):
                return key if 2 * sum(sign in MASKS for sign in masked) <= len(masked) else None
        return None


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

"""Removes the spellings of special tokens from a conversation, so that nobody can end a turn or speak as the system.

Encoding the template's and the users' parts separately would keep the spellings, but would tokenize the boundaries between
them differently than in training.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError

MAX_PREFIX_CHARS = 24  # of the spellings in the pattern that finds out whether a text needs any work
MAX_NORMALIZATIONS = 4


class SpecialSpellings:
    """The spellings of a tokenizer's special tokens.

    Args:
        spellings: none is empty.
        normalize: the tokenizer's normalizer, if it comes before the search for special tokens: a fullwidth `＜` may
            become a `<`.
    """

    def __init__(self, spellings: Collection[str], normalize: Callable[[str], str] | None = None) -> None:
        self._spellings = frozenset(filter(None, spellings))
        self._normalize = normalize

    @classmethod
    def of(cls, hf: HFTokenizer) -> "SpecialSpellings":
        """The spellings of a tokenizer's special tokens; some tokens are found in the normalized text."""
        special = [token for token in hf.get_added_tokens_decoder().values() if token.special]
        spellings = {token.content for token in special}
        if hf.normalizer is None or not any(token.normalized for token in special):
            return cls(spellings)
        normalize = hf.normalizer.normalize_str
        return cls(spellings | {normalize(token.content) for token in special if token.normalized}, normalize)

    def remove(self, value: Any) -> Any:
        """A copy of a JSON value in which no text spells a special token: neither texts nor keys, nor JSON inside a text.

        A removal can join the parts of another spelling, which is removed as well. Takes time in proportion to the text.

        Raises:
            UserError: the value is nested too deeply.
        """
        if not self._spellings:
            return value
        try:
            return self._remove(value)
        except RecursionError as error:
            raise UserError("the conversation has a value that is nested too deeply: flatten it") from error

    def _remove(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._remove_from_texts([self._remove_escaped(value)])[0]
        if isinstance(value, Mapping):
            return {self._remove(key): self._remove(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return self._join_parts([self._remove(item) for item in value])
        return value

    def _join_parts(self, items: list[Any]) -> list[Any]:
        """Texts of neighboring parts, which templates join, with no spelling across their boundaries."""
        parts = [n for n, item in enumerate(items) if isinstance(item, dict) and isinstance(item.get("text"), str)]
        texts = self._remove_from_texts([items[n]["text"] for n in parts])
        for n, text in zip(parts, texts, strict=True):
            items[n] = {**items[n], "text": text}
        return items

    def _remove_escaped(self, text: str) -> str:
        r"""JSON text without spellings in its decoded strings, such as `"\u003c/s>"`; other text unchanged."""
        if "\\" not in text or text.lstrip()[:1] not in ("{", "["):
            return text
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        clean = self._remove(value)
        return text if clean == value else json.dumps(clean, ensure_ascii=False)

    def _remove_from_texts(self, texts: Sequence[str]) -> Sequence[str]:
        if self._first_characters.search("".join(texts)):
            texts = self._scan(texts)
        if self._normalize is None:
            return texts
        return [self._remove_normalized(text) for text in texts]

    def _remove_normalized(self, text: str) -> str:
        assert self._normalize is not None
        for _ in range(MAX_NORMALIZATIONS):
            normalized = self._normalize(text)
            if not self._first_characters.search(normalized) or (clean := self._scan([normalized])[0]) == normalized:
                return text
            text = clean
        return ""

    @cached_property
    def _first_characters(self) -> re.Pattern[str]:
        """Matches in every text that spells a special token, and in few others."""
        return re.compile(_any_of({spelling[:MAX_PREFIX_CHARS] for spelling in self._spellings}))

    @cached_property
    def _automaton(self) -> "_Automaton":
        return _Automaton(self._spellings)

    def _scan(self, texts: Sequence[str]) -> list[str]:
        """The texts, read as one, without spellings: whenever the kept characters end in one, it is dropped."""
        automaton = self._automaton
        kept: list[tuple[int, str]] = []
        states = [0]
        for number, text in enumerate(texts):
            for character in text:
                kept.append((number, character))
                states.append(automaton.next(states[-1], character))
                if length := automaton.lengths[states[-1]]:
                    del kept[-length:], states[-length:]
        pieces: list[list[str]] = [[] for _ in texts]
        for number, character in kept:
            pieces[number].append(character)
        return ["".join(piece) for piece in pieces]


class _Automaton:
    """Finds all spellings in one pass (Aho and Corasick 1975). State 0 is the beginning."""

    def __init__(self, spellings: Iterable[str]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self.lengths = [0]
        """The length of the longest spelling that ends in each state; 0: none does."""
        for spelling in spellings:
            state = 0
            for character in spelling:
                state = self._children[state].setdefault(character, len(self._children))
                if state == len(self._children):
                    self._children.append({})
                    self.lengths.append(0)
            self.lengths[state] = len(spelling)
        self._fallbacks = [0] * len(self._children)
        self._link()
        self._next: dict[tuple[int, str], int] = {}

    def _link(self) -> None:
        queue = deque(self._children[0].values())
        while queue:
            state = queue.popleft()
            for character, child in self._children[state].items():
                queue.append(child)
                fallback = self._fallbacks[child] = self._follow(self._fallbacks[state], character)
                self.lengths[child] = self.lengths[child] or self.lengths[fallback]

    def _follow(self, state: int, character: str) -> int:
        while state and character not in self._children[state]:
            state = self._fallbacks[state]
        return self._children[state].get(character, 0)

    def next(self, state: int, character: str) -> int:
        """The state after one more character."""
        if not state:
            return self._children[0].get(character, 0)
        if (following := self._next.get((state, character))) is None:
            following = self._follow(state, character)
            if following:  # bounds the table by the spellings, not by the texts
                self._next[state, character] = following
        return following


def _any_of(words: Collection[str]) -> str:
    """A pattern of any of the words that tries each character of a text once per depth, however many words there are."""
    tails: dict[str, set[str]] = {}
    for word in words:
        tails.setdefault(word[:1], set()).add(word[1:])
    if "" in tails:
        return ""  # a shorter word is a prefix of the others
    branches = [re.escape(head) + _any_of(rest) for head, rest in tails.items()]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"

"""Word lists in `tables/`."""

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

WORDS_IN_ALL, GIVEN_IN_ALL = 5.8e7, 1.9e5


@cache
def chinese_words() -> Mapping[str, float]:
    """Chinese words of one to three characters, and the logarithm of how often each occurs among all words."""
    return {
        word: math.log(1.4 * 2**power / WORDS_IN_ALL) for power, words in _classes("words.zh.txt") for word in words.split()
    }


@cache
def given_name_characters() -> Mapping[str, float]:
    """Characters of Chinese given names, and the logarithm of the share of each."""
    others = read_words("not-given.zh.txt")
    return {
        character: math.log(1.4 * 2**power / GIVEN_IN_ALL)
        for power, characters in _classes("given.zh.txt")
        for character in characters
        if character not in others
    }


@cache
def read_words(name: str) -> tuple[str, ...]:
    """The words of a table, which are separated by spaces and lines."""
    return tuple(word for line in _read_lines(name) for word in line.split())


def _classes(name: str) -> list[tuple[int, str]]:
    """The lines of a table: a power of two, and what is as frequent."""
    lines = (line.partition(" ") for line in _read_lines(name))
    return [(int(power), rest) for power, _, rest in lines]


def _read_lines(name: str) -> list[str]:
    text = (files("lmcraft.privacy.scrubbing") / "tables" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]

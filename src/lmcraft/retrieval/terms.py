"""The words that are searched for: stems of words in Latin script, and pairs of neighboring Chinese characters."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from lmcraft.extras import import_optional

_WORD = re.compile(r"[^\W_]+(?:[-_.+/][^\W_]+)*")
_PARTS = re.compile(r"[-_./]")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
# Words of questions and of any sentence, which say nothing about what it is about.
_STOP_WORDS = """
a about after all also am an and any are as at be because been before being but by can could did do does doing don for
from had has have having how i if in into is it its just kind let like make me more most much my need no not of off on
one or our out over own please s same should show so some such t tell than that the their them then there these they
thing this those through to too under up use used using very want was way we were what when where which while who whom
whose why will with would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
CHINESE_STOP_WORDS = re.compile(
    "为什么|怎么样|怎样|怎么|如何|什么|哪里|哪个|哪些|哪种|是否|能否|可以|可不可以|应该|需要|我们|你们|请问|告诉我|想要|有没有|"
    "是不是|多少|几个|的话|的|了|吗|呢|吧|啊|我|你|它|在|是|把|被|让|要|会|能|该|用|与|和|或|及|对|从|到|有|这|那|个|一下|时候"
)


def terms(text: str) -> list[str]:
    """All terms of a text, in order, without stop words.

    A word with inner signs, such as `apt-get`, counts as itself and as its parts.
    """
    return [*_words(text), *(pair for run in _runs(text) for pair in _pairs(run))]


def clues(question: str) -> list[tuple[str, ...]]:
    """What a text should have that answers a question: one of the terms of each tuple.

    A Chinese character is in two pairs; one of them is enough, since the other may join two words.
    """
    pairs = [_pairs(run) for run in _runs(question)]
    characters = (tuple(run[max(0, n - 1) : n + 1]) for run in pairs for n in range(len(run) + (len(run[0]) > 1)))
    return [*((word,) for word in _words(question)), *characters]


def _words(text: str) -> Iterator[str]:
    lowered = text.lower()
    for match in _WORD.finditer(_CHINESE.sub(" ", lowered)):
        word = match[0]
        parts = _PARTS.split(word)
        if len(parts) > 1:
            yield word
        for part in parts:
            if part and part not in STOP_WORDS:
                yield _stem(part)


def _runs(text: str) -> list[str]:
    """The runs of Chinese characters between other characters and stop words."""
    return _CHINESE.findall(CHINESE_STOP_WORDS.sub(" ", text))


def _pairs(run: str) -> list[str]:
    """The pairs of neighboring characters; of a single one, itself."""
    return [run[n : n + 2] for n in range(len(run) - 1)] or [run]


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@lru_cache
def _stemmer() -> Any:
    return import_optional("Stemmer", "retrieval", "retrieval").Stemmer("english")


def is_chinese(text: str) -> bool:
    """Whether a text is mostly Chinese: a Chinese character counts as much as a word."""
    characters = sum(map(len, _CHINESE.findall(text)))
    return characters > len(_WORD.findall(_CHINESE.sub(" ", text)))

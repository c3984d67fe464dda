"""Words before a passage that say what it is."""

import re
from collections.abc import Iterable
from functools import lru_cache

MAX_CUE_DISTANCE_CHARS = 32
GAP = r"""[\s:：=＝#＃?？"'“”‘’「」()（）\[\]【】,，、;；|/*_<>~-]*"""
LINKS = (
    "(?:(?:is|was|are|no|no\\.|nr|num|number|numbers|id|it|at|on|as|of|the|my|her|his|their|our|your|a|to|too|by|"
    "ends|in|under|it's|for|with|and|code|via|card)(?![a-z])|"
    "是|为|号|号码|码|填写|登记|请|拨打|即|就是|改为|换成|如下|分别|已|更新|变更|更改|填|写|留|的|我|他|她|叫|一栏|不小心|这个|了|成)"
)
"""Words between a cue and what it announces."""
WORD = re.compile("[a-z]+|[\u4e00-\u9fff]")


class Cues:
    """Words that announce a passage.

    Between a word and the passage may stand signs and up to four words such as "number is" or "号码是".

    Args:
        patterns: the words as regular expressions, in lower case.
        hints: words and Chinese characters of which one is in each match, so that most texts need no search.
    """

    def __init__(self, patterns: Iterable[str], hints: str) -> None:
        self._pattern = re.compile(rf"(?:{'|'.join(patterns)})(?:{GAP}{LINKS}){{0,4}}{GAP}\Z")
        self._hints = frozenset(hints.split())

    def announce(self, text: str, start: int) -> bool:
        """Whether one of the words stands right before a position."""
        before = text[max(0, start - MAX_CUE_DISTANCE_CHARS) : start]
        return not self._hints.isdisjoint(_words(before)) and self._pattern.search(before.lower()) is not None

    def may_announce(self, text: str, start: int) -> bool:
        """Whether a hint stands before a position."""
        return not self._hints.isdisjoint(_words(text[max(0, start - MAX_CUE_DISTANCE_CHARS) : start]))


@lru_cache(maxsize=8)
def _words(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text.lower()))


def has_word(pattern: re.Pattern[str], text: str, start: int, distance: int = MAX_CUE_DISTANCE_CHARS) -> bool:
    """Whether a word stands anywhere in the characters before a position."""
    return pattern.search(text[max(0, start - distance) : start].lower()) is not None

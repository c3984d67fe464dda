"""Words before a passage that say what it is."""

import re
from collections.abc import Iterable

MAX_CUE_DISTANCE_CHARS = 28
GAP = r"""[\s:：=＝#＃?？"'“”‘’「」()（）\[\]【】,，、;；|/*_<>~-]*"""
LINKS = (
    "(?:(?:is|was|are|no|no\\.|nr|num|number|numbers|id|it|at|on|as|of|the|my|her|his|their|our|your|a|to|too|by|"
    "ends|in|under|it's|"
    "for|with|and|code|via)(?![a-z])|"
    "是|为|号|号码|码|填写|登记|请|拨打|即|就是|改为|换成|如下|分别|已|更新|变更|更改|填|写|留|的|我|他|她|叫|一栏|不小心|这个|了|成)"
)
"""Words between a cue and what it announces."""


def compile_cues(words: Iterable[str]) -> re.Pattern[str]:
    """What matches the end of a text in which one of these words says what comes next.

    Between the word and the end may stand signs and up to four words such as "number is" or "号码是".

    Args:
        words: regular expressions, in lower case.
    """
    return re.compile(rf"(?:{'|'.join(words)})(?:{GAP}{LINKS}){{0,4}}{GAP}\Z")


def has_cue(pattern: re.Pattern[str], text: str, start: int, distance: int = MAX_CUE_DISTANCE_CHARS) -> bool:
    """Whether a cue stands right before a position."""
    return pattern.search(text[max(0, start - distance) : start].lower()) is not None


def has_word(pattern: re.Pattern[str], text: str, start: int, distance: int = MAX_CUE_DISTANCE_CHARS) -> bool:
    """Whether a word stands anywhere in the characters before a position."""
    return pattern.search(text[max(0, start - distance) : start].lower()) is not None

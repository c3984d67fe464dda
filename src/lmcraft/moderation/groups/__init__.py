"""Which groups of people a text speaks of, and in which variety of its language: `identity.toml`, `dialect.toml`.

What a filter removes is counted by these groups, since filters remove texts by and about minorities more often than others
(Dodge et al., arXiv 2104.08758, section 5.3).
"""

import re
import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

GroupAttribute = Literal["identity", "dialect"]


class _Words(NamedTuple):
    pattern: re.Pattern[str]
    groups: dict[str, str]
    """The group of each word."""


def count_groups(text: str, attribute: GroupAttribute) -> list[str]:
    """The groups that a text names, or whose words it uses: the most frequent first, equal ones in alphabetical order."""
    lowered = text.lower()
    counts: Counter[str] = Counter()
    for words in _tables(attribute):
        counts.update(words.groups[word] for word in words.pattern.findall(lowered))
    return sorted(counts, key=lambda group: (-counts[group], group))


@cache
def _tables(attribute: GroupAttribute) -> tuple[_Words, _Words]:
    tables = tomllib.loads((files(__package__) / f"{attribute}.toml").read_text(encoding="utf-8"))
    english = {word: group for group, words in tables["en"].items() for word in words}
    chinese = {word: group for group, words in tables["zh"].items() for word in words}
    suffix = "(?:s|es)?" if attribute == "identity" else ""
    return (
        _Words(re.compile(rf"(?<![\w-])({_alternatives(english)}){suffix}(?![\w-])"), english),
        _Words(re.compile(f"({_alternatives(chinese)})"), chinese),
    )


def _alternatives(words: dict[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))

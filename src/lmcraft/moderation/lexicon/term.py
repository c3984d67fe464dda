"""An entry of a list of words."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from lmcraft.errors import UserError

Kind = Literal["harmful", "reclaimed", "identity", "allowed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SEVERITIES = {1: 0.4, 2: 0.7, 3: 0.95}
"""Scores by severity: mild, strong, severe."""
MAX_SEVERITY = max(SEVERITIES)
MIN_DISGUISED_SEVERITY = 2
"""Words below are not looked for where a disguise was undone: too much clean text looks like one."""
MAX_FORMS = 5000
PARTS = re.compile(r"[()|]|[^()|]+")


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """A word or phrase."""

    text: str
    category: str
    severity: int
    """1 to 3; 0 if it never counts."""
    kind: Kind
    """"harmful"; "reclaimed": an insult that its targets use of themselves, and "identity": a name of a group, which are
    reported but never count; "allowed": a longer word or phrase in which no term counts."""
    source: str
    """The name of its list."""

    @property
    def score(self) -> float:
        """What a finding of this term scores."""
        return SEVERITIES.get(self.severity, 0.0)

    def describe(self, passage: str) -> str:
        """One clause about a passage with this term, for people.

        Args:
            passage: the passage, as the text writes it.
        """
        disguise = "" if passage.casefold() == self.text.casefold() else f", written '{passage}'"
        if self.kind == "harmful":
            return f"the {_noun(self.text)} '{self.text}'{disguise} (severity {self.severity}, list {self.source})"
        return f"the {self.kind} term '{self.text}'{disguise} (never counts, list {self.source})"


def _noun(text: str) -> str:
    return "phrase" if any(map(str.isspace, text)) else "word"


def expand_forms(word: str) -> list[str]:
    """The forms of a word, each once: "kick(|s|ed)" is kick, kicks and kicked. Parentheses may stand in parentheses.

    Raises:
        UserError: a parenthesis has no other, or there are too many forms.
    """
    stack: list[tuple[list[str], list[str]]] = [
        ([], [""])
    ]  # of each open parenthesis: finished choices, and the present one
    for part in PARTS.findall(word):
        choices, forms = stack[-1]
        if part == "(":
            stack.append(([], [""]))
        elif part == ")" and len(stack) > 1:
            stack.pop()
            stack[-1] = stack[-1][0], _combine(stack[-1][1], choices + forms, word)
        elif part == "|" and len(stack) > 1:
            stack[-1] = choices + forms, [""]
        else:
            stack[-1] = choices, _combine(forms, [part], word)
    forms = stack[0][1]
    if len(stack) > 1 or any(")" in form for form in forms):
        raise UserError(f"{word[:80]!r} has a parenthesis without the other: write forms as in kick(|s|ed)")
    return forms


def _combine(beginnings: list[str], ends: list[str], word: str) -> list[str]:
    if len(beginnings) * len(ends) > MAX_FORMS:
        raise UserError(f"{word[:80]!r} has more than {MAX_FORMS:,} forms: write several entries")
    return list(dict.fromkeys(beginning + end for beginning in beginnings for end in ends))

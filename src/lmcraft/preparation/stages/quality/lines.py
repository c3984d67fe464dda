"""C4's rules, which cut lines from pages, or remove pages by their lines (arXiv 1910.10683, section 2.2).

As in FineWeb, lines without a full stop at their end stay. Blank lines stay too, unlike in datatrove: they keep paragraphs
apart, and the rules after these do not count them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from lmcraft.preparation.contracts import KEEP, Verdict

CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
SENTENCE_BREAK = re.compile(r"[.!?…。！？]+[\"'”’»)\]]*(?=\s|$)|[。！？]")
CHANGED = "cut_lines"
BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, kw_only=True)
class LineRules:
    """Which lines are cut, and which pages are removed by a line."""

    min_words: int = 3
    max_word_chars: int = 1000
    phrases: tuple[str, ...] = ()
    """Looked for in each line, in this order, in upper case or not: a line with one of them is cut."""
    fatal: Mapping[str, str] = field(default_factory=dict)
    """Phrases for which the whole page is removed, with the reasons."""
    min_sentences: int = 5
    source: str

    @property
    def reasons(self) -> list[str]:
        """The reasons of verdicts."""
        return [CHANGED, *self.fatal.values(), "too_few_sentences"]

    def judge(self, text: str) -> Verdict:
        """Remove the page, or cut lines from it.

        Returns: `KEEP`, a reason to remove it, or its other lines with the reason "cut_lines".
        """
        low = text.lower()
        phrases = [phrase for phrase in self.phrases if phrase in low]
        lines: list[str] = []
        first_cut, sentences = "", 0
        for line in text.splitlines():
            shortened = self._shorten(line)
            phrase = next((phrase for phrase in phrases if phrase in shortened.lower()), "") if shortened else ""
            if phrase in self.fatal:
                return Verdict(self.fatal[phrase], evidence=shortened)
            is_blank = not line or line.isspace()
            if phrase or (not shortened and not is_blank):
                first_cut = first_cut or line.strip()
                continue
            lines.append(shortened)
            if not is_blank and sentences < self.min_sentences:
                sentences += len(split_sentences(shortened))
        if sentences < self.min_sentences:
            return Verdict("too_few_sentences", value=sentences, threshold=self.min_sentences)
        if not first_cut and "[" not in text:
            return KEEP
        remaining = BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
        return Verdict(CHANGED, text=remaining, evidence=first_cut) if remaining != text else KEEP

    def _shorten(self, line: str) -> str:
        """The line without citations; empty if it is blank, too short, or has too long a word."""
        if len(line.split(None, self.min_words - 1)) < self.min_words:
            return ""
        if len(line) > self.max_word_chars and _has_long_word(line, self.max_word_chars):
            return ""
        return CITATION.sub("", line) if "[" in line else line


def _has_long_word(line: str, length: int) -> bool:
    """Whether a word has more characters: it then fills a piece of half that length, without a space."""
    half = length // 2
    pieces = (line[start : start + half] for start in range(0, len(line), half))
    return not all(" " in piece for piece in pieces) and max(map(len, line.split())) > length


def split_sentences(line: str) -> list[str]:
    """The sentences of a line, of which each but the last ends with a full stop or such."""
    line = line.rstrip()
    ends = [match.end() for match in SENTENCE_BREAK.finditer(line) if match.end() < len(line)]
    return [line[start:end] for start, end in pairwise([0, *ends, len(line)])]

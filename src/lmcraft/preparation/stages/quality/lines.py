"""C4's rules, which cut lines from pages, or remove pages by their lines (arXiv 1910.10683, section 2.2).

As in FineWeb, lines without a full stop at their end stay. Blank lines stay too, unlike in datatrove: they keep paragraphs
apart, and the rules after these do not count them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    cut_phrases: tuple[str, ...] = ()
    """A line with one of these is cut, in upper case or not."""
    fatal_phrases: tuple[str, ...] = ()
    """A page with a line that has one of these is removed."""
    fatal_reasons: tuple[str, ...] = ()
    """The reasons of `fatal_phrases`, one for each."""
    min_sentences: int = 5
    source: str

    @property
    def reasons(self) -> list[str]:
        """The reasons of verdicts."""
        return [CHANGED, *self.fatal_reasons, "too_few_sentences"]

    def judge(self, text: str) -> Verdict:
        """Remove the page, or cut lines from it.

        Returns: `KEEP`, a reason to remove it, or its other lines with the reason "cut_lines".
        """
        low = text.lower()
        cut = [phrase for phrase in self.cut_phrases if phrase in low]
        fatal = [pair for pair in zip(self.fatal_phrases, self.fatal_reasons, strict=True) if pair[0] in low]
        lines, first_cut, sentences = [], "", 0
        for line, shortened in self._lines(text, cut):
            if shortened is None:
                first_cut = first_cut or line.strip()
                continue
            lines.append(shortened)
            if not shortened or shortened.isspace():
                continue
            for phrase, reason in fatal:
                if phrase in shortened.lower():
                    return Verdict(reason, evidence=shortened)
            if sentences < self.min_sentences:
                sentences += count_sentences(shortened, self.min_sentences - sentences)
        if sentences < self.min_sentences:
            return Verdict("too_few_sentences", value=sentences, threshold=self.min_sentences)
        if not first_cut and "[" not in text:
            return KEEP
        remaining = BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
        return Verdict(CHANGED, text=remaining, evidence=first_cut) if remaining != text else KEEP

    def _lines(self, text: str, cut: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        """Each line, and what stays of it; None if it is cut."""
        citations, longest = "[" in text, self.max_word_chars
        for line in text.splitlines():
            words = line.split(None, self.min_words - 1)
            if not words:
                yield line, line
                continue
            short = len(words) < self.min_words
            long = len(line) > longest and _has_long_word(line, longest)
            if short or long or (cut and any(phrase in line.lower() for phrase in cut)):
                yield line, None
            else:
                yield line, CITATION.sub("", line) if citations else line


def _has_long_word(line: str, length: int) -> bool:
    """Whether a word has more characters: it then fills a piece of half that length, without a space."""
    half = length // 2
    pieces = (line[start : start + half] for start in range(0, len(line), half))
    return not all(" " in piece for piece in pieces) and max(map(len, line.split())) > length


def count_sentences(line: str, needed: int) -> int:
    """The sentences of a line, at most `needed`: one, and one for each end of a sentence that has more behind it."""
    line = line.rstrip()
    count = 1
    for match in SENTENCE_BREAK.finditer(line):
        if count >= needed:
            break
        count += match.end() < len(line)
    return count

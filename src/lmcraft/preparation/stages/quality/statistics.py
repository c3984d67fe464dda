"""What the rules of quality measure, from one pass over the tokens of a document.

The measures are those of datatrove's filters, with which FineWeb and FineWeb-2 were made (Gopher's repetition and quality
rules, FineWeb's own), on the tokens of `data/words.py`. A measure may return less than the true value if that is certain
not to exceed the rule's threshold: the runs of most documents need not be counted to the end.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import LETTER, MARK, WHOLE, Tokens, run_hashes, tokenize
from lmcraft.preparation.stages.quality.punctuation import SENTENCE_ENDS, SYMBOLS

PARAGRAPH_BREAK, LINE_BREAK = re.compile(r"\n{2,}"), re.compile(r"\n+")
SHORT_LINE_CHARS = 30  # FineWeb
BULLETS, ELLIPSES = ("•", "-"), ("...", "…")
SYMBOL_CHARS = "".join(sorted(SYMBOLS))
OTHER_MARK = re.compile(rf"([^\w\s\x00-\x7f\x80-\x9f{SYMBOL_CHARS}])\1*")  # counts as a word in Gopher's rules


class RuleSettings(Protocol):
    """What a measure reads of its rule."""

    @property
    def threshold(self) -> float: ...
    @property
    def tokens(self) -> int: ...
    @property
    def joints(self) -> int: ...
    @property
    def words(self) -> Sequence[str]: ...


class Statistics:
    """A document and what has been measured of it.

    Args:
        text: the document.
        characters_per_word: how many Chinese, Japanese or Korean characters count as a word.
    """

    def __init__(self, text: str, characters_per_word: float = 1.0) -> None:
        self.text, self.characters_per_word = text, characters_per_word

    @cached_property
    def tokens(self) -> Tokens:
        """Words and punctuation."""
        return tokenize(self.text)

    @cached_property
    def kinds(self) -> list[int]:
        """Number of tokens of each kind."""
        numbers: list[int] = np.bincount(self.tokens.kinds, minlength=LETTER + 1).tolist()
        return numbers

    @cached_property
    def n_tokens(self) -> float:
        """Words and punctuation; characters that are words count as fractions of words."""
        return len(self.tokens) - self.kinds[WHOLE] * (1 - 1 / self.characters_per_word)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each token."""
        return self.tokens.stops - self.tokens.starts

    @cached_property
    def lines(self) -> list[str]:
        """Lines, the empty ones between others left out."""
        return LINE_BREAK.split(self.text)

    @cached_property
    def filled_lines(self) -> list[str]:
        """Lines that are not blank."""
        return [line for line in self.text.split("\n") if line and not line.isspace()]

    @cached_property
    def all_lines(self) -> list[str]:
        """Lines, blank ones included."""
        return self.text.splitlines()

    @cached_property
    def other_marks(self) -> list[int]:
        """Lengths of the marks that Gopher's rules count as words, such as bullets."""
        return [] if self.text.isascii() else [len(match[0]) for match in OTHER_MARK.finditer(self.text)]

    @cached_property
    def n_words(self) -> float:
        """Tokens other than punctuation."""
        return self.n_tokens - self.kinds[MARK] + len(self.other_marks)

    @cached_property
    def runs_of_two(self) -> "Runs":
        """Counted runs of two tokens, of which each longer run that repeats is made."""
        return Runs(self, 2)


class Runs:
    """The runs of a number of tokens: how often each stands in the text."""

    def __init__(self, statistics: Statistics, length: int) -> None:
        self.hashes_R = run_hashes(statistics.tokens.hashes, length)
        ordered_R = np.sort(self.hashes_R)
        borders = np.flatnonzero(ordered_R[1:] != ordered_R[:-1]) + 1
        self.counts = np.diff(borders, prepend=0, append=len(ordered_R))
        self.ordered_R, self.firsts = ordered_R, np.concatenate(([0], borders))

    @cached_property
    def most(self) -> int:
        """How often the most frequent run stands in the text."""
        return int(self.counts.max()) if len(self.hashes_R) else 0

    @property
    def first_of_most(self) -> int:
        """Where the first of the most frequent runs begins."""
        frequent = self.ordered_R[self.firsts[self.counts == self.most]]
        return int(np.flatnonzero(np.isin(self.hashes_R, frequent))[0])


def _duplicates(items: Sequence[str]) -> tuple[int, int]:
    """How many items repeat an earlier one, and how many characters these have."""
    if len(distinct := set(items)) == len(items):
        return 0, 0
    return len(items) - len(distinct), sum(map(len, items)) - sum(map(len, distinct))


def duplicate_paragraphs(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of paragraphs that repeat an earlier one."""
    paragraphs = PARAGRAPH_BREAK.split(statistics.text.strip())
    return _duplicates(paragraphs)[0] / len(paragraphs)


def duplicate_paragraph_characters(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of characters in paragraphs that repeat an earlier one."""
    return _duplicates(PARAGRAPH_BREAK.split(statistics.text.strip()))[1] / max(1, len(statistics.text))


def duplicate_lines(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of lines that repeat an earlier one."""
    return _duplicates(statistics.lines)[0] / len(statistics.lines)


def duplicate_line_characters(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of characters in lines that repeat an earlier one."""
    return _duplicates(statistics.lines)[1] / max(1, len(statistics.text))


def duplicate_filled_line_characters(statistics: Statistics, rule: RuleSettings) -> float:
    """As `duplicate_line_characters`, without blank lines and line breaks."""
    characters = len(statistics.text) - statistics.text.count("\n")
    return _duplicates(statistics.filled_lines)[1] / max(1, characters)


def top_run(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of characters in the most frequent run of `rule.tokens` tokens, with `rule.joints` spaces in it."""
    limit = rule.threshold * len(statistics.text)
    if len(statistics.tokens) < rule.tokens:
        return 0.0
    longest = int(_run_lengths(statistics, rule.tokens).max()) + rule.joints
    bound = statistics.runs_of_two.most * longest
    if bound <= limit:
        return 0.0
    runs = statistics.runs_of_two if rule.tokens == 2 else Runs(statistics, rule.tokens)
    if runs.most * longest <= limit:
        return 0.0
    first = runs.first_of_most
    length = int(statistics.lengths[first : first + rule.tokens].sum()) + rule.joints
    return runs.most * length / len(statistics.text)


def repeated_runs(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of characters in runs of `rule.tokens` tokens that repeat an earlier one and do not overlap."""
    limit = rule.threshold * len(statistics.text)
    hashes_R = run_hashes(statistics.tokens.hashes, rule.tokens)
    if len(hashes_R) < 2:
        return 0.0
    ordered_R = np.sort(hashes_R)
    repeats = int(np.count_nonzero(ordered_R[1:] == ordered_R[:-1]))
    lengths_R = _run_lengths(statistics, rule.tokens)
    if repeats * int(lengths_R.max()) <= limit:
        return 0.0
    seen: set[int] = set()
    characters, position, hashes, lengths = 0, 0, hashes_R.tolist(), lengths_R.tolist()
    while position < len(hashes):
        if hashes[position] in seen:
            characters += lengths[position]
            position += rule.tokens
        else:
            seen.add(hashes[position])
            position += 1
    return characters / len(statistics.text)


def _run_lengths(statistics: Statistics, length: int) -> NDArray[np.int64]:
    """The characters of each run of tokens."""
    sums = np.concatenate(([0], np.cumsum(statistics.lengths)))
    runs: NDArray[np.int64] = sums[length:] - sums[:-length]
    return runs


def words(statistics: Statistics, rule: RuleSettings) -> float:
    """Tokens other than punctuation."""
    return statistics.n_words


def word_length(statistics: Statistics, rule: RuleSettings) -> float:
    """Mean characters of a word."""
    characters = int(statistics.lengths[statistics.tokens.are_words].sum()) + sum(statistics.other_marks)
    return characters / statistics.n_words if statistics.n_words else 0.0


def hashes_per_word(statistics: Statistics, rule: RuleSettings) -> float:
    """Number signs per token."""
    return statistics.text.count("#") / max(1, statistics.n_tokens)


def ellipses_per_word(statistics: Statistics, rule: RuleSettings) -> float:
    """Ellipses per token."""
    return sum(map(statistics.text.count, ELLIPSES)) / max(1, statistics.n_tokens)


def bullet_lines(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of lines that begin with a bullet."""
    lines = statistics.all_lines
    return sum(line.lstrip().startswith(BULLETS) for line in lines) / max(1, len(lines))


def ellipsis_lines(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of lines that end with an ellipsis."""
    if not any(ellipsis in statistics.text for ellipsis in ELLIPSES):
        return 0.0
    lines = statistics.all_lines
    return sum(line.rstrip().endswith(ELLIPSES) for line in lines) / max(1, len(lines))


def words_with_letters(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of tokens that have a letter; the others are numbers and punctuation."""
    lettered = statistics.kinds[LETTER] + statistics.kinds[WHOLE] / statistics.characters_per_word
    return lettered / max(1, statistics.n_tokens)


def stop_words(statistics: Statistics, rule: RuleSettings) -> float:
    """How many of `rule.words` stand in the text, of which only as many are looked for as the rule needs."""
    needed, text, count = rule.threshold, statistics.text, 0
    for word in rule.words:
        if word in text and (not word.isascii() or re.search(rf"(?<![^\W_]){word}(?![^\W_])", text)):
            count += 1
            if count >= needed:
                break
    return count


def line_ends(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of lines that end with a full stop, question or exclamation mark of any script."""
    lines = statistics.filled_lines
    return sum(line[-1] in SENTENCE_ENDS for line in lines) / len(lines) if lines else 0.0


def short_lines(statistics: Statistics, rule: RuleSettings) -> float:
    """The share of lines of at most 30 characters."""
    lines = statistics.filled_lines
    return sum(len(line) <= SHORT_LINE_CHARS for line in lines) / len(lines) if lines else 1.0


def line_breaks_per_word(statistics: Statistics, rule: RuleSettings) -> float:
    """Line breaks per token."""
    return statistics.text.count("\n") / max(1, statistics.n_tokens)


Measure = Callable[[Statistics, RuleSettings], float]
MEASURES: dict[str, Measure] = {
    measure.__name__: measure
    for measure in (
        duplicate_paragraphs,
        duplicate_paragraph_characters,
        duplicate_lines,
        duplicate_line_characters,
        duplicate_filled_line_characters,
        top_run,
        repeated_runs,
        words,
        word_length,
        hashes_per_word,
        ellipses_per_word,
        bullet_lines,
        ellipsis_lines,
        words_with_letters,
        stop_words,
        line_ends,
        short_lines,
        line_breaks_per_word,
    )
}


def evidence_of(measure: str, statistics: Statistics, rule: RuleSettings) -> str:
    """What a person may look for in a document that a rule removes: the line or run that repeats; empty: nothing."""
    if measure.startswith("duplicate_"):
        items = PARAGRAPH_BREAK.split(statistics.text) if "paragraph" in measure else statistics.lines
        return Counter(items).most_common(1)[0][0].strip()
    if measure in ("top_run", "repeated_runs") and len(statistics.tokens) >= rule.tokens:
        first = Runs(statistics, rule.tokens).first_of_most
        tokens = statistics.tokens
        return statistics.text[tokens.starts[first] : tokens.stops[first + rule.tokens - 1]]
    return ""

"""The stage `mark`: notes before which passages of a document a mark goes, and whether a policy counts the passage as bad.

The marks themselves are special tokens, which no text can spell; `output/encode.py` puts them between the tokens of the
text, and training reads them as its objective says (`data/marks.py`). Conditional training on such marks is from
arXiv 2302.08582.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

from lmcraft.data.marks import MAX_PASSAGE_CHARS
from lmcraft.errors import RunError, UserError
from lmcraft.moderation import Moderator
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.preparation.contracts import KEEP, JsonObject, Measurement, Record, Verdict
from lmcraft.preparation.stages.catalog import suggest

MIN_PASSAGE_CHARS = 20  # a shorter sentence, such as "Mr.", belongs to the next one
NOTE = "marks"  # of a record: [position, whether the passage is bad], in order, the first at 0
# Where a passage may end: after the full stops of a sentence and closing quotes, English ones before white space; or before
# a line break. The white space belongs to the next passage, as it belongs to the next token.
ENDS = {
    "sentence": re.compile(r"""[。！？…]+["'”’»)\]」』》】]*|[.!?]+["'”’»)\]]*(?=\s|$)|(?=\n)"""),
    "line": re.compile(r"(?=\n)"),
}
NEVER = re.compile(r"(?!)")


@dataclass(frozen=True)
class Mark:
    """Marks each passage as good or bad, for training that depends on it."""

    policy: str = "default"
    """The policy that judges: a TOML file of `lmcraft guard init`, or default."""
    unit: Literal["sentence", "line", "document"] = "sentence"
    """What gets a mark. A document is bad if any sentence of it is; a long one gets its mark again and again."""
    categories: tuple[str, ...] = ()
    """Categories that count. [default: all that the policy does not allow in training data]"""
    threshold: float | None = None
    """Score from which a category counts. [default: the policy's thresholds]"""

    name: ClassVar[str] = "mark"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ()

    def __post_init__(self) -> None:
        for category in self.categories:
            if category not in CATEGORIES:
                raise UserError(f"categories: there is no category {category!r}: {suggest(category, CATEGORIES)}")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UserError(f"threshold={self.threshold:g} is out of range: use a number above 0 and at most 1")

    def fingerprint(self) -> JsonObject:
        """The settings, and what the moderator's decisions depend on."""
        settings = {"unit": self.unit, "categories": list(self.categories), "threshold": self.threshold}
        return settings | {"moderator": self._moderator.fingerprint()}

    def judge(self, record: Record) -> Verdict:
        """Keeps the document, and notes its marks.

        Raises:
            RunError: a tier of the policy fails.
        """
        record.notes[NOTE] = self._mark(record)
        return KEEP

    def measures(self, record: Record) -> Iterator[Measurement]:
        """The share of the document's characters that lies in bad passages."""
        marks = self._mark(record)
        positions = [*(position for position, _ in marks), len(record.text)]
        bad = sum(end - start for (start, end), (_, is_bad) in zip(pairwise(positions), marks, strict=True) if is_bad)
        yield Measurement(record.language, "bad share", bad / max(1, len(record.text)), 1.0)

    def _mark(self, record: Record) -> list[list[int]]:
        passages = _pairs(record.text, ENDS.get(self.unit, ENDS["sentence"]))
        judged = [[start, int(self._is_bad(record, start, end))] for start, end in passages]
        if self.unit != "document":
            return judged
        is_bad = max((is_bad for _, is_bad in judged), default=0)
        return [[start, is_bad] for start, _ in _pairs(record.text, NEVER)]

    def _is_bad(self, record: Record, start: int, end: int) -> bool:
        decision = self._moderator.judge(record.text[start:end], "training", complete=self.threshold is not None)
        if decision.failed:
            raise RunError(f"stage {self.name!r} cannot judge '{record.name}', line {record.line}: {decision.reason}")
        if self.threshold is None:
            return bool(set(decision.categories) & set(self.categories or decision.categories))
        counted = self.categories or self._moderator.policy.rules
        return any(decision.scores.get(category, 0.0) >= self.threshold for category in counted)

    @cached_property
    def _moderator(self) -> Moderator:
        return Moderator.open(self.policy)


def cut_passages(text: str, ends: re.Pattern[str]) -> list[int]:
    """The positions where the passages of a text start: 0, and every end that is `MIN_PASSAGE_CHARS` after the last.

    No passage is longer than `MAX_PASSAGE_CHARS`: a longer one is cut before a space, or anywhere.
    """
    starts = [0]
    last = len(text.rstrip())
    for end in (*(match.end() for match in ends.finditer(text)), len(text)):
        while end - starts[-1] > MAX_PASSAGE_CHARS:
            limit = starts[-1] + MAX_PASSAGE_CHARS
            space = text.rfind(" ", limit - MAX_PASSAGE_CHARS // 2, limit)
            starts.append(space if space > 0 else limit)
        if end - starts[-1] >= MIN_PASSAGE_CHARS and end < last:
            starts.append(end)
    return starts


def _pairs(text: str, ends: re.Pattern[str]) -> list[tuple[int, int]]:
    """The start and the end of each passage; of an empty text, none."""
    return list(pairwise((*cut_passages(text, ends), len(text)))) if text else []

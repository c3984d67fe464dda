"""Questions with the section that answers them, and how answers are judged."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lmcraft.retrieval.index import Index
from lmcraft.retrieval.passages import Passage

REFUSAL = re.compile(
    r"\b(found nothing|(do(es)? not|don't|doesn't) (know|have|contain|mention|provide)|can(no|')t (answer|help|find|"
    r"provide)|no (information|mention)|unable to|not (mentioned|provided|found))|没有找到|没有提到|不知道|无法(回答|提供)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """A question of a customer; `section` and `key` are empty if the documents have no answer.

    `section` begins the heading that the answer stands under, and `key` is a regular expression of what an answer must say.
    """

    part: str
    language: str
    section: str
    key: str
    text: str

    @property
    def is_answerable(self) -> bool:
        return bool(self.key)

    def is_gold(self, passage: Passage) -> bool:
        """Whether a passage is of the section, and has the answer."""
        headings = passage.heading.split(" › ")
        in_section = any(re.match(rf"{re.escape(self.section)}(?!\d|\.\d)", heading) for heading in headings)
        return in_section and self.is_supported(passage.text)

    def is_supported(self, text: str) -> bool:
        """Whether a text says what an answer must say."""
        return re.search(self.key, text) is not None


def read_questions(file: Path) -> list[Question]:
    """The questions of a table with tabs: part (dev or test), language, section, key, question; "-" is an empty field."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [Question(*("" if field == "-" else field for field in row)) for row in rows]


def keyword_ranking(index: Index, question: str, count: int = 3) -> list[Passage]:
    """The baseline: passages by how often they have the words of a question, or its pairs of Chinese characters."""
    words = re.findall(r"[a-z0-9]{3,}", question.lower())
    words += [pair for pair in map("".join, pairwise(question)) if re.fullmatch(r"[一-鿿]{2}", pair)]
    return sorted(index.passages, key=lambda passage: -sum(map(passage.text.lower().count, words)))[:count]


def choose_threshold(index: Index, questions: Sequence[Question]) -> float:
    """The relevance that best tells the answerable questions from the others: the middle of the best range.

    Both kinds count as one half, however many there are.
    """
    relevance = {q: max((match.relevance for match in index.search(q.text)), default=0.0) for q in questions}
    yes = [relevance[q] for q in questions if q.is_answerable]
    no = [relevance[q] for q in questions if not q.is_answerable]

    def accuracy(threshold: float) -> float:
        return sum(x >= threshold for x in yes) / len(yes) + sum(x < threshold for x in no) / len(no)

    candidates = [n / 100 for n in range(101)]
    best = max(map(accuracy, candidates))
    chosen = [threshold for threshold in candidates if accuracy(threshold) > best - 1e-9]
    return round((chosen[0] + chosen[-1]) / 2, 3)

"""The questions of the recipe customer-service, and how its answers are judged."""

import sys

import pytest

pytest.importorskip("bm25s")

from lmcraft.retrieval.documents import Document
from lmcraft.retrieval.index import Index
from lmcraft.retrieval.passages import Passage
from recipes.__main__ import RECIPES

sys.path.append(str(RECIPES / "customer-service"))

from questions import REFUSAL, Question, choose_threshold, keyword_ranking, read_questions

from lmcraft.server.http.document_answers import NOT_FOUND

QUESTIONS = read_questions(RECIPES / "customer-service" / "questions.tsv")
DOCUMENTS = [Document("a.md", "# 1.1 Paper\n\nThe tray holds A4 paper.\n\n# 1.10 Ink\n\nInk is black. 墨水是黑色的。")]


def test_there_are_enough_questions_of_each_kind() -> None:
    test = [question for question in QUESTIONS if question.part == "test"]
    assert sum(question.is_answerable for question in test) >= 100
    assert sum(not question.is_answerable for question in test) >= 50
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS)


def test_the_right_passage_is_of_the_section_and_has_the_answer() -> None:
    question = Question("test", "en", "1.1", "A4|letter", "Which paper?")

    def passage(heading: str, text: str) -> Passage:
        return Passage("a.md", heading, 0, len(text), text, ((0, len(text)),))

    assert question.is_gold(passage("1. Printing › 1.1. Paper", "A4"))
    assert question.is_gold(passage("1.1\xa0Paper", "A4"))
    assert not question.is_gold(passage("1.1 Paper", "A5"))
    assert not question.is_gold(passage("1.10 Ink", "A4"))
    assert not question.is_gold(passage("1.1.2 Trays", "A4"))


@pytest.mark.parametrize("text", [*NOT_FOUND.values(), "Sorry, I don't know.", "The passages do not mention this."])
def test_refusals(text: str) -> None:
    assert REFUSAL.search(text)


def test_an_answer_is_no_refusal() -> None:
    assert not REFUSAL.search("Press the button. If nothing happens, the file was not saved.")


@pytest.mark.parametrize(("question", "heading"), [("Which paper?", "1.1 Paper"), ("墨水是什么颜色？", "1.10 Ink")])
def test_the_baseline_counts_words(question: str, heading: str) -> None:
    assert keyword_ranking(Index(DOCUMENTS), question)[0].heading == heading


def test_the_threshold_lies_between_both_kinds() -> None:
    questions = [
        Question("dev", "en", "1.1", "A4", "Which paper does the tray hold?"),
        Question("dev", "en", "", "", "Who won the paper cup final in football?"),
    ]
    assert 0.2 < choose_threshold(Index(DOCUMENTS), questions) < 0.9

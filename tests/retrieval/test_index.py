"""Ranking passages by words, by vectors, and by both."""

from collections.abc import Sequence

import numpy as np
import pytest

from lmcraft.errors import UserError
from lmcraft.retrieval.documents import Document
from lmcraft.retrieval.index import Index, Vectors

DOCUMENTS = [
    Document("printing.md", "# Printing\n\nTo print a page, press the green button.\n\n# Paper\n\nOnly A4 fits the tray."),
    Document("returns.md", "# Returns\n\nSend goods back within 30 days. Postage is free."),
    Document("退货.md", "# 退货\n\n收到商品后七天内可以无理由退货，运费由商家承担。"),
]


class ToyEncoder:
    """Vectors of English that know one synonym."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        rows = [[float("tray" in text or "drawer" in text), float("green" in text), 0.1] for text in texts]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def knows(self, text: str) -> bool:
        return text.isascii()


@pytest.mark.parametrize(
    ("question", "document"),
    [("How do I print pages?", "printing.md"), ("Is postage free?", "returns.md"), ("退货运费谁承担？", "退货.md")],
)
def test_the_best_passage_by_words(question: str, document: str) -> None:
    matches = Index(DOCUMENTS).search(question)
    assert matches[0].passage.document == document
    assert matches[0].relevance > 0.5


@pytest.mark.parametrize("question", ["", "?", "\0", "Kubernetes", "量子力学"])
def test_questions_that_no_passage_answers(question: str) -> None:
    assert all(match.relevance == 0 for match in Index(DOCUMENTS).search(question))


def test_documents_without_words() -> None:
    with pytest.raises(UserError, match="no words"):
        Index([Document("a.md", "?!")])


def test_an_unknown_word_counts_as_the_rarest() -> None:
    index = Index(DOCUMENTS)
    assert index.coverage([("print",), ("kubernet",)], frozenset(["print"])) < 0.5


def test_vectors_match_synonyms() -> None:
    assert Index(DOCUMENTS).search("Which drawer?") == []
    best = Index(DOCUMENTS, ToyEncoder()).search("Which drawer?")[0]
    assert (best.passage.heading, best.relevance > 0.4) == ("Paper", True)


def test_a_question_that_the_encoder_does_not_know_is_compared_by_words() -> None:
    question = "退货运费谁承担？"
    assert Index(DOCUMENTS, ToyEncoder()).search(question) == Index(DOCUMENTS).search(question)

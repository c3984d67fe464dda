"""The part of a passage that is quoted."""

from lmcraft.retrieval.documents import Document
from lmcraft.retrieval.index import Index
from lmcraft.retrieval.quotes import best_quote

TEXT = (
    "The tray holds 250 sheets of paper, and the printer warns you when fewer than 20 of them are left in it.\n\n"
    "To clean the printer, open the lid and run:\n\n```\nprinter --clean\n```\n\n"
    "The warranty lasts two years from the day of purchase. Keep the receipt, since nobody else can prove that day for you."
)


def quote(question: str, text: str = TEXT, max_chars: int = 200) -> str:
    index = Index([Document("m.md", text)])
    (passage,) = index.passages
    start, end = best_quote(index, question, passage, max_chars)
    return passage.text[start:end]


def test_the_sentences_that_answer() -> None:
    assert quote("How long is the warranty?").startswith("The warranty lasts two years")


def test_code_belongs_to_what_leads_to_it() -> None:
    assert "printer --clean" in quote("How do I clean the printer?")


def test_a_question_without_words_quotes_the_beginning() -> None:
    assert quote("?").startswith("The tray")

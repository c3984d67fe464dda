"""The progress bar passes documents through unchanged."""

from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats


def test_documents_pass_through() -> None:
    documents = [Document(str(n), "memory", n) for n in range(3)]
    assert list(show_progress(documents, ReadStats(), "reading")) == documents

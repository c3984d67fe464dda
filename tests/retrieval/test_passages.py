"""Passages: pieces of documents, cut at headings, paragraphs and sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.retrieval.documents import Document
from lmcraft.retrieval.passages import cut_document

MANUAL = """# Manual

Welcome.

## Install

Run this:

```sh
# no heading
apt install it

make
```

Done.

Title
-----

Under an underline.
"""


def test_passages_are_cut_at_headings() -> None:
    passages = list(cut_document(Document("m.md", MANUAL)))
    assert [(p.heading, p.text) for p in passages] == [
        ("Manual", "Welcome."),
        ("Manual › Install", "Run this:\n\n```sh\n# no heading\napt install it\n\nmake\n```\n\nDone."),
        ("Title", "Under an underline."),
    ]
    assert [passages[1].text[start:end] for start, end in passages[1].blocks] == [
        "Run this:",
        "```sh\n# no heading\napt install it\n\nmake\n```",
        "Done.",
    ]


@pytest.mark.parametrize("sentence", ["This is a sentence of some length. ", "这是一个有一定长度的句子。"])
def test_long_paragraphs_are_cut_between_sentences(sentence: str) -> None:
    passages = list(cut_document(Document("m.md", sentence * 20), max_chars=100))
    assert {p.text for p in passages} == {p.text for p in passages if p.text.endswith((".", "。"))}
    assert "".join(p.text for p in passages).replace(" ", "") == (sentence * 20).replace(" ", "")


@given(st.text(alphabet="ab .#\n`=-。", max_size=300))
def test_every_passage_is_a_piece_of_its_document(text: str) -> None:
    passages = list(cut_document(Document("m.md", text), max_chars=20))
    for passage in passages:
        assert text[passage.start : passage.end] == passage.text
        assert 0 < len(passage.text) <= 20 or "\n" in passage.text
        assert all(0 <= start < end <= len(passage.text) for start, end in passage.blocks)
    assert [p.start for p in passages] == sorted(p.start for p in passages)

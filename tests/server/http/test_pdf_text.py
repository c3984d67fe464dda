"""The text of PDF files, some of them hostile."""

import asyncio
import zlib

import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.http import pdf_text
from tests.server.pages.test_attachments import make_pdf

pytest.importorskip("pypdf")


def extract(content: bytes) -> str:
    return asyncio.run(pdf_text.extract_text(content))


def test_the_text_of_a_page() -> None:
    assert extract(make_pdf("Why is the sky blue?")) == "Why is the sky blue?"


@pytest.mark.parametrize("content", [b"", b"not a PDF", b"%PDF-1.7\n%%EOF", make_pdf("x")[:200]])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(ApiError, match="cannot be read"):
        extract(content)


def test_pages_without_text_are_named() -> None:
    with pytest.raises(ApiError, match="no text"):
        extract(make_pdf(""))


def test_a_bomb_ends_in_its_own_process() -> None:
    bomb = zlib.compress(b"BT (x) Tj ET\n" * 40_000_000, 9)
    head = make_pdf("x")
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(bomb), bomb)
    start = head.index(b"4 0 obj\n") + len(b"4 0 obj\n")
    with pytest.raises(ApiError, match=r"cannot be read|no text"):
        extract(head[:start] + stream + head[head.index(b"\nendobj", start) :])


def test_without_the_package_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "find_spec", lambda name: None)
    with pytest.raises(ApiError, match="pip install"):
        extract(make_pdf("x"))

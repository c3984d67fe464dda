"""Files attached to a message: read, counted, sent with it, and shown folded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.pages.conftest import open_page

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

USER = "#messages > li.user"


@pytest.fixture
def page(browser: Any, server_url: str) -> Iterator[Any]:
    with open_page(browser, server_url) as page:
        yield page


def attach(page: Any, name: str, content: bytes) -> None:
    page.set_input_files("#attachment", {"name": name, "mimeType": "", "buffer": content})


def drop(page: Any, name: str, text: str) -> None:
    page.evaluate(
        """([name, text]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([text], name));
          const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
          document.getElementById("scroll").dispatchEvent(new DragEvent("drop", options));
        }""",
        [name, text],
    )


def test_a_dropped_file_is_sent_with_the_message_and_folded(page: Any) -> None:
    drop(page, "notes.md", "# Plan\n\n```sh\nls\n```\n")
    expect(page.locator("#files li")).to_contain_text("notes.md")
    expect(page.locator("#files small")).to_contain_text("tokens")
    page.fill("#input", "Summarize this.")
    with page.expect_request("**/v1/chat/completions") as request:
        page.press("#input", "Enter")
    content = json.loads(request.value.post_data)["messages"][-1]["content"]
    assert content == "File: notes.md\n````md\n# Plan\n\n```sh\nls\n```\n````\n\nSummarize this."
    expect(page.locator(f"{USER} summary")).to_have_text("notes.md")
    expect(page.locator(f"{USER} .plain")).to_have_text("Summarize this.")
    expect(page.locator("#files")).to_be_hidden()
    expect(page.locator("#title")).to_have_text("Summarize this.")
    page.reload()
    page.click(f"{USER} summary")
    expect(page.locator(f"{USER} pre")).to_contain_text("```sh")


def test_several_files_and_one_removed(page: Any) -> None:
    attach(page, "a.csv", b"x,y\n1,2\n")
    attach(page, "b.py", b"print(1)\n")
    expect(page.locator("#files li")).to_have_count(2)
    page.get_by_label("Remove: a.csv").click()
    expect(page.locator("#files li")).to_have_count(1)
    page.press("#input", "Enter")  # a file needs no text beside it
    expect(page.locator(f"{USER} summary")).to_have_text(["b.py"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("天空为什么是蓝色的".encode("gb18030"), "天空为什么是蓝色的"),
        ("\ufefftext".encode("utf-16-le"), "text"),
        ("\ufefftext".encode(), "text"),
        (b"one\r\ntwo\r\n", "one\ntwo"),
    ],
)
def test_encodings(page: Any, content: bytes, text: str) -> None:
    attach(page, "f.txt", content)
    expect(page.locator("#files li")).to_have_count(1)
    page.press("#input", "Enter")
    expect(page.locator(f"{USER} details pre")).to_have_text(text, use_inner_text=False)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\x89PNG\r\n\0\0", "is not a text file"), (b" \n", "is empty"), (b"x" * 900_001, "more than 900,000 characters")],
)
def test_other_files_are_refused_by_a_sentence(page: Any, content: bytes, sentence: str) -> None:
    attach(page, "picture.png", content)
    expect(page.locator("#toasts")).to_contain_text(f"picture.png {sentence}" if "more" not in sentence else sentence)
    expect(page.locator("#files")).to_be_hidden()


def test_a_file_beyond_the_context_is_pointed_out(page: Any) -> None:
    attach(page, "long.txt", b"word " * 2000)
    expect(page.locator("#files .warning")).to_have_text("longer than the model’s context")


def test_the_text_of_a_pdf(page: Any, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    attach(page, "paper.pdf", make_pdf("Hello from a PDF"))
    expect(page.locator("#files li")).to_contain_text("paper.pdf")
    page.press("#input", "Enter")
    expect(page.locator(f"{USER} details pre")).to_have_text("Hello from a PDF")
    attach(page, "broken.pdf", b"%PDF-1.4 nothing")
    expect(page.locator("#toasts")).to_contain_text("PDF file cannot be read")


def make_pdf(text: str) -> bytes:
    """A PDF of one page."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> /MediaBox [0 0 612 792] >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    pdf, offsets = b"%PDF-1.4\n", []
    for n, content in enumerate(objects, start=1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (n, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 6\n0000000000 65535 f \n%strailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (table, len(pdf))
    return pdf + end

"""The texts of a folder, in all its formats and encodings."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.retrieval import documents
from lmcraft.retrieval.documents import Document, read_documents

PAGE = """<html><head><title>no</title></head><body><nav><a href="/">Home</a></nav>
<h1>Printers<a href="#p">¶</a></h1><p>Turn it <b>on</b>.</p>
<p>Then:</p><pre>lp file
# not a heading</pre><table><tr><th>key</th><th>meaning</th></tr><tr><td>A</td><td>start</td></tr></table>
<p><a href="next.html">Next</a></p><footer>© 2026</footer></body></html>"""


def test_documents_of_all_formats(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# Title\r\nNUL\0 here\r\n")
    (tmp_path / "c.txt").write_bytes("退货请在七天内联系客服。我们会尽快处理您的请求。".encode("gb18030"))
    (tmp_path / ".hidden.md").write_text("secret")
    (tmp_path / "d.png").write_bytes(b"\x89PNG")
    (tmp_path / "e.txt").write_text("  \n")
    page = "# Printers\n\nTurn it on.\n\nThen:\n\n```\nlp file\n# not a heading\n```\n\nkey | meaning\nA | start\n"
    assert read_documents(tmp_path) == [
        Document("a.md", "# Title\nNUL here\n"),
        Document("c.txt", "退货请在七天内联系客服。我们会尽快处理您的请求。"),
        Document("sub/b.html", page),
    ]


def test_a_folder_without_documents(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        read_documents(tmp_path / "missing")
    with pytest.raises(UserError, match="has no text"):
        read_documents(tmp_path)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 8)
    (tmp_path / "large.txt").write_text("a" * 9)
    with pytest.raises(UserError, match="split it"):
        read_documents(tmp_path)

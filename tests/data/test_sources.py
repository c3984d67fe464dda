"""Text sources: long, damaged, compressed or missing."""

import gzip
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.data import ReadStats, formats, read_documents
from lmcraft.errors import UserError
from lmcraft.folder import sha256_of

blocks = st.lists(st.sampled_from(["ab ", "\n", "\n\n", "\r\n\r\n", "你好", "😀", "x" * 30])).map("".join)


def texts_of(*sources: Path | str, **settings: Any) -> list[str]:
    return [document.text for document in read_documents([str(source) for source in sources], **settings)]


@given(blocks | st.text(), st.integers(1, 40), st.integers(1, 20))
@settings(deadline=None)
def test_pieces_add_up_to_the_file_and_know_their_line(text: str, size: int, block: int) -> None:
    text = text.removeprefix("\ufeff").replace("\0", "")
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "BLOCK_BYTES", block)  # so that blocks end inside characters and line endings
        path = Path(folder, "a.txt")
        path.write_bytes(text.encode())
        documents = list(read_documents([str(path)], document_chars=size))
    assert "".join(document.text for document in documents) == (text if text.strip() else "")
    assert all(0 < len(document.text) <= size for document in documents)
    before = ""
    for document in documents:
        assert document.line == before.count("\n") + 1
        before += document.text


def test_a_text_is_cut_at_blank_lines_then_lines_then_words(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree four five six")
    assert texts_of(tmp_path / "a.txt", document_chars=12) == ["one\ntwo\n\n", "three four ", "five six"]


def test_invalid_utf8_is_replaced_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfok \xff\xfe \xe4\xbd")
    stats = ReadStats()
    assert texts_of(tmp_path / "a.txt", stats=stats) == ["ok \ufffd\ufffd \ufffd\ufffd"]
    assert stats.invalid_bytes == 4


def test_every_kind_of_malformed_row(tmp_path: Path) -> None:
    rows = [
        '{"text": "good 天地玄黄"}'.encode(),
        b"",
        b'{"messages": []}',
        b'{"text": "  "}',
        b'{"text": null}',
        b"3",
        b'{"text": "\xff"}',
        b"[" * 100_000,
        b'{"text": "half a pair \\ud800"}',
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(rows))
    stats = ReadStats()
    assert texts_of(path, stats=stats) == ["good 天地玄黄", "half a pair \ufffd"]
    assert [(row["file"], row["line"]) for row in stats.malformed_first] == [(str(path), n) for n in range(3, 9)]
    assert "fine-tuning" in stats.malformed_first[0]["reason"]


def test_all_malformed_rows_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("broken\n" * 1000)
    stats = ReadStats()
    assert texts_of(tmp_path / "a.jsonl", stats=stats) == []
    assert (stats.malformed_count, len(stats.malformed_first)) == (1000, 20)


def test_statistics_of_a_source(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for name in "ab":
        (tmp_path / "f" / name).write_text("你好")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"text", mtime=0))
    stats = ReadStats()
    assert texts_of(tmp_path / "f", tmp_path / "c.txt.gz", stats=stats) == ["你好", "你好", "text"]
    folder, file = stats.sources
    assert (folder.files, folder.documents, folder.bytes) == (2, 2, 12)
    assert file.sha256 == sha256_of(tmp_path / "c.txt.gz") != folder.sha256
    assert stats.position == stats.total


def test_include_and_exclude_match_names_and_paths(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", "docs/c.py", "docs/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts_of(tmp_path, include=["*.py"]) == ["a.py", "docs/c.py"]
    assert texts_of(tmp_path, include=["docs/*"], exclude=["*.md"]) == ["docs/c.py"]
    assert texts_of(tmp_path / "**" / "*.py") == ["a.py", "docs/c.py"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.txt", None, "'.*absent.txt' does not exist"),
        ("a.pdf", b"%PDF\0", "cannot be read: not text"),
        ("a.txt.gz", gzip.compress(b"x" * 1000, mtime=0)[:-10], "damaged"),
        ("a.txt.gz", b"not compressed", "is not compressed"),
        ("a.txt.zst", b"not compressed", "is not compressed"),
        ("a.parquet", b"not parquet", "damaged"),
    ],
)
def test_unreadable_sources_are_user_errors(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    for package in ("zstandard", "pyarrow"):
        pytest.importorskip(package)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        texts_of(tmp_path / name)


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"content": ["x", None]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="set --text-field to one of content"):
        texts_of(tmp_path / "a.parquet")
    assert texts_of(tmp_path / "a.parquet", text_field="content") == ["x"]


@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [("a.parquet", "pyarrow.parquet", "parquet"), ("a.txt.zst", "zstandard", "zstd"), ("hf:owner/name", "datasets", "hf")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / source.removeprefix("hf:owner/")).write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(UserError, match=rf"\[{extra}\]"):
        texts_of(source if source.startswith("hf:") else tmp_path / source)


def test_hugging_face_datasets_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load_dataset(*names: object, **settings: object) -> list[dict[str, str]]:
        calls.append((*names, settings))
        return [{"text": "a"}, {"other": "b"}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))  # an extra, not in tests
    stats = ReadStats()
    assert texts_of("hf:owner/name:en", stats=stats) == ["a"]
    assert calls == [("owner/name", "en", {"split": "train", "streaming": True})]
    assert (stats.malformed_count, stats.total) == (1, None)


def test_json_may_be_a_list_of_texts(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(["one", {"text": "two"}]))
    assert texts_of(tmp_path / "a.json") == ["one", "two"]
    with pytest.raises(UserError, match="no sources"):
        texts_of()

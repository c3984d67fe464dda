"""Folders as they come: what is read, what is left out, and why."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.data import ReadStats, TextSources
from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from tests.data.test_encodings import CHINESE, FRENCH, TAIWANESE


def make_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, contents in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)
    return folder


def read(folder: Path, **settings: Any) -> tuple[list[str], list[str]]:
    sources = TextSources([str(folder)], **settings)
    lines = [line.replace(f"{folder}/", "") for line in sources.describe()]
    return [document.text for document in sources.read(ReadStats())], lines


def test_a_folder_of_all_kinds_of_files(tmp_path: Path) -> None:
    files = {
        "a.txt": CHINESE.encode(),
        "b.txt": CHINESE.encode("gb18030"),
        "c.txt": TAIWANESE.encode("big5"),
        "d.html": f"<html><head><title>T</title></head><body><p>{FRENCH}</p><script>x</script></body></html>".encode(),
        "e.csv": b"text,label\none,1\ntwo,2\n",
        "f.csv": b"words;label\none;1\n",
        "g.pdf": b"%PDF-1.4",
        "h.docx": b"PK\x03\x04" + bytes(40),
        "i.txt": b"",
        ".j": b"x",
        "k.gz": b"not compressed",
        "l.txt": (CHINESE * 200).encode("gb18030") + b"\xff\xff",
    }
    texts, lines = read(make_folder(tmp_path, files))
    assert texts == [CHINESE, CHINESE, TAIWANESE, FRENCH, "one", "two"]
    assert lines[0].endswith("3 .txt, 1 .html (without tags), 1 .csv (rows)")
    assert lines[1:3] == ["  b.txt: read as gb18030", "  c.txt: read as big5hkscs"] or "big5" in lines[2]
    skipped = "\n".join(lines[3:])
    for words in (
        "f.csv: has no column 'text': set --text-field to one of words, label",
        "g.pdf, h.docx: not text; convert it",
        "i.txt: empty",
        ".j: hidden",
        "k.gz: is not compressed, though its name ends in '.gz'",
        "l.txt: its byte",
    ):
        assert f"skipped {words}" in skipped


def test_one_missing_extra_does_not_stop_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow.parquet", "zstandard"):
        monkeypatch.setitem(sys.modules, module, None)
    texts, lines = read(make_folder(tmp_path, {"a.txt": b"text", "b.parquet": b"x", "c.txt.zst": b"\x28\xb5\x2f\xfd"}))
    assert texts == ["text"]
    assert any("b.parquet: needs the package" in line for line in lines)
    assert any("c.txt.zst: needs the package" in line for line in lines)


def test_links_are_followed_once(tmp_path: Path) -> None:
    make_folder(tmp_path, {"elsewhere/a.txt": b"linked", "data/b.txt": b"own", "data/sub/c.txt": b"deep"})
    data = tmp_path / "data"
    (data / "link").symlink_to(tmp_path / "elsewhere")
    (data / "loop").symlink_to(data)
    (data / "z.txt").symlink_to(data / "b.txt")
    (data / "broken").symlink_to(tmp_path / "nowhere")
    texts, lines = read(data)
    assert texts == ["own", "linked", "deep"]
    assert "  skipped broken: a broken link" in lines
    assert "  skipped loop, z.txt: read under another name" in [line.replace(str(data), "") for line in lines]


def test_a_folder_without_text_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no text files; .*a.pdf: not text"):
        read(make_folder(tmp_path, {"a.pdf": b"%PDF"}))
    with pytest.raises(UserError, match=r"'.*absent' does not exist"):
        read(tmp_path / "absent")


def test_a_named_encoding_is_for_every_file(tmp_path: Path) -> None:
    texts, lines = read(make_folder(tmp_path, {"a.txt": "é".encode("cp1252"), "b.txt": b"x"}), encoding="windows-1252")
    assert texts == ["é", "x"] and "  a.txt: read as cp1252" in lines


def test_invalid_bytes_are_counted_by_file(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a.txt": (CHINESE * 3).encode() + b"\xff", "b.txt": b"x"})
    stats = ReadStats()
    list(TextSources([str(tmp_path)]).read(stats))
    assert stats.invalid_by_file == {str(tmp_path / "a.txt"): 1}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    "contents",
    [
        b'{"text": "one"}\n{"text": "two"}\n',
        b'\n[{"text": "one"},\n {"text": "two"}]',
        b'[\n{"text": "one"}, {"text": "two"}\n]\n',
        b'{\n "text": "one"\n}\n{\n "text": "two"\n}\n',
        b'{"text": "one"}\r\n\r\n{"text": "two"}',
    ],
)
def test_json_in_lines_or_lists_under_either_name(name: str, contents: bytes, tmp_path: Path) -> None:
    assert read(make_folder(tmp_path, {name: contents}))[0] == ["one", "two"]


def test_rows_are_cut_like_texts(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a.jsonl": b'{"text": "%s"}' % (b"word " * 100)})
    texts, _ = read(tmp_path, document_chars=50)
    assert "".join(texts) == "word " * 100 and max(map(len, texts)) == 50


def test_names_with_a_tilde_or_bytes_that_are_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(
        tmp_path, {"~.txt": b"tilde", "in/caf\udce9.txt": b"coffee", "in/skipped\udcff.txt": b"", "in/b.txt": b"other"}
    )
    monkeypatch.chdir(tmp_path)
    assert read(Path("~.txt"))[0] == ["tilde"]
    texts, lines = read(Path("in"))
    assert texts == ["other", "coffee"] and "skipped\udcff.txt: empty" in lines[-1]
    with pytest.raises(UserError, match="'~no-such-user/a' does not exist"):
        read(Path("~no-such-user/a"))


def test_files_without_text_are_skipped(tmp_path: Path) -> None:
    pages = {"script.html": b"<html><body><div></div><script>var a = '<p>x</p>'</script>", "comment.htm": b"<!-- x <p>y</p>"}
    tables = {"header.csv": b"text,label\n", "list.json": b"[]", "rows.jsonl": b"\n\n", "rows.json": b'{"data": []}'}
    blanks = {"bom.md": b"\xef\xbb\xbf", "blank.txt": b" \n\t\n", "space.txt": " \u3000\n".encode()}
    folder = make_folder(tmp_path, {**pages, **tables, **blanks, "a.txt": b"text", "bad.jsonl": b'{"other": 1}\n'})
    texts, lines = read(folder)
    assert texts == ["text"]
    assert lines[0].endswith("1 .txt, 1 .jsonl (rows)")  # the row without the field is counted as malformed
    assert "3 .txt" not in lines[0] and all(kind in lines[1] for kind in (".html", ".htm", ".csv", "2 .json", ".md"))
    assert lines[1].endswith(": no text")
    for name in (*pages, *tables, *blanks):
        stats = ReadStats()
        with pytest.raises(UserError, match="the sources contain no text"):
            list(TextSources([str(folder / name)]).read_nonempty(stats))


PRODUCTS = {
    "a dataset": {
        "manifest.json": b'{"splits": {"train": {}}, "vocab_size": 300}',
        "train-00000.npy": b"x",
        "notes.txt": b"x",
    },
    "a dataset ": {"manifest.json": b'{"kind": "examples", "files": {"sft.jsonl": {}}}', "sft.jsonl": b'{"text": "x"}\n'},
    "a model": {"config.json": b'{"model_type": "qwen3"}', "model.safetensors": b"x", "README.md": b"x"},
    "a model ": {
        "adapter_config.json": b'{"peft_type": "LORA"}',
        "adapter_model.safetensors": b"x",
        "tokenizer.json": b"{}",
    },
    "a run": {"lmcraft/run.toml": b"seed = 1", "lmcraft/metrics.jsonl": b'{"text": "x"}\n', "README.md": b"x"},
    "a tokenizer": {"tokenizer.json": json.dumps({"model": {"vocab": {"a": 0}}}).encode()},
    "a scaling family": {"scaling.toml": b"seed = 1", "runs/depth-1-1x/lmcraft/run.toml": b"seed = 1", "scaling.html": b"x"},
    "a comparison": {"comparison.json": b'{"models": []}', "comparison.html": b"x"},
}


@pytest.mark.parametrize("kind", PRODUCTS)
@pytest.mark.parametrize("settings", [{}, {"include": ("*.txt", "*.md")}])
def test_a_folder_of_data_or_weights_in_a_source_is_left_out(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    make_folder(
        tmp_path, {"a.txt": b"text", "deep/b.txt": b"more", **{f"deep/old/{k}": v for k, v in PRODUCTS[kind].items()}}
    )
    texts, lines = read(tmp_path, **settings)
    assert texts == ["text", "more"]
    assert lines[1:] == [f"  skipped deep/old: {kind.strip()}, not text; name it as a source to read it"]


@pytest.mark.parametrize("pattern", ["*/*", "**/*", "**/*.txt"])
def test_a_pattern_leaves_out_a_folder_of_data_that_it_does_not_name(pattern: str, tmp_path: Path) -> None:
    make_folder(tmp_path, {"text/a.txt": b"text", **{f"data/{k}": v for k, v in PRODUCTS["a dataset"].items()}})
    texts, lines = read(tmp_path / pattern)
    assert texts == ["text"]
    assert any(line.endswith("data: a dataset, not text; name it as a source to read it") for line in lines)
    assert read(tmp_path / "data" / "*.txt")[0] == ["x"]


def test_the_folder_that_is_being_written_is_no_source(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a.txt": b"text", ".b.lmcraft": b"a file"})
    with atomic_write(tmp_path / "data") as temporary:
        temporary.mkdir()
        assert read(tmp_path) == (["text"], [f"{tmp_path}: 1 .txt", "  skipped .b.lmcraft: hidden"])


def test_folders_with_files_of_the_same_names_are_read(tmp_path: Path) -> None:
    files = {
        "site/manifest.json": b'[{"text": "web"}]',
        "game/manifest.json": b'{"text": "game", "splits": 3}',
        "app/config.json": b'{"text": "settings", "model_type": "car"}',
        "code/tokenizer.json": b'{"text": "code", "model": {"vocab": {}}}',
        "code/b.txt": b"beside",
        "study/comparison.json": b'{"text": "study", "models": []}',
        "study/c.txt": b"beside it",
    }
    texts, _ = read(make_folder(tmp_path, files))
    assert sorted(texts) == ["beside", "beside it", "code", "game", "settings", "study", "web"]

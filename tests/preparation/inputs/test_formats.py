"""Files of every format, compressed or in archives, become records of plain text."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from lmcraft.preparation.inputs import archives, unpacking
from tests.preparation.inputs.reading import read_all, record_of, texts

CHINESE = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。寒来暑往，秋收冬藏。\n"
PAGE = (
    "<html><body><nav><a href='/'>Home</a></nav><article><p>"
    + "The rain fell all day on the roof. " * 9
    + "</p></article></body></html>"
)


def table(rows: list[str]) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table({"text": rows}), out)
    return out.getvalue()


def separated(rows: list[str], delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([["text"], *([row] for row in rows)])
    return out.getvalue().encode()


ROWS = ["one\ntwo", "天地", 'a "quoted", word']
FILES: dict[str, tuple[bytes, list[str]]] = {
    "a.txt": (CHINESE.encode(), [CHINESE]),
    "a.md": (b"# Title\n\nText.\n", ["# Title\n\nText.\n"]),
    "a.jsonl": ("".join(json.dumps({"text": row}) + "\n" for row in ROWS).encode(), ROWS),
    "a.json": (json.dumps([{"text": row} for row in ROWS]).encode(), ROWS),
    "rows.json": ("".join(json.dumps({"text": row}) + "\n" for row in ROWS).encode(), ROWS),
    "list.jsonl": (json.dumps([{"text": row} for row in ROWS], indent=1).encode(), ROWS),
    "a.csv": (separated(ROWS, ","), ROWS),
    "a.tsv": (separated(ROWS, "\t"), ROWS),
    "a.parquet": (table(ROWS), ROWS),
    "a.html": (PAGE.encode(), [("The rain fell all day on the roof. " * 9).strip()]),
    "a.warc": (
        record_of(PAGE) + record_of("plain words", kind="conversion"),
        [("The rain fell all day on the roof. " * 9).strip(), "plain words"],
    ),
    "a.py": (b"print(1)\n", ["print(1)\n"]),
    "ls.1": (b".TH LS 1\n.SH NAME\nls \\- list files\n", ["LS(1)\n\nNAME\n\nls - list files\n"]),
    "notes.1": (b"Version 1 is out.\n", ["Version 1 is out.\n"]),
    "a.rst": (b"Title\n=====\n\nSee :ref:`here <x>`.\n", ["Title\n\nSee here.\n"]),
    "a.po": (b'msgid ""\nmsgstr "Language: de"\n\nmsgid "Yes"\nmsgstr "Ja"\n\nmsgid "No"\nmsgstr ""\n', ["Ja\n\nNo\n"]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file(name: str, tmp_path: Path) -> None:
    contents, expected = FILES[name]
    (tmp_path / name).write_bytes(contents)
    records, tally, _ = read_all([tmp_path / name], tmp_path / "work")
    assert [text.strip() for text in texts(records)] == [text.strip() for text in expected]
    assert tally.counts == {}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_a_compressed_file(
    name: str,
    suffix: str,
    compress: Callable[[bytes], bytes],
    small_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unpacking, "SMALL_BYTES", small_bytes)
    contents, expected = FILES[name]
    (tmp_path / (name + suffix)).write_bytes(compress(contents))
    records, tally, _ = read_all([tmp_path / (name + suffix)], tmp_path / "work")
    assert [text.strip() for text in texts(records)] == [text.strip() for text in expected]
    assert tally.counts == {}
    assert len({record.id for record in records}) == len(records)


def archive_of(kind: str, files: dict[str, bytes], path: Path) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, contents in files.items():
                archive.writestr(name, contents)
        return path
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    compress = {"tar": bytes, "tar.zst": zstandard.compress}.get(kind, gzip.compress)
    path.write_bytes(compress(out.getvalue()))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz", "tar.zst"])
@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_an_archive(kind: str, small_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SMALL_BYTES", small_bytes)
    monkeypatch.setattr(unpacking, "BLOCK_BYTES", 100)
    monkeypatch.setattr(archives, "MEMORY_BYTES", 50)
    files = {f"folder/{name}": contents for name, (contents, _) in FILES.items()}
    files |= {
        "b.txt.gz": gzip.compress(b"inner"),
        "c.txt": CHINESE.encode("gb18030"),
        ".hidden": b"x",
        "d.png": b"\x89PNG\r\n\x1a\n\0",
    }
    path = archive_of(kind, files, tmp_path / f"a.{kind}")
    records, tally, _ = read_all([path], tmp_path / "work")
    expected = [text.strip() for _, rows in FILES.values() for text in rows] + ["inner", CHINESE.strip()]
    assert [text.strip() for text in texts(records)] == expected
    assert records[0].name == f"{path}/folder/a.txt"
    assert [record.id.position for record in records] == list(range(len(records)))
    assert [example["file"] for _, example in tally.examples["poisoned"]] == [f"{path}/d.png"]


@pytest.mark.parametrize("size", [1, 100_000])
def test_other_encodings(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "BLOCK_BYTES", 1000)
    text = CHINESE * (size // len(CHINESE) + 10)
    (tmp_path / "a.txt").write_bytes(text.encode("gb18030"))
    (tmp_path / "b.txt").write_bytes(text.encode("utf-16"))
    records, _, _ = read_all([tmp_path / "a.txt", tmp_path / "b.txt"], tmp_path / "work")
    assert texts(records) == [text, text]


def test_source_trees_have_languages_and_licenses(tmp_path: Path) -> None:
    mit = b"MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this"
    files = {
        "LICENSE": mit,
        "main.py": b"x = 1\n",
        "lib/COPYING": b"GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007\n",
        "lib/deep/a.rs": b"fn main() {}\n",
        "lib/own.c": b"/* SPDX-License-Identifier: BSD-2-Clause */\nint x;\n",
        "Makefile": b"all:\n\ttrue\n",
    }
    expected = {
        "main.py": ("python", "MIT"),
        "a.rs": ("rust", "GPL-3.0"),
        "own.c": ("c", "BSD-2-Clause"),
        "Makefile": ("make", "MIT"),
    }
    for name, contents in files.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(contents)
    for paths in ([tmp_path / "tree"], [archive_of("tar.gz", files, tmp_path / "tree.tar.gz")]):
        records, _, _ = read_all(paths, tmp_path / "work", kind="code", license="Proprietary")
        actual = {Path(record.name).name: (record.language, record.license) for record in records}
        assert {name: actual[name] for name in expected} == expected
        assert {record.notes["kind"] for record in records} == {"code"}


def test_rows_of_code_are_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x = 1"}\n{"text": "y = 2"}\n')
    records, _, _ = read_all([tmp_path / "a.jsonl"], tmp_path / "work", kind="code")
    assert texts(records) == ["x = 1", "y = 2"]


def test_long_texts_are_cut_into_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two\n\n" * 100)
    records, _, _ = read_all([tmp_path / "a.txt"], tmp_path / "work", document_chars=100)
    assert "".join(texts(records)) == "one two\n\n" * 100
    assert [record.id.piece for record in records] == list(range(len(records)))
    assert records[1].line == records[0].text.count("\n") + 1

"""Catalogs of gettext and translation memories as pairs of texts."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmcraft.data.documents import ReadStats
from lmcraft.data.sources import read_table
from lmcraft.errors import UserError
from lmcraft.evaluation.data_source import DataSource
from lmcraft.finetuning.example_files import read_examples
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.rows import RowFormat

MESSAGES = {
    "": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=1; plural=0;\n",
    "File not found": "找不到文件",
    "Open": "打开",
    "menu\x04Open": "打开文件",
    "one file\0%d files": "%d 个文件",
    "untranslated": "",
}


def write_catalog(file: Path, messages: Mapping[str, str]) -> None:
    """As `msgfmt` writes it: a table of lengths and offsets of the texts, one of the translations, then these."""
    pairs = sorted((key.encode(), text.encode()) for key, text in messages.items())
    count, offset, strings = len(pairs), 28 + 16 * len(pairs), b""
    tables: list[int] = []
    for column in (0, 1):
        for pair in pairs:
            tables += [len(pair[column]), offset + len(strings)]
            strings += pair[column] + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, offset)
    file.write_bytes(header + struct.pack(f"<{len(tables)}I", *tables) + strings)


def test_pairs_of_texts_without_plurals_and_contexts(tmp_path: Path) -> None:
    write_catalog(tmp_path / "x.mo", MESSAGES)
    rows = DataSource("x.mo", tmp_path).rows()
    assert [row.values for row in rows] == [
        {"source": "File not found", "target": "找不到文件"},
        {"source": "Open", "target": "打开"},
    ]
    assert rows[1].origin == "x.mo:2"


@pytest.mark.parametrize("size", [0, 3, 20, 60, 120])
def test_a_damaged_catalog_is_refused(tmp_path: Path, size: int) -> None:
    write_catalog(tmp_path / "x.mo", MESSAGES)
    (tmp_path / "x.mo").write_bytes((tmp_path / "x.mo").read_bytes()[:size])
    with pytest.raises(UserError, match=r"x.mo' is no message catalog, or is damaged"):
        DataSource("x.mo", tmp_path).rows()


def test_a_catalog_of_another_encoding(tmp_path: Path) -> None:
    write_catalog(tmp_path / "x.mo", MESSAGES | {"": "Content-Type: text/plain; charset=ascii\n"})
    with pytest.raises(UserError, match="is no message catalog, or is damaged"):
        DataSource("x.mo", tmp_path).rows()


PO = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

# a comment of the translator
msgid "File "
"not found"
msgstr "找不到\"文件\"\n"

#, fuzzy
#| msgid "Close"
msgid "Open"
msgstr "关闭"

msgctxt "menu"
msgid "Open"
msgstr "打开文件"

msgid "one file"
msgid_plural "%d files"
msgstr[0] "%d 个文件"

msgid "untranslated"
msgstr ""

msgid "blank"
msgstr " "
#~ msgid "obsolete"
#~ msgstr "过时"
msgid "שלום"
msgstr "你好"
"""

TMX = """<?xml version="1.0" encoding="{encoding}"?>
<tmx version="1.4"><header/><body>
<tu><tuv xml:lang="en"><seg>Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> <hi>twice</hi>.</seg></tuv>
<tuv xml:lang="zh"><seg>按两次
“确定”。</seg></tuv><tuv xml:lang="de"><seg>Zweimal OK.</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>alone</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>empty</seg></tuv><tuv xml:lang="zh"><seg/></tuv></tu>
</body></tmx>"""


def pairs(file: Path) -> list[tuple[str, str]]:
    return [(row["source"], row["target"]) for _, row in read_table(file, ReadStats("fail"))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_catalogs_of_translators(tmp_path: Path, encoding: str) -> None:
    text = PO.replace('\nmsgid "שלום"', '\nmsgid "Closed"') if encoding == "gb18030" else PO
    (tmp_path / "x.po").write_text(text, encoding=encoding)
    last = "Closed" if encoding == "gb18030" else "שלום"
    assert pairs(tmp_path / "x.po") == [("File not found", '找不到"文件"\n'), (last, "你好")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_translation_memories(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.tmx").write_text(TMX.format(encoding=encoding), encoding=encoding)
    assert pairs(tmp_path / "x.tmx") == [("Press OK twice.", "按两次 “确定”。")]


ENTITIES = (
    '<!ENTITY a "'
    + "x" * 1000
    + '">'
    + "".join(f"<!ENTITY {name} '" + f"&{inner};" * 100 + "'>" for inner, name in zip("abcdefg", "bcdefgh", strict=True))
)
BOMB = f"<!DOCTYPE t [{ENTITIES}]><tmx><tu><tuv><seg>&h;</seg></tuv><tuv><seg>b</seg></tuv></tu></tmx>"


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("x.po", "no messages", "has no messages"),
        ("x.tmx", "<tmx><tu>", "no translation memory, or is damaged"),
        ("x.tmx", "<tmx></tmx>", "has no units"),
        ("x.tmx", BOMB, "no translation memory, or is damaged"),
        ("x.mo", "", "no message catalog, or is damaged"),
    ],
    ids=["text", "cut XML", "no units", "entities", "empty catalog"],
)
def test_files_that_are_not_translations(tmp_path: Path, name: str, contents: str, message: str) -> None:
    (tmp_path / name).write_text(contents, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        pairs(tmp_path / name)


def test_examples_for_fine_tuning(tmp_path: Path) -> None:
    write_catalog(tmp_path / "x.mo", MESSAGES)
    form = RowFormat(Conversation, prompt_column="source", answer_column="target")
    texts = [[m["content"] for m in e.messages] for e in read_examples([tmp_path / "x.mo"], form=form)]  # type: ignore[union-attr]
    assert texts == [["File not found", "找不到文件"], ["Open", "打开"]]

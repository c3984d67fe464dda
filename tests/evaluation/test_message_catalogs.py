"""Message catalogs of gettext as pairs of texts."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.data_source import DataSource

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

"""Encodings of text: recognized, read as UTF-8, or refused."""

import codecs
import io
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.data import ReadStats, TextSources, encodings
from lmcraft.data.encodings import NotTextError, check_encoding, find_encoding, iconv_name, read_as_utf8
from lmcraft.data.sources import read_table
from lmcraft.errors import UserError

FRENCH = "Où est le café ? Là-bas, près de l'église.\n"
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。\n"
TAIWANESE = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。\n"
JAPANESE = "むかしむかし、あるところに、おじいさんとおばあさんが住んでいました。\n"
KOREAN = "옛날 옛적에 어느 마을에 할아버지와 할머니가 살고 있었습니다.\n"
RUSSIAN = "Жили-были старик со старухой у самого синего моря.\n"
POLISH = "Zażółć gęślą jaźń, a potem idź spać, proszę.\n"
TEXTS = [
    (CHINESE, "gb18030"),
    (CHINESE, "gb2312"),
    (TAIWANESE, "big5"),
    (JAPANESE, "shift_jis"),
    (JAPANESE, "euc_jp"),
    (JAPANESE, "iso2022_jp"),
    (KOREAN, "euc_kr"),
    (FRENCH, "latin-1"),
    (FRENCH + "“€ 5”\n", "cp1252"),
    (RUSSIAN, "cp1251"),
    (RUSSIAN, "koi8-r"),
    (POLISH, "iso8859-2"),
    (POLISH, "cp1250"),
    *((text, encoding) for text in (FRENCH, CHINESE, JAPANESE) for encoding in ("utf-16", "utf-16-le", "utf-16-be")),
    (CHINESE, "utf-8-sig"),
    (CHINESE, "utf-32"),
]


def encoding_of(data: bytes, encoding: str | None = None) -> str:
    return find_encoding(lambda: io.BytesIO(data), encoding)


def decoded(data: bytes) -> str:
    return read_as_utf8(io.BytesIO(data), encoding_of(data)).read().decode("utf-8-sig")


@pytest.mark.parametrize(("text", "encoding"), TEXTS)
@pytest.mark.parametrize("copies", [1, 40])
def test_usual_encodings_are_recognized(text: str, encoding: str, copies: int) -> None:
    data = (text * copies).encode(encoding)
    assert decoded(data) == text * copies


@pytest.mark.parametrize(("text", "encoding"), [(CHINESE, "gb18030"), (FRENCH, "latin-1"), (RUSSIAN, "cp1251")])
def test_a_few_lines_in_a_long_ascii_text_are_enough(text: str, encoding: str) -> None:
    code = "def double(x):\n    return 2 * x\n" * 5000 + "# " + text
    assert decoded(code.encode(encoding)) == code


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Le café est fermé à Noël, où l'été a été très chaud, garçon.", "latin-1"),
        ("déjà été café", "latin-1"),
        ("DÉJÀ ÉTÉ CAFÉ FERMÉ", "latin-1"),
        ("Das Mädchen läuft über die Straße.", "latin-1"),
        ("El niño comió una manzana; José también.", "latin-1"),
        ("São João não há pão à mão", "latin-1"),
        ("La città è più bella di sera, perché c'è meno gente.", "latin-1"),
        ("Smørrebrød på øl", "latin-1"),
        ("L’élève dit “déjà” : 5 €", "cp1252"),
        ("A title\nDéjà vu, c'était l'été.", "latin-1"),
        ("Łódź, Kraków, Gdańsk i Poznań", "cp1250"),
        ("İstanbul'da güneşli bir gün, ışık", "cp1254"),
        ("Привет, мир! def f(x): return x", "cp1251"),
        ("שלום world, מה שלומך", "cp1255"),
        ("Καλημέρα κόσμε", "cp1253"),
        ("我们用Python写程序，用C写模块。", "gb18030"),
        ("I don’t know.", "cp1252"),
        ("Temperature: 20 °C ±2, it’s “fine” – really", "cp1252"),
    ],
)
@pytest.mark.parametrize("copies", [1, 20])
def test_accents_within_ascii_words_mean_a_latin_encoding_and_other_scripts_stay(
    text: str, encoding: str, copies: int
) -> None:
    text = "\n".join([text] * copies)
    assert decoded(text.encode(encoding)) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_text_in_utf8_is_utf8(text: str) -> None:
    assert encoding_of(text.encode()) == "utf-8"


@given(st.text(), st.sampled_from(["utf-16", "utf-32-be", "gb18030"]), st.integers(1, 9))
def test_any_block_size_gives_the_same_text(text: str, encoding: str, block: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "BLOCK_BYTES", block)  # so that blocks end inside characters
        file = read_as_utf8(io.BytesIO(text.encode(encoding)), encoding)
        assert b"".join(iter(file.readline, b"")).decode() == text


def test_damaged_utf8_stays_utf8() -> None:
    assert encoding_of(CHINESE.encode() * 3 + b"\xff\xfe") == "utf-8"
    assert encoding_of((CHINESE * 3).encode()[:-2]) == "utf-8"  # the end is cut off
    assert encoding_of(codecs.BOM_UTF8 + b"ok \xff") == "utf-8"


@pytest.mark.parametrize(
    "data",
    [
        random.Random(1).randbytes(5000),
        b"%PDF-1.7 text",
        b"PK\x03\x04 text",
        b"{\\rtf1 text}",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"text\0text\0",
        CHINESE.encode() * 9 + CHINESE.encode("gb18030") * 9,
        FRENCH.encode() * 9 + FRENCH.encode("latin-1") * 5,
    ],
)
def test_what_is_not_text_in_one_encoding_is_refused(data: bytes) -> None:
    with pytest.raises(NotTextError):
        encoding_of(data)


def test_a_text_with_invalid_bytes_is_refused_with_their_position() -> None:
    text = (CHINESE * 200).encode("gb18030")
    with pytest.raises(NotTextError, match=f"byte {len(text) + 1:,} is not valid gb18030.*iconv -c -f gb18030"):
        encoding_of(text + b"\xff\xff")
    with pytest.raises(NotTextError, match="byte 1 is not valid utf-8"):
        encoding_of(text, "utf-8")
    assert encoding_of(text, "gbk") == "gbk"


@pytest.mark.parametrize("name", ["nonsense", "", "hex", "rot13", "zlib", "base64"])
def test_an_unknown_encoding_is_a_user_error(name: str) -> None:
    with pytest.raises(UserError, match=f"encoding '{name}'"):
        check_encoding(name)
    assert check_encoding("GB-18030".replace("-", "")) == "gb18030"


LINES = "".join(f'{{"text": "{CHINESE.strip()} {n}"}}\n' for n in range(9))
ROWS = "text,label\n" + "".join(f"{CHINESE.strip()}{n},诗\n" for n in range(9))


@pytest.mark.parametrize(("name", "contents"), [("a.csv", ROWS), ("a.jsonl", LINES)])
@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le"])
def test_rows_are_decoded_and_the_encoding_is_recorded(name: str, contents: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(contents.encode(encoding))
    stats = ReadStats("fail")
    rows = [row for _, row in read_table(path, stats)]
    assert len(rows) == 9 and all("春眠不觉晓" in row["text"] for row in rows)
    assert stats.encodings == {str(path): encoding}
    assert TextSources([str(path)]).describe() == [f"  {path}: read as {encoding}"]
    with pytest.raises(UserError, match=r"a\..* cannot be read: its byte \d+ is not valid ascii"):
        list(read_table(path, ReadStats(), "ascii"))


@pytest.mark.parametrize(
    "name", ["punycode", "idna", "unicode_escape", "raw_unicode_escape", "base64", "rot13", "undefined"]
)
def test_encodings_that_no_file_has_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"encoding '{name}' is not an encoding of text"):
        check_encoding(name)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("gb18030", "gb18030"),
        ("utf-16-le", "utf-16le"),
        ("utf_8_sig", "utf-8"),
        ("euc_jp", "euc-jp"),
        ("iso2022_jp", "iso-2022-jp"),
        ("latin-1", "iso8859-1"),
        ("cp1252", "cp1252"),
        ("mac_roman", None),
        ("cp720", None),
        ("kz1048", None),
    ],
)
def test_only_encodings_that_iconv_knows_are_given_to_it(encoding: str, name: str | None) -> None:
    assert iconv_name(check_encoding(encoding)) == name
    if name and (program := shutil.which("iconv")):
        assert subprocess.run([program, "-c", "-f", name, "-t", "UTF-8"], input=b"", check=False).returncode == 0

"""Texts get one form of Unicode; what was read in a wrong encoding is repaired, or removed."""

import pytest

from lmcraft.preparation.contracts import KEEP, DocumentId, Record, Verdict
from lmcraft.preparation.stages.normalize import Normalize

ENGLISH = "The café’s “menu” — naïve, as it’s said — costs £5… and the señor’s façade is über-clean. " * 4
CHINESE = "我们在这里写了一些中文的句子，是为了检查程序能不能把读错的文字改回来。春天到了，花都开了。" * 4
TRADITIONAL = "我們在這裡寫了一些中文的句子，是為了檢查程式能不能把讀錯的文字改回來。春天到了，花都開了。" * 4


def judge(text: str, **settings: object) -> Verdict:
    stage = Normalize(**settings)  # type: ignore[arg-type]
    return stage.judge(Record(DocumentId(0, 0, 0), text, "a", 1))


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("cafe\u0301", "café"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("a\x00b\x07c\x7f", "abc"),
        ("\ufeffstart", "start"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u202eesrever\u202c", "esrever"),
        ("lone \ud800 surrogate", "lone  surrogate"),
    ],
)
def test_normalized(text: str, changed: str) -> None:
    assert judge(text) == Verdict("normalized", text=changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain\ttext\n",
        ENGLISH,
        CHINESE,
        TRADITIONAL,
        "👩‍👩‍👧 नमस्ते क्‍ष",
        "ÀÉÎÕÜ",
        "Škoda žluťoučký kůň",
        "Tiếng Việt có dấu",
    ],
)
def test_good_texts_stay_as_they_are(text: str) -> None:
    assert judge(text) == KEEP


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        (ENGLISH, "utf-8", "latin-1"),
        (ENGLISH, "utf-8", "cp1252"),
        (CHINESE, "utf-8", "latin-1"),
        (CHINESE, "gb18030", "latin-1"),
        (CHINESE, "gb18030", "cp1252"),
        (CHINESE, "gb18030", "big5"),
        (TRADITIONAL, "big5", "latin-1"),
        (TRADITIONAL, "big5", "gb18030"),
    ],
)
def test_wrong_encodings_are_repaired(text: str, written: str, read: str) -> None:
    try:
        garbled = text.encode(written).decode(read)
    except UnicodeError:
        pytest.skip(f"not all of the bytes are characters of {read}")
    verdict = judge(garbled)
    assert (verdict.reason, verdict.text) == ("repaired", text)
    assert judge(garbled, repair=False).reason != "repaired"


@pytest.mark.parametrize(
    "garbled",
    [
        CHINESE.encode().decode("gbk", "replace"),
        CHINESE.encode("gb18030").decode("utf-8", "replace"),
        CHINESE.encode()[1:].decode("utf-8", "replace") + "\ufffd",
        "锟斤拷锟斤拷" + CHINESE,
        "".join(map(chr, range(0x80, 0xA0))) * 5 + "binary",
        "烫烫烫烫烫烫",
    ],
)
def test_what_cannot_be_repaired_is_removed(garbled: str) -> None:
    verdict = judge(garbled)
    assert (verdict.reason, verdict.text) == ("garbled", None)
    assert verdict.evidence


def test_one_wrong_character_in_a_book_does_no_harm() -> None:
    assert judge(CHINESE * 100 + "\ufffd") == KEEP

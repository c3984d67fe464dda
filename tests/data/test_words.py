"""Hashes of words stand for the words, and hashes of runs for the runs."""

import random
import re

import numpy as np
import pytest

from lmcraft.data.native.library import MIN_CHARS, Opener
from lmcraft.data.words import (
    BASE,
    BLOCK_CHARS,
    _character_tables,
    count_marked,
    count_runs,
    fold,
    hash_words,
    plain_bytes,
    run_hashes,
    split_words,
    tokenize,
    tokenize_joined,
    word_spans,
    words_of,
)
from lmcraft.preparation.contracts import DocumentId, Record

TEXTS = [
    "",
    " \n\t…—",
    "The Café’s 3rd ＡＢＣ_x 天地玄黄abc 안녕",
    "Straße STRASSE strasse ﬁne fine",
    "e\u0301 é ｶﾞ ガ İ",
    "ｶﾞ ガ",
    "½ a½b Ⅷ ™ x\u0301\u0327y ﬁﬂ ﷺ",
    "a\ud800b \udfff 1\x002 ١٢٣ 😀word",
    "夏侯惇引兵先回。" * 50,
]


def test_words() -> None:
    assert split_words("The Café’s 3rd ＡＢＣ_x 天地玄黄abc 안녕") == [
        *("the", "café", "s", "3rd", "abc", "x", "天", "地", "玄", "黄", "abc", "안", "녕")
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_equal_words_have_equal_hashes_and_no_others(text: str) -> None:
    words, hashes_W = split_words(text), hash_words(text)
    assert hashes_W.dtype == np.uint64
    assert len(hashes_W) == len(words)
    assert len({*zip(words, hashes_W.tolist(), strict=True)}) == len({*words}) == len({*hashes_W.tolist()})
    assert [hash_words(word).tolist() for word in words] == [[number] for number in hashes_W.tolist()]


def test_no_word_is_cut_where_blocks_end() -> None:
    numbers = random.Random(0)
    text = "".join(numbers.choices("ab 天é.", k=3 * BLOCK_CHARS))
    words, hashes_W = split_words(text), hash_words(text)
    assert len({*zip(words, hashes_W.tolist(), strict=True)}) == len({*words})


def test_hashes_are_the_same_in_every_process() -> None:
    assert hash_words("The end. 完").tolist() == [5855504900032920383, 11114992193514999396, 782243897363278618]


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 50])
def test_the_hash_of_a_run_is_a_polynomial_of_its_words(length: int) -> None:
    words_W = hash_words("one two three four five six seven " * 10)
    expected = []
    for start in range(len(words_W) - length + 1):
        total = 0
        for word in words_W[start : start + length].tolist():
            total = (total * BASE + word) % 2**64
        expected.append(total)
    assert run_hashes(words_W, length).tolist() == expected
    assert run_hashes(words_W[: length - 1], length).tolist() == []


def test_a_record_remembers_its_words() -> None:
    record = Record(DocumentId(0, 0, 0), "The end.", "a.txt", 1)
    assert words_of(record) is words_of(record)
    assert words_of(record).tolist() == hash_words("the END").tolist()


@pytest.mark.parametrize("text", TEXTS)
def test_every_word_has_its_place_in_the_text(text: str) -> None:
    spans = word_spans(text)
    assert len(spans) == len(split_words(text))
    for word, (start, end) in zip(split_words(text), spans, strict=True):
        assert word in split_words(text[start:end])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t",
        "The  cat\r\nSAT.\x00\x1f",
        "Ｔｈｅ\u3000cat，\u2028中文 ",
        "cafe\u0301 \x85 CAFÉ",
        "ﬁ ß Ⅷ ½ İ",
        "\x00ß\x00",
        "\ud800 x",
        "か\u3099が",
    ],
)
def test_plain_bytes_are_the_folded_text_with_single_spaces(text: str) -> None:
    expected = re.sub(r"[\s\x00-\x1f\x7f]+", " ", fold(text)).strip(" ")
    assert plain_bytes(text) == expected.encode("utf-8", "surrogatepass")


def test_compiled_words_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    native = Opener.open(*_character_tables())
    if native is None:
        pytest.skip("there is no C++ compiler")
    numbers = random.Random(1)
    pools = ("ab 天é.…==  \n'1٣ﬁ", "abc def. ", "ab1.'_@ ", "== .. -- 天地。，", "".join(map(chr, range(0x20, 0x2000))))
    texts = ["".join(numbers.choices(numbers.choice(pools), k=numbers.randint(0, 300))) for _ in range(300)]
    marks = [np.random.default_rng(n).random(65536) < 0.1 for n in range(2)]
    for text in (*TEXTS, *texts, "=" * 150_000 + "a" * 140_000 + " " + "=-" * 40_000 + "é" * 70_000 + "天" * 70_000):
        results = []
        for library in (None, native):
            monkeypatch.setattr("lmcraft.data.words._opened", [library])
            tokens = tokenize(text)
            counts = [count_runs(tokens.hashes, length) for length in (1, 2, 5, 9)]
            joined = tokenize_joined(text, tokens)
            arrays = [getattr(t, name).tolist() for t in (tokens, joined) for name in ("hashes", "starts", "stops", "kinds")]
            results.append((arrays, counts, count_marked(tokens.hashes, *marks)))
        assert results[0] == results[1]


def test_runs_are_counted() -> None:
    words_W = hash_words("a b c a b d a b c e")
    assert count_runs(words_W, 2) == (3, 0, 3)
    assert count_runs(words_W, 3) == (2, 0, 1)
    assert count_runs(words_W, 10).most == 1
    assert count_runs(words_W, 11) == (0, 0, 0)


def test_announced_text_is_all_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that reads a document must not compile for longer than the document may take."""
    monkeypatch.setattr("lmcraft.data.native.library.is_compiled", lambda source: False)
    counted, announced = Opener(), Opener()
    assert [counted.is_due(MIN_CHARS - 1), counted.is_due(1), counted.is_due(1)] == [False, True, False]
    assert not announced.announce(MIN_CHARS - 1)
    assert not announced.is_due(MIN_CHARS)
    assert announced.announce(1)

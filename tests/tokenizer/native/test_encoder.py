"""The compiled BPE gives the ids of `tokenizers`, for every splitting, text and length of a piece."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.cpp.library import BuildError
from lmcraft.tokenizer import Tokenizer, train_bpe
from lmcraft.tokenizer.byte_level import byte_of_character
from lmcraft.tokenizer.native import classes
from lmcraft.tokenizer.native import encoder as encoder_module
from lmcraft.tokenizer.native.classes import CLASS_MASK, COMPOSES, ask_library, code_point_flags
from lmcraft.tokenizer.native.encoder import NativeEncoder, open_encoder
from lmcraft.tokenizer.patterns import CL100K_WORDS, GPT2_WORDS, QWEN35_WORDS

TO_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def isolated(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


SPLITTINGS: dict[str, Any] = {
    "GPT-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "SmolLM": pre_tokenizers.Sequence([isolated(r"\p{N}"), isolated(GPT2_WORDS), TO_BYTES]),
    "digits": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "runs of digits": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "Qwen 3.5": pre_tokenizers.Sequence([isolated(QWEN35_WORDS), TO_BYTES]),
    **{
        f"cl100k{digits}": pre_tokenizers.Sequence([isolated(CL100K_WORDS.format(digits=digits)), TO_BYTES])
        for digits in ("", "+", "{1,3}")
    },
}
# What the patterns mention, and characters that classes, cases and normalizations treat in their own way.
TRICKY = (
    "aZ''stmdrevlſKSTMDREVL 19½Ⅷ٣五  \t\r\n\u00a0\u2028\u3000\u200b\x85\x00!?.。，-_é\u0301\u0327각ᅡᆨ각Åﬃ天🙂👩‍👩\U0010ffff"
)


@cache
def all_pairs(splitting: str, composes: bool = False) -> HFTokenizer:
    """A tokenizer that merges every two bytes, in a random order of ranks, so that its ids tell where pieces end."""
    alphabet = list(byte_of_character())
    merges = [(a, b) for a in alphabet for b in alphabet]
    random.Random(0).shuffle(merges)
    tokens = [*alphabet, *(a + b for a, b in merges)]
    hf = HFTokenizer(models.BPE({token: token_id for token_id, token in enumerate(tokens)}, merges))
    hf.pre_tokenizer, hf.decoder = SPLITTINGS[splitting], decoders.ByteLevel()
    if composes:
        hf.normalizer = normalizers.NFC()
    return hf


@cache
def compiled(splitting: str, composes: bool = False) -> NativeEncoder:
    encoder = open_encoder(all_pairs(splitting, composes))
    assert encoder is not None
    return encoder


def assert_equal(encoder: NativeEncoder, hf: HFTokenizer, text: str) -> None:
    ids = encoder.encode(text)
    assert ids is not None and ids.tolist() == hf.encode(text, add_special_tokens=False).ids, text


@pytest.mark.parametrize("splitting", SPLITTINGS)
@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])), max_size=60))
@settings(max_examples=150, deadline=None)
def test_pieces_end_where_those_of_the_library_do(splitting: str, text: str) -> None:
    assert_equal(compiled(splitting), all_pairs(splitting), text)


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_pieces_of_two_or_three_tricky_characters(splitting: str) -> None:
    characters = sorted(set(TRICKY))
    for first in characters:
        texts = [first + second + third for second in characters for third in "a 1\n!'s"]
        for text in ("a".join(texts), "\n".join(texts)):
            assert_equal(compiled(splitting), all_pairs(splitting), text)


@pytest.mark.parametrize("splitting", ["SmolLM", "digits", "cl100k{1,3}", "Qwen 3.5"])
def test_every_code_point_is_in_the_class_that_the_library_has_it_in(splitting: str) -> None:
    borders = np.flatnonzero(np.diff(code_point_flags() & CLASS_MASK))
    code_points = sorted({*range(0x3100), *borders.tolist(), *(borders + 1).tolist(), *range(0x3000, 0x110000, 611)})
    characters = [chr(value) for value in code_points if not 0xD800 <= value < 0xE000]
    for start in range(0, len(characters), 1000):
        text = "".join(f"a{c}a1{c}1!{c}! {c} '{c}" for c in characters[start : start + 1000])
        assert_equal(compiled(splitting), all_pairs(splitting), text)


@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])), max_size=40))
@settings(max_examples=200, deadline=None)
def test_text_is_composed_as_by_the_library(text: str) -> None:
    hf = all_pairs("cl100k", composes=True)
    assert_equal(compiled("cl100k", composes=True), hf, text)
    flags = code_point_flags() & COMPOSES
    if not any(flags[ord(character)] for character in text):
        assert normalizers.NFC().normalize_str(text) == text


def test_flags_are_kept_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = code_point_flags()
    monkeypatch.setattr(classes, "cache_folder", lambda: tmp_path)
    for _ in range(2):
        code_point_flags.cache_clear()
        assert (code_point_flags() == expected).all()
        [file] = (tmp_path / "tokenizers").iterdir()
        assert np.load(file).tolist() == expected.tolist()
    file.write_bytes(b"damaged")
    code_point_flags.cache_clear()
    assert (code_point_flags() == ask_library()).all()


@given(st.text("ab", max_size=40), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_pieces_of_any_length_are_merged_alike(text: str, times: int) -> None:
    tokenizer = _trained_on_letters()
    hf = tokenizer._hf
    encoder = open_encoder(hf)
    assert encoder is not None
    for _ in range(2):  # the second time, short pieces are in the cache
        assert_equal(encoder, hf, text * times)


@cache
def _trained_on_letters() -> Tokenizer:
    texts = ["".join(random.Random(seed).choices("ab", k=30)) for seed in range(200)]
    return train_bpe(texts, vocab_size=500)


@pytest.mark.parametrize("digits", [0, 1, 3])
def test_a_trained_tokenizer_on_this_file_and_on_chinese(digits: int) -> None:
    text = Path(__file__).read_text(encoding="utf-8") + "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。" * 20
    tokenizer = train_bpe([text], vocab_size=600, digits=digits)
    encoder = open_encoder(tokenizer._hf)
    assert encoder is not None
    for start in range(0, len(text), 700):
        assert_equal(encoder, tokenizer._hf, text[start : start + 1500])


def test_pieces_that_are_tokens_are_not_merged_if_the_tokenizer_says_so() -> None:
    contents = json.loads(_trained_on_letters()._hf.to_str())
    contents["model"]["ignore_merges"] = True
    contents["model"]["vocab"]["abbaabbaab" * 4] = 500  # which no merges make
    hf = HFTokenizer.from_str(json.dumps(contents))
    encoder = open_encoder(hf)
    assert encoder is not None
    ids = encoder.encode("abbaabbaab" * 4)
    assert ids is not None and ids.tolist() == [500]
    for text in ("abbaabbaab" * 4 + " a", "ab", "abbaabbaab" * 5):
        assert_equal(encoder, hf, text)


def test_the_library_encodes_what_the_compiled_code_does_not_know() -> None:
    hf = HFTokenizer.from_str(_trained_on_letters()._hf.to_str())
    hf.encode_special_tokens = True
    hf.add_tokens([AddedToken("<tool>", special=False)])
    encoder = open_encoder(hf)
    assert encoder is not None
    assert encoder.encode("a<tool>b") is None and encoder.encode("a\udc80b") is None
    assert_equal(encoder, hf, "a<|endoftext|>b")  # plain text


def test_a_text_with_a_byte_that_has_no_token_is_for_the_library() -> None:
    contents = json.loads(_trained_on_letters()._hf.to_str())
    del contents["model"]["vocab"]["Ć"]  # the byte 6
    hf = HFTokenizer.from_str(json.dumps(contents))
    encoder = open_encoder(hf)
    assert encoder is not None
    assert encoder.encode("a\x06") is None
    assert_equal(encoder, hf, "a\x07")


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
    ],
)
def test_other_tokenizers_are_left_to_the_library(change: dict[str, Any]) -> None:
    contents = json.loads(_trained_on_letters()._hf.to_str()) | change
    assert open_encoder(HFTokenizer.from_str(json.dumps(contents))) is None


def test_without_a_compiler_the_library_encodes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise BuildError("there is no C++ compiler")

    monkeypatch.setattr(encoder_module, "load_library", fail)
    assert open_encoder(_trained_on_letters()._hf) is None
    assert "there is no C++ compiler" in capsys.readouterr().err


def test_a_difference_in_the_sample_leaves_all_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeEncoder, "encode", lambda *_: np.zeros(3, np.uint32))
    assert open_encoder(_trained_on_letters()._hf) is None


def test_threads_encode_at_the_same_time() -> None:
    hf = _trained_on_letters()._hf
    encoder = open_encoder(hf)
    assert encoder is not None
    texts = ["".join(random.Random(seed).choices("ab ", k=5000)) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for text, ids in zip(texts, pool.map(encoder.encode, texts), strict=True):
            assert ids is not None and ids.tolist() == hf.encode(text, add_special_tokens=False).ids


@pytest.mark.assets
@pytest.mark.parametrize("name", ["gpt2_folder", "qwen3_folder"])
def test_real_tokenizers(name: str, sanguo_json: Path, request: pytest.FixtureRequest) -> None:
    hf = Tokenizer.load(request.getfixturevalue(name))._hf
    encoder = open_encoder(hf)
    assert encoder is not None
    chinese = json.loads(sanguo_json.read_text(encoding="utf-8"))[0]
    for text in (chinese[:20_000], Path(json.__file__).read_text(encoding="utf-8"), TRICKY * 3):
        assert_equal(encoder, hf, text)

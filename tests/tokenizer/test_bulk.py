"""Many texts: the same ids from the library and from the compiled code, whichever encodes them."""

import random

import pytest

from lmcraft.tokenizer import Tokenizer, bulk, train_bpe, train_characters

LETTERS = ["".join(random.Random(seed).choices("abc \n天地1", k=300)) for seed in range(30)]
TEXTS = [*LETTERS, "", "a\udc80b", "x<|endoftext|>"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return train_bpe(LETTERS, vocab_size=330)


@pytest.mark.parametrize("min_chars", [1, 4000, 10**9])
@pytest.mark.parametrize("threads", [1, 3])
def test_ids_are_those_of_encode(
    tokenizer: Tokenizer, min_chars: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MIN_CHARS", min_chars)
    monkeypatch.setattr(bulk, "MIN_THREADED_CHARS", 0)
    monkeypatch.setenv("RAYON_NUM_THREADS", str(threads))
    expected = [tokenizer.encode(text) for text in TEXTS]
    assert [ids.tolist() for ids in tokenizer.encode_arrays(TEXTS)] == expected
    assert [tokenizer.encode_arrays([text])[0].tolist() for text in TEXTS] == expected
    assert tokenizer.encode_arrays([]) == []


def test_long_texts_are_encoded_in_cpp(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tokenizer.encode_batch(TEXTS)
    opened = []
    monkeypatch.setattr("lmcraft.tokenizer.tokenizer.MIN_CHARS", 1000)
    monkeypatch.setattr(bulk, "MIN_CHARS", 1000)
    monkeypatch.setattr(bulk, "open_encoder", lambda hf: opened.append(hf))
    assert tokenizer.encode_batch(TEXTS) == expected and len(opened) == 1
    assert tokenizer.encode_batch(TEXTS) == expected and len(opened) == 1


def test_expected_text_opens_the_compiled_code_at_once(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(bulk, "open_encoder", lambda hf: opened.append(hf))
    tokenizer.expect_text(bulk.MIN_CHARS_COMPILED - 1)
    assert not opened
    tokenizer.expect_text(bulk.MIN_CHARS)
    assert len(opened) == 1
    tokenizer.encode_arrays(TEXTS)
    assert len(opened) == 1


def test_characters_are_encoded_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MIN_CHARS", 1)
    tokenizer = train_characters(["abc"])
    assert [ids.tolist() for ids in tokenizer.encode_arrays(["cab", "?"])] == [[2, 0, 1], []]

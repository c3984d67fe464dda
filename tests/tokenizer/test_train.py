"""Training a vocabulary: its size, digits, and a bounded, even sample of the text."""

import argparse
import inspect
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.tokenizer import train_bpe, train_characters
from lmcraft.tokenizer.train import sample_evenly
from tests.tiny import TEXT


@pytest.mark.parametrize("size", [257, 300, 400])
def test_the_vocabulary_has_the_requested_size(size: int) -> None:
    assert train_bpe([inspect.getsource(argparse)], vocab_size=size).vocab_size == size


@pytest.mark.parametrize("digits", [1, 3])
def test_no_token_holds_more_digits_than_the_rule_allows(digits: int) -> None:
    tokenizer = train_bpe(["".join(str(n) * 3 + " " for n in range(3000))], vocab_size=600, digits=digits)
    longest = max(sum(c.isdigit() for c in tokenizer.decode([i])) for i in range(tokenizer.vocab_size))
    assert longest == digits


def test_training_is_deterministic(tmp_path: Path) -> None:
    for name in "ab":
        train_bpe([TEXT], vocab_size=600).save(tmp_path / name)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vocab_size": 256}, "vocab_size 256"),
        ({"vocab_size": 300, "digits": -1}, "digits -1"),
    ],
)
def test_impossible_settings_are_user_errors(settings: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        train_bpe(["text"], **settings)


@pytest.mark.parametrize("train", [lambda texts: train_bpe(texts, vocab_size=300), train_characters])
def test_no_text_is_a_user_error(train: object) -> None:
    with pytest.raises(UserError, match="no text"):
        train([])  # type: ignore[operator]


def test_training_sees_a_bounded_even_sample_of_an_endless_text() -> None:
    bytes_read = 0

    def texts() -> Iterator[str]:
        nonlocal bytes_read
        for number in range(4000):
            text = f"{number:04} " + "你好" * 400
            bytes_read += len(text.encode())
            yield text

    sample = sample_evenly(texts(), 500_000)
    size = sum(len(text.encode()) for text in sample)
    assert bytes_read > 9_000_000
    assert 200_000 < size <= 500_000
    numbers = [int(text[:4]) for text in sample]
    gaps = {after - before for before, after in itertools.pairwise(numbers)}
    assert len(gaps) == 1 and numbers[0] == 0 and numbers[-1] > 3900  # evenly spaced over the whole text


@given(st.lists(st.text(max_size=50)), st.integers(1, 2000))
def test_a_sample_is_all_of_the_text_when_it_fits(texts: list[str], max_bytes: int) -> None:
    sample = sample_evenly(texts, max_bytes)
    total = sum(len(text.encode()) for text in texts)
    if total <= max_bytes:
        assert "".join(sample) == "".join(texts)
    assert sum(len(text.encode()) for text in sample) <= max(max_bytes, 200)


def test_one_long_piece_does_not_slow_training_down() -> None:
    train_bpe(["abcdefgh" * 100_000], vocab_size=1000)  # a word of 800,000 letters takes minutes if pieces are not cut


@pytest.mark.parametrize("token", [" ", "   ", "\t\n", "\u3000", "\u200b", "<|a\0|>", "<|\ud800|>"])
def test_a_special_token_must_show(token: str) -> None:
    for train in (partial(train_bpe, vocab_size=300), train_characters):
        with pytest.raises(UserError, match=r"is only white space|do not show"):
            train(["the cat"], special_tokens=[token])


@pytest.mark.parametrize("token", ["a", "Ġ", "the", "Ġthe", "", " "])
def test_a_special_token_that_is_also_text_is_refused(token: str) -> None:
    texts = ["the cat and the dog and the " * 50]
    with pytest.raises(UserError, match="special"):
        train_bpe(texts, vocab_size=300, special_tokens=[token])
    if len(token) < 2:
        with pytest.raises(UserError, match="special"):
            train_characters(texts, special_tokens=[token])
    with pytest.raises(UserError, match="twice"):
        train_characters(texts, special_tokens=["<s>", "<s>"])

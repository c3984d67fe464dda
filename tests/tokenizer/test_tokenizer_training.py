"""Training: sizes, digits, bounded memory, and folders that transformers opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters
from lmcraft.tokenizer.train import sample_evenly

TEXT = (Path(__file__).parent.parent.parent / "src/lmcraft/tokenizer/tokenizer.py").read_text() + "你好，世界。\n" * 20
SAMPLES = ["def f(x):\n\treturn  x", "你好世界", "it's 12345 o'clock", "  \n\n  ", "😀 a<|endoftext|>b", "", " "]


@pytest.mark.parametrize("vocab_size", [257, 300, 1000])
def test_vocabulary_has_the_size_asked_for(vocab_size: int) -> None:
    tokenizer = train_bpe([TEXT], vocab_size=vocab_size)
    assert tokenizer.vocab_size == vocab_size
    spelled = {tokenizer.token_bytes(token_id) for token_id in range(vocab_size)}
    assert {bytes([byte]) for byte in range(256)} <= spelled


def test_training_is_deterministic(tmp_path: Path) -> None:
    for name in "ab":
        train_bpe([TEXT], vocab_size=600).save(tmp_path / name)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


@pytest.mark.parametrize(("digits", "longest"), [(1, 1), (3, 3), (0, 6)])
def test_runs_of_digits(digits: int, longest: int) -> None:
    tokenizer = train_bpe(["123456 123456 " * 50], vocab_size=400, digits=digits)
    runs = [tokenizer.token_bytes(token_id).decode() for token_id in tokenizer.encode("123456")]
    assert max(map(len, runs)) == longest


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
    given_bytes = 0

    def texts() -> Iterator[str]:
        nonlocal given_bytes
        for number in range(4000):
            text = f"{number:04} " + "你好" * 400
            given_bytes += len(text.encode())
            yield text

    sample = sample_evenly(texts(), 500_000)
    size = sum(len(text.encode()) for text in sample)
    assert given_bytes > 9_000_000
    assert 200_000 < size <= 500_000
    numbers = [int(text[:4]) for text in sample]
    gaps = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
    assert len(gaps) == 1 and numbers[0] == 0 and numbers[-1] > 3900  # from all of it, at equal distances


@given(st.lists(st.text(max_size=50)), st.integers(1, 2000))
def test_a_sample_is_all_of_the_text_when_it_fits(texts: list[str], max_bytes: int) -> None:
    sample = sample_evenly(texts, max_bytes)
    total = sum(len(text.encode()) for text in texts)
    if total <= max_bytes:
        assert "".join(sample) == "".join(texts)
    assert sum(len(text.encode()) for text in sample) <= max(max_bytes, 200)


def test_one_long_piece_does_not_slow_training_down() -> None:
    train_bpe(["abcdefgh" * 100_000], vocab_size=1000)  # a word of 800,000 letters: minutes if pieces were not cut


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_transformers_opens_a_saved_tokenizer_and_gives_the_same_ids(tmp_path: Path, kind: str) -> None:
    from transformers import AutoTokenizer

    if kind == "bpe":
        ours = train_bpe([TEXT], vocab_size=600, special_tokens=("<|endoftext|>", "<|im_end|>"))
    else:
        ours = train_characters([TEXT, *SAMPLES])
    ours.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in SAMPLES:
        ids = ours.encode(text, parse_special=True)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs.decode(ids) == ours.decode(ids, skip_special_tokens=False) == text
        assert Tokenizer.load(tmp_path).encode(text) == ours.encode(text)
    assert theirs.eos_token_id == ours.eos_token_id
    assert theirs.all_special_ids == list(ours.special_tokens.values())

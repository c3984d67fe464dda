"""Round trips, streaming, and the same ids in transformers."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe, train_characters
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
def test_any_text_round_trips(text: str) -> None:
    assert BPE.decode(BPE.encode(text)) == text


@given(st.binary())
def test_any_bytes_round_trip(data: bytes) -> None:
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


def test_special_tokens_in_a_text_are_plain_text() -> None:
    end = BPE.eos_token_id
    assert end is not None
    assert end not in BPE.encode("a<|endoftext|>b") and BPE.decode(BPE.encode("a<|endoftext|>b")) == "a<|endoftext|>b"
    assert end in BPE.encode("a<|endoftext|>b", parse_special=True)


def test_the_text_form_shows_size_special_tokens_and_templates() -> None:
    tokenizer = Tokenizer(BPE._hf, {"eos_token": "<|endoftext|>", "chat_template": "{{ messages }}"})
    assert repr(tokenizer) == f"Tokenizer({BPE.vocab_size} tokens, eos_token='<|endoftext|>', chat templates default)"


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

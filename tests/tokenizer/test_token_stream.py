"""The incremental decoder, over vocabularies of every kind and for any sequence of tokens."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.gguf.test_vocabulary import sentencepiece

WORDS = ["▁", "▁the", "the", "a", "b", "▁a", "你", "🙂", "\ufffd", "e\u0301", "</w>", "##ing", ".", "n't", "\n", " "]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
BYTE_STEPS = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
DECODERS: dict[str, Any] = {
    "llama": decoders.Sequence([*BYTE_STEPS, decoders.Strip(" ", 1, 0)]),
    "gemma": decoders.Sequence(BYTE_STEPS),
    "metaspace": decoders.Metaspace(),
    "wordpiece": decoders.WordPiece(),
    "bpe": decoders.BPEDecoder(),
    "ctc": decoders.CTC(),
    "byte level": decoders.ByteLevel(),
    "fuse": decoders.Fuse(),
    "none": None,
}


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    tokens = ["<unk>", *BYTES, *WORDS]
    hf = HFTokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, [], unk_token="<unk>"))
    if DECODERS[kind] is not None:
        hf.decoder = DECODERS[kind]
    hf.pre_tokenizer = pre_tokenizers.Whitespace()
    hf.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    hf.add_tokens(["<tool_call>"])
    return Tokenizer(hf)


def streamed(tokenizer: Tokenizer, ids: list[int], *, skip_special_tokens: bool = True) -> str:
    stream = tokenizer.stream(skip_special_tokens=skip_special_tokens)
    return "".join([*map(stream.put, ids), stream.end()])


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("kind", DECODERS)
@given(data=st.data())
@settings(max_examples=60)
def test_no_sequence_of_tokens_raises(kind: str, skip: bool, data: st.DataObject) -> None:
    tokenizer = tokenizer_of(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size + 3), max_size=40))
    text = streamed(tokenizer, ids, skip_special_tokens=skip)
    assert isinstance(text, str)


@pytest.mark.parametrize("prefix", [True, False])
@given(text=st.text(st.sampled_from("ab the天🙂é\n  "), max_size=30))
@settings(max_examples=60)
def test_the_pieces_of_a_text_are_the_text(prefix: bool, text: str) -> None:
    tokenizer = sentencepiece(prefix)
    assert streamed(tokenizer, tokenizer.encode(text)) == tokenizer.decode(tokenizer.encode(text))


def test_invalid_bytes_do_not_hold_back_what_follows() -> None:
    tokenizer = tokenizer_of("llama")
    newline, lead, word = (tokenizer.id_of(token) or 0 for token in ("<0x0A>", "<0xF0>", "▁the"))
    stream = tokenizer.stream()
    assert stream.put(newline) == "\n"
    assert [stream.put(lead), stream.put(word)] == ["", "\ufffd the"]
    pieces = [stream.put(lead) for _ in range(100)]
    assert "".join(pieces).count("\ufffd") > 90
    assert [stream.put(word), stream.end()] == ["\ufffd" * 4 + " the", ""]


def test_special_tokens_leave_no_trace() -> None:
    tokenizer = tokenizer_of("llama")
    word, start = tokenizer.id_of("▁the") or 0, tokenizer.id_of("<s>") or 0
    assert streamed(tokenizer, [start, word, *[start] * 50, word]) == "the the"
    assert streamed(tokenizer, [word, start, word], skip_special_tokens=False) == "the<s> the"

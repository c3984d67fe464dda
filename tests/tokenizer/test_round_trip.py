"""Every text and all bytes come back from a byte-level tokenizer, at once and token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters

TEXT = "the cat sat on the mat. 你好，世界。你好！ def f(x):\n    return x + 12345\n" * 3
BPE = train_bpe([TEXT], vocab_size=400)
CHARACTERS = train_characters([TEXT], special_tokens=["<|endoftext|>", "<|unk|>"])

texts = st.text() | st.text(alphabet=st.sampled_from(list(TEXT) + ["<|endoftext|>", "\u00a0", "😀", "\r\n"]))
byte_strings = st.binary() | st.lists(st.binary(max_size=2) | texts.map(str.encode)).map(b"".join)


@given(texts)
def test_any_text_round_trips(text: str) -> None:
    ids = BPE.encode(text)
    assert BPE.decode(ids) == text
    assert BPE.decode_bytes(ids) == text.encode()
    assert BPE.encode_batch([text, "x"]) == [ids, BPE.encode("x")]
    assert not set(ids) & set(BPE.special_tokens.values())


@given(byte_strings)
def test_any_bytes_round_trip(data: bytes) -> None:
    ids = BPE.encode(data)
    assert BPE.decode_bytes(ids) == data
    assert BPE.decode(ids) == data.decode("utf-8", "replace")
    assert BPE.encode(data.decode("utf-8", "surrogateescape")) == ids


@given(byte_strings)
def test_streamed_pieces_are_the_decoded_text(data: bytes) -> None:
    ids = [*BPE.encode(data), 0, BPE.vocab_size + 5]
    stream = BPE.stream()
    assert "".join(map(stream.put, ids)) + stream.end() == BPE.decode(ids)


def test_a_stream_never_gives_half_a_character() -> None:
    ids = train_bpe(["ab" * 50], vocab_size=260).encode("你😀")  # seven tokens of one byte each
    stream = train_bpe(["ab" * 50], vocab_size=260).stream()
    assert [stream.put(token_id) for token_id in ids] == ["", "", "你", "", "", "", "😀"]
    assert stream.end() == ""


def test_special_tokens_are_read_only_when_asked_and_skipped_when_decoding() -> None:
    text = "a<|endoftext|>"
    assert BPE.eos_token_id == 0
    assert 0 not in BPE.encode(text)
    ids = BPE.encode(text, parse_special=True)
    assert ids[-1] == 0
    assert BPE.decode(ids) == "a"
    assert BPE.decode(ids, skip_special_tokens=False) == text
    kept = BPE.stream(skip_special_tokens=False)
    assert "".join(map(kept.put, ids)) == text


def test_lone_surrogates_that_are_no_bytes_become_replacement_characters() -> None:
    assert BPE.decode(BPE.encode("a\ud800b")) == "a\ufffdb"
    assert BPE.encode_batch(["a\ud800b"]) == [BPE.encode("a\ufffdb")]


@given(st.text(alphabet=sorted(set(TEXT))))
def test_characters_are_one_token_each_and_round_trip(text: str) -> None:
    ids = CHARACTERS.encode(text)
    assert len(ids) == len(text)
    assert CHARACTERS.decode(ids) == text
    stream = CHARACTERS.stream()
    assert "".join(map(stream.put, ids)) + stream.end() == text


def test_character_vocabulary_is_sorted_and_leaves_out_what_it_does_not_know() -> None:
    tokenizer = train_characters(["hello", "\n world"])
    assert [tokenizer.token_bytes(token_id).decode() for token_id in range(tokenizer.vocab_size)] == sorted(
        set("hello\n world")
    )
    assert tokenizer.eos_token_id is None
    assert tokenizer.decode(tokenizer.encode("he😀y\xfflo")) == "helo"
    assert CHARACTERS.eos_token_id == 0


def test_token_bytes() -> None:
    ids = BPE.encode("你好 the")
    assert b"".join(map(BPE.token_bytes, ids)) == "你好 the".encode()
    assert BPE.token_bytes(0) == b"<|endoftext|>"
    assert BPE.token_bytes(BPE.vocab_size) == b""


@pytest.fixture
def sentencepiece_like() -> Tokenizer:
    """A vocabulary in the manner of Llama 2: a mark for spaces, tokens for bytes, the first space stripped."""
    from tokenizers import Tokenizer as HFTokenizer
    from tokenizers import decoders, models, normalizers

    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    hf = HFTokenizer(models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", byte_fallback=True))
    hf.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    hf.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Tokenizer(hf)


@pytest.mark.parametrize("text", ["a b", "ab a", "你好 a", "a 😀", ""])
def test_other_vocabularies_decode_and_stream_as_the_library_does(sentencepiece_like: Tokenizer, text: str) -> None:
    ids = sentencepiece_like.encode(text)
    assert sentencepiece_like.decode(ids) == text
    for cut in range(len(ids) + 1):
        stream = sentencepiece_like.stream()
        pieces = [stream.put(token_id) for token_id in ids[:cut]]
        assert "".join(pieces) + stream.end() == sentencepiece_like.decode(ids[:cut])

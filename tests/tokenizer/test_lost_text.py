"""Characters without a token are counted, whatever the kind of the vocabulary."""

import pytest
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters


def lost(tokenizer: Tokenizer, text: str) -> int:
    return tokenizer.count_lost_bytes(text, tokenizer.encode(text))


def test_a_character_vocabulary_drops_what_it_does_not_know() -> None:
    tokenizer = train_characters(["abc 天"])
    assert [lost(tokenizer, text) for text in ("abc", "天 a", "xab", "地天", "Привет a")] == [0, 0, 1, 3, 12]


def test_byte_level_vocabularies_lose_nothing() -> None:
    assert lost(train_bpe(["some text"], vocab_size=300), "天地 😀 \0 é") == 0
    vocabulary = {"a": 0, "Ġ": 1}  # not all 256 bytes
    hf = HFTokenizer(models.BPE(vocabulary, []))
    hf.pre_tokenizer, hf.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    assert lost(Tokenizer(hf), "a ab 天") == 4


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("unknown", ["<unk>", None])
def test_sentencepiece_vocabularies(fallback: bool, unknown: str | None) -> None:
    tokens = ["<unk>", "▁", "a", "b", *(f"<0x{byte:02X}>" for byte in range(256) if fallback)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    hf = HFTokenizer(models.BPE(vocabulary, [], unk_token=unknown, byte_fallback=fallback))
    hf.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    hf.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    assert lost(Tokenizer(hf), "ab 天 b") == (0 if fallback else 3)
    assert lost(Tokenizer(hf), "ab b") == 0


def test_wordpiece_loses_unknown_words() -> None:
    hf = HFTokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    hf.pre_tokenizer, hf.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    assert lost(Tokenizer(hf), "ab a é xyz") == 5

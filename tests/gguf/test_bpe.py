"""Byte-level BPE: llama.cpp's pre-tokenizers by name."""

from typing import Any

import pytest
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.gguf.bpe import PRE_TOKENIZERS
from lmcraft.gguf.vocabulary import read_tokenizer, write_tokenizer
from lmcraft.tokenizer import Tokenizer, train_bpe
from tests.gguf.test_vocabulary import TRAINING, metadata, round_trip
from tests.gguf.texts import TEXTS


@pytest.mark.parametrize("pre_tokenizer", PRE_TOKENIZERS, ids=lambda entry: entry.names[0])
def test_every_pre_tokenizer_round_trips(pre_tokenizer: Any) -> None:
    trained = train_bpe(TRAINING, vocab_size=400).to_json()
    hf = HFTokenizer(models.BPE(trained["model"]["vocab"], [tuple(m) for m in trained["model"]["merges"]]))
    hf.model.ignore_merges = pre_tokenizer.ignore_merges
    splits = [pre_tokenizers.Split(Regex(step), behavior="isolated") for step in pre_tokenizer.steps]
    hf.pre_tokenizer = pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    tokenizer = Tokenizer(hf, {"eos_token": "<|endoftext|>"})
    written = write_tokenizer(tokenizer, {"vocab_size": 400})
    assert written["tokenizer.ggml.pre"] == pre_tokenizer.names[0]
    for name in pre_tokenizer.names:
        back = read_tokenizer(metadata(written | {"tokenizer.ggml.pre": name}))
        assert [back.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
    assert back.to_json()["model"]["ignore_merges"] == pre_tokenizer.ignore_merges


def test_pre_tokenizers_of_the_library_map_to_llama_cpp_names() -> None:
    tokenizer = train_bpe(TRAINING, vocab_size=400)
    hf = HFTokenizer.from_str(tokenizer._hf.to_str())
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2 = Tokenizer(hf, {"eos_token": "<|endoftext|>"})
    assert write_tokenizer(gpt2, {"vocab_size": 400})["tokenizer.ggml.pre"] == "gpt-2"
    hf = HFTokenizer.from_str(hf.to_str())
    digits, to_bytes = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.pre_tokenizer = pre_tokenizers.Sequence([digits, to_bytes])
    smollm = Tokenizer(hf, {"eos_token": "<|endoftext|>"})
    assert write_tokenizer(smollm, {"vocab_size": 400})["tokenizer.ggml.pre"] == "smollm"
    for tokenizer in (gpt2, smollm):
        back = round_trip(tokenizer)
        assert [back.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]

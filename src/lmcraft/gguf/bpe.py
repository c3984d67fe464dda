"""Byte-level BPE (GPT-2) in a GGUF file: tokens, merges, and the name of the pre-tokenizer.

The names and their patterns are llama.cpp's (`llm_tokenizer_bpe` in `llama-vocab.cpp`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.gguf.metadata import Metadata
from lmcraft.tokenizer.patterns import CL100K_WORDS, GPT2_WORDS, QWEN35_WORDS

_DIGIT = r"\p{N}"
_QWEN2 = CL100K_WORDS.format(digits="")
_LLAMA3 = CL100K_WORDS.format(digits="{1,3}")
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_OTHER = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}{_OTHER}"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}"
    rf"|\p{{N}}{{1,3}}{_OTHER}"
)


@dataclass(frozen=True)
class PreTokenizer:
    """How a text is split into the pieces that BPE merges within."""

    names: tuple[str, ...]
    """llama.cpp's names; the first one is written."""
    steps: tuple[str, ...]
    """Patterns, each applied to the pieces of the previous one."""
    ignore_merges: bool = False
    """A piece that is a token becomes that token, whatever the merges."""
    adds_bos: bool = False
    """Texts start with the BOS token unless the file says otherwise."""


PRE_TOKENIZERS = (
    PreTokenizer(("gpt-2", "phi-2", "olmo", "mpt", "jais", "mellum", "gigachat"), (GPT2_WORDS,)),
    PreTokenizer(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), (_DIGIT, GPT2_WORDS)),
    PreTokenizer(("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), (_QWEN2,)),
    PreTokenizer(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"),
        (_LLAMA3,),
        ignore_merges=True,
        adds_bos=True,
    ),
    PreTokenizer(("smaug-bpe", "dbrx"), (_LLAMA3,)),
    PreTokenizer(("qwen35",), (QWEN35_WORDS,)),
    PreTokenizer(("tekken",), (_TEKKEN,), ignore_merges=True, adds_bos=True),
    PreTokenizer(("gpt-4o", "llama4"), (_GPT4O,)),
    PreTokenizer(("default",), (r"[\p{P}\$\+<=>\^~\|]+", GPT2_WORDS, r"\p{N}+", r"[0-9][0-9][0-9]")),
)
DROPPED_NORMALIZERS = ("NFC",)  # Qwen's; llama.cpp and its converter support no normalizer


def pre_tokenizer_of(metadata: Metadata) -> PreTokenizer:
    """The pre-tokenizer that a file names; "default" if it names none, as in llama.cpp.

    Raises:
        UserError: it is not supported.
    """
    name = metadata.text("tokenizer.ggml.pre") or "default"
    pre_tokenizer = next((entry for entry in PRE_TOKENIZERS if name in entry.names), None)
    if pre_tokenizer is None:
        supported = ", ".join(name for entry in PRE_TOKENIZERS for name in entry.names)
        raise metadata.invalid(
            "tokenizer.ggml.pre", f"the pre-tokenizer {name[:60]!r} is not supported; supported: {supported}"
        )
    return pre_tokenizer


def read_bpe(metadata: Metadata, vocab: Mapping[str, int]) -> HFTokenizer:
    """The tokenizer of a file whose `tokenizer.ggml.model` is "gpt2", without its special tokens.

    Raises:
        UserError: the pre-tokenizer is not supported, or a merge does not match the tokens.
    """
    pre_tokenizer = pre_tokenizer_of(metadata)
    merges = []
    for merge in metadata.texts("tokenizer.ggml.merges") or []:
        first, space, second = merge.partition(" ")
        if not space or first not in vocab or second not in vocab or first + second not in vocab:
            raise metadata.invalid("tokenizer.ggml.merges", f"{merge[:60]!r} is not two tokens that form a third")
        merges.append((first, second))
    hf = HFTokenizer(models.BPE(vocab=dict(vocab), merges=merges, ignore_merges=pre_tokenizer.ignore_merges))
    steps = [pre_tokenizers.Split(Regex(step), behavior="isolated") for step in pre_tokenizer.steps]
    hf.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    hf.decoder = decoders.ByteLevel()
    return hf


def is_bpe(tokenizer_json: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is byte-level BPE."""
    decoder = tokenizer_json["decoder"] or {}
    steps = [step["type"] for step in decoder.get("decoders", [decoder]) if step]
    return tokenizer_json["model"]["type"] == "BPE" and "ByteLevel" in steps


def write_bpe(tokenizer_json: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a byte-level BPE tokenizer, without its tokens. An NFC normalizer is dropped.

    Raises:
        UserError: GGUF cannot express the tokenizer, or llama.cpp has no name for its pre-tokenizer.
    """
    model = tokenizer_json["model"]
    unsupported = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if option := next((key for key in unsupported if model.get(key)), None):
        raise UserError(f"a tokenizer with {option}={model[option]!r} cannot be exported to GGUF")
    for normalizer in _flat(tokenizer_json["normalizer"], "normalizers"):
        if normalizer["type"] not in DROPPED_NORMALIZERS:
            raise UserError(f"a tokenizer with the normalizer {normalizer['type']} cannot be exported to GGUF")
    steps = tuple(_steps(_flat(tokenizer_json["pre_tokenizer"], "pretokenizers")))
    ignore_merges = bool(model.get("ignore_merges"))
    key = (steps, ignore_merges)
    pre_tokenizer = next((entry for entry in PRE_TOKENIZERS if (entry.steps, entry.ignore_merges) == key), None)
    if pre_tokenizer is None:
        raise UserError(
            "llama.cpp has no name for this tokenizer's pre-tokenizer; train one with digits=1 (as Qwen) or digits=3 (as "
            "Llama 3)"
        )
    if not model["merges"]:
        raise UserError("a tokenizer without merges cannot be exported to GGUF; train one with a larger vocabulary")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre_tokenizer.names[0], "tokenizer.ggml.merges": merges}


def _flat(step: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """The steps of a (nested) Sequence, the single step, or none."""
    if step is None:
        return []
    return [part for inner in step[key] for part in _flat(inner, key)] if step["type"] == "Sequence" else [step]


def _steps(pre_tokenizers_json: Sequence[Mapping[str, Any]]) -> list[str]:
    steps = []
    for step in pre_tokenizers_json:
        pattern = (step.get("pattern") or {}).get("Regex")
        if step["type"] == "Split" and pattern and step["behavior"] == "Isolated" and not step["invert"]:
            steps.append(pattern)
        elif step["type"] == "Digits" and step["individual_digits"]:
            steps.append(_DIGIT)
        elif step["type"] == "ByteLevel" and not step["add_prefix_space"]:
            steps += [GPT2_WORDS] if step["use_regex"] else []
        else:
            steps.append(f"unsupported step: {step['type']}")
    return steps

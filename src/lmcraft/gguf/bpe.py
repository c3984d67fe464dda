"""Byte-level BPE (GPT-2's kind) in a GGUF file: tokens, merges, and a name for how a text is cut before they apply.

The names and their patterns are llama.cpp's (`llm_tokenizer_bpe` in `llama-vocab.cpp`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.gguf.metadata import Metadata
from lmcraft.tokenizer.train import PIECES

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_DIGIT = r"\p{N}"
_QWEN2 = PIECES.format(digits="")
_LLAMA3 = PIECES.format(digits="{1,3}")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}{_REST}"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SHORT}"
    rf"|\p{{N}}{{1,3}}{_REST}"
)


@dataclass(frozen=True)
class Cut:
    """A way to cut a text into the pieces that BPE merges within."""

    names: tuple[str, ...]
    """llama.cpp's; the first is the one to write."""
    steps: tuple[str, ...]
    """Patterns, each applied within the pieces of the one before."""
    ignore_merges: bool = False
    """A piece that is a token becomes it, whatever the merges say."""
    adds_bos: bool = False
    """A text begins with a token for that unless the file says otherwise."""


CUTS = (
    Cut(("gpt-2", "phi-2", "olmo", "mpt", "jais", "mellum", "gigachat"), (_GPT2,)),
    Cut(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), (_DIGIT, _GPT2)),
    Cut(("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), (_QWEN2,)),
    Cut(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"), (_LLAMA3,), ignore_merges=True, adds_bos=True),
    Cut(("smaug-bpe", "dbrx"), (_LLAMA3,)),
    Cut(("qwen35",), (_QWEN35,)),
    Cut(("tekken",), (_TEKKEN,), ignore_merges=True, adds_bos=True),
    Cut(("gpt-4o", "llama4"), (_GPT4O,)),
    Cut(("default",), (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
)
NORMALIZERS_LEFT_OUT = ("NFC",)  # Qwen's; llama.cpp and its converter know none


def cut_of(metadata: Metadata) -> Cut:
    """The way that a file names; none is "default", as in llama.cpp.

    Raises:
        UserError: it is not known here.
    """
    name = metadata.text("tokenizer.ggml.pre") or "default"
    cut = next((cut for cut in CUTS if name in cut.names), None)
    if cut is None:
        known = ", ".join(name for cut in CUTS for name in cut.names)
        raise metadata.wrong("tokenizer.ggml.pre", f"the way {name[:60]!r} of cutting texts is not known, only {known}")
    return cut


def read_bpe(metadata: Metadata, vocab: Mapping[str, int]) -> HFTokenizer:
    """The tokenizer of a file whose `tokenizer.ggml.model` is "gpt2", without its special tokens.

    Raises:
        UserError: the way it cuts texts is unknown, or its merges do not fit its tokens.
    """
    cut = cut_of(metadata)
    merges = []
    for merge in metadata.texts("tokenizer.ggml.merges") or []:
        first, space, second = merge.partition(" ")
        if not space or first not in vocab or second not in vocab or first + second not in vocab:
            raise metadata.wrong("tokenizer.ggml.merges", f"{merge[:60]!r} is not two tokens that make a third")
        merges.append((first, second))
    hf = HFTokenizer(models.BPE(vocab=dict(vocab), merges=merges, ignore_merges=cut.ignore_merges))
    steps = [pre_tokenizers.Split(Regex(step), behavior="isolated") for step in cut.steps]
    hf.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    hf.decoder = decoders.ByteLevel()
    return hf


def is_bpe(tokenizer_json: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is byte-level BPE."""
    decoder = tokenizer_json["decoder"] or {}
    steps = [step["type"] for step in decoder.get("decoders", [decoder]) if step]
    return tokenizer_json["model"]["type"] == "BPE" and "ByteLevel" in steps


def write_bpe(tokenizer_json: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a byte-level tokenizer, without its tokens. A normalizer is left out if it is NFC.

    Raises:
        UserError: llama.cpp has no name for the way that it cuts texts.
    """
    model = tokenizer_json["model"]
    unusual = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if wrong := next((key for key in unusual if model.get(key)), None):
        raise UserError(f"a tokenizer with {wrong}={model[wrong]!r} cannot be said in GGUF")
    for normalizer in _flat(tokenizer_json["normalizer"], "normalizers"):
        if normalizer["type"] not in NORMALIZERS_LEFT_OUT:
            raise UserError(f"a tokenizer that normalizes texts by {normalizer['type']} cannot be said in GGUF")
    steps = tuple(_steps(_flat(tokenizer_json["pre_tokenizer"], "pretokenizers")))
    ignore_merges = bool(model.get("ignore_merges"))
    cut = next((cut for cut in CUTS if (cut.steps, cut.ignore_merges) == (steps, ignore_merges)), None)
    if cut is None:
        raise UserError(
            "llama.cpp has no name for the way that this tokenizer cuts texts into pieces: for one that was trained with "
            "digits=1 (Qwen's way) or digits=3 (Llama 3's) it has"
        )
    if not model["merges"]:
        raise UserError("a tokenizer without merges cannot be said in GGUF: train one with more tokens")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": cut.names[0], "tokenizer.ggml.merges": merges}


def _flat(step: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """The steps of a Sequence, or the one step, or none."""
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
            steps += [_GPT2] if step["use_regex"] else []
        else:
            steps.append(f"an unknown step: {step['type']}")
    return steps

"""SentencePiece vocabularies (Llama 2, Mistral, Phi 3, Gemma) in a GGUF file: tokens with scores instead of merges.

SentencePiece's BPE (arXiv 1808.06226) joins the neighbors whose union has the highest score. Hugging Face's `tokenizers`
needs a list of merges instead: all ways to form a token from two others, highest score first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, normalizers

from lmcraft.errors import UserError
from lmcraft.gguf.metadata import Metadata

SPACE = "▁"
MAX_TOKEN_CHARS = 512  # longer tokens get no merges, because a token has as many splits as characters
MAX_MERGES_PER_TOKEN = 4  # real vocabularies have two
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def read_sentencepiece(
    metadata: Metadata, vocab: Mapping[str, int], mergeable: Mapping[str, float], unk_token: str | None
) -> HFTokenizer:
    """The tokenizer of a file whose `tokenizer.ggml.model` is "llama", without its special tokens.

    Args:
        metadata: metadata of the file.
        vocab: all tokens and their ids.
        mergeable: tokens that merges may form, and their scores.
        unk_token: the unknown token.

    Raises:
        UserError: the tokenizer uses a feature that `tokenizers` does not have.
    """
    for key in ("tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.precompiled_charsmap"):
        if (value := metadata.get(key)) is not None and value is not False:
            raise metadata.invalid(key, "this normalization is not supported")
    has_bytes = any(map(_BYTE.fullmatch, vocab))
    hf = HFTokenizer(
        models.BPE(
            vocab=dict(vocab),
            merges=build_merges(mergeable),
            unk_token=unk_token,
            fuse_unk=True,
            byte_fallback=has_bytes,
        )
    )
    to_text: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    to_tokens: list[Any] = [normalizers.Replace(" ", SPACE)]
    prefix = metadata.flag("tokenizer.ggml.add_space_prefix")
    if prefix is None or prefix:
        to_tokens.insert(0, normalizers.Prepend(SPACE))
        to_text.append(decoders.Strip(" ", 1, 0))
    hf.normalizer = normalizers.Sequence(to_tokens)
    hf.decoder = decoders.Sequence(to_text)
    return hf


def build_merges(tokens: Mapping[str, float]) -> list[tuple[str, str]]:
    """All ways to form a token from two: highest score first, then longest first half, then longest second half.

    Raises:
        UserError: there are too many for a real vocabulary.
    """
    interned = {token: token for token in tokens}  # merges share these strings
    max_merges = 10_000 + MAX_MERGES_PER_TOKEN * len(tokens)
    merges: list[tuple[float, int, int, str, str]] = []
    for token, score in tokens.items():
        rank = -score
        for split in range(1, len(token) if len(token) <= MAX_TOKEN_CHARS else 0):
            first, second = interned.get(token[:split]), interned.get(token[split:])
            if first is not None and second is not None:
                merges.append((rank, -split, split - len(token), first, second))
        if len(merges) > max_merges:
            raise UserError(f"the {len(tokens)} tokens have more than {max_merges} merges; this is not a real vocabulary")
    merges.sort(key=lambda entry: entry[:3])
    return [(first, second) for *_, first, second in merges]


def is_sentencepiece(tokenizer_json: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is SentencePiece BPE: byte fallback, and spaces written as ▁."""
    decoder = tokenizer_json["decoder"] or {}
    steps = [step["type"] for step in decoder.get("decoders", [])]
    return (
        tokenizer_json["model"]["type"] == "BPE" and bool(tokenizer_json["model"].get("byte_fallback")) and "Fuse" in steps
    )


def write_sentencepiece(tokenizer_json: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, Any]:
    """The metadata of a SentencePiece tokenizer, without its tokens; each token is scored by the first merge that forms it.

    Raises:
        UserError: llama.cpp does not support its normalizer or pre-tokenizer.
    """
    model = tokenizer_json["model"]
    if not all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256)):
        raise UserError("a SentencePiece tokenizer without a token for each byte cannot be exported to GGUF")
    rank: dict[str, int] = {}
    for merge in model["merges"]:
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        rank.setdefault(first + second, len(rank))
    last = float(-len(rank))
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.add_space_prefix": _adds_space(tokenizer_json),
        "tokenizer.ggml.scores": [float(-rank[token]) if token in rank else last for token in tokens],
    }


def _adds_space(tokenizer_json: Mapping[str, Any]) -> bool:
    """Whether a space is put before texts; any other normalization raises UserError."""
    normalizer, pre_tokenizer = tokenizer_json["normalizer"], tokenizer_json["pre_tokenizer"]
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    operations = [(step["type"], step.get("prepend", step.get("content"))) for step in steps]
    replaced = ("Replace", SPACE)
    if (
        pre_tokenizer is not None
        and pre_tokenizer["type"] == "Metaspace"
        and not operations
        and not pre_tokenizer.get("split", True)
    ):
        return bool(pre_tokenizer["prepend_scheme"] != "never")
    # Gemma's pre-tokenizer splits at spaces, but the normalizer leaves none.
    if pre_tokenizer is None or (pre_tokenizer["type"] == "Split" and pre_tokenizer["pattern"] == {"String": " "}):
        if operations == [replaced]:
            return False
        if operations == [("Prepend", SPACE), replaced]:
            return True
    raise UserError("this tokenizer's normalizer cannot be exported to GGUF; only SentencePiece's spaces are supported")

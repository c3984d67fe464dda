"""SentencePiece vocabularies (Llama 2, Mistral, Phi 3, Gemma) in a GGUF file: tokens with scores and no merges.

SentencePiece's BPE (arXiv 1808.06226) joins the neighbors whose union has the highest score. Hugging Face's `tokenizers`
wants that as a list of merges, which is every way to make a token of two others, the highest score first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, normalizers

from lmcraft.errors import UserError
from lmcraft.gguf.metadata import Metadata

SPACE = "▁"
LONGEST_TOKEN = 512  # no real token is longer, and a token has as many splits as characters
MOST_MERGES = 4  # for each token; real vocabularies have two
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def read_sentencepiece(
    metadata: Metadata, vocab: Mapping[str, int], mergeable: Mapping[str, float], unk_token: str | None
) -> HFTokenizer:
    """The tokenizer of a file whose `tokenizer.ggml.model` is "llama", without its special tokens.

    Args:
        metadata: the file's.
        vocab: every token and its id.
        mergeable: the tokens that others may be joined to, and their scores.
        unk_token: stands for what has no token.

    Raises:
        UserError: the tokenizer needs what `tokenizers` cannot do.
    """
    for key in ("tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.precompiled_charsmap"):
        if (value := metadata.get(key)) is not None and value is not False:
            raise metadata.wrong(key, "normalizing texts by it is not supported")
    has_bytes = any(map(_BYTE.fullmatch, vocab))
    hf = HFTokenizer(
        models.BPE(
            vocab=dict(vocab),
            merges=merges_of(mergeable),
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


def merges_of(tokens: Mapping[str, float]) -> list[tuple[str, str]]:
    """Every way to make a token of two: the highest score first, then the longest first half, then the longest second.

    Raises:
        UserError: there are so many that these are no tokens of a language.
    """
    spelled = {token: token for token in tokens}  # so that no merge keeps strings of its own
    most = 10_000 + MOST_MERGES * len(tokens)
    found: list[tuple[float, int, int, str, str]] = []
    for token, score in tokens.items():
        rank = -score
        for place in range(1, len(token) if len(token) <= LONGEST_TOKEN else 0):
            first, second = spelled.get(token[:place]), spelled.get(token[place:])
            if first is not None and second is not None:
                found.append((rank, -place, place - len(token), first, second))
        if len(found) > most:
            raise UserError(f"the {len(tokens)} tokens have more than {most} merges: they are of no real vocabulary")
    found.sort(key=lambda entry: entry[:3])
    return [(first, second) for *_, first, second in found]


def is_sentencepiece(tokenizer_json: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is BPE with the bytes as tokens and spaces written as SentencePiece does."""
    decoder = tokenizer_json["decoder"] or {}
    steps = [step["type"] for step in decoder.get("decoders", [])]
    return (
        tokenizer_json["model"]["type"] == "BPE" and bool(tokenizer_json["model"].get("byte_fallback")) and "Fuse" in steps
    )


def write_sentencepiece(tokenizer_json: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, Any]:
    """The metadata of such a tokenizer, without its tokens: a score for each, by the first merge that makes it.

    Raises:
        UserError: it prepares texts in a way that llama.cpp does not have.
    """
    model = tokenizer_json["model"]
    if not all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256)):
        raise UserError("a SentencePiece tokenizer without a token for each byte cannot be said in GGUF")
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
    """Whether texts get a space in front; every other way to prepare them is refused."""
    normalizer, cut = tokenizer_json["normalizer"], tokenizer_json["pre_tokenizer"]
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    said = [(step["type"], step.get("prepend", step.get("content"))) for step in steps]
    replaced = ("Replace", SPACE)
    if cut is not None and cut["type"] == "Metaspace" and not said and not cut.get("split", True):
        return bool(cut["prepend_scheme"] != "never")
    # Gemma's cuts at spaces, of which there are none left.
    if cut is None or (cut["type"] == "Split" and cut["pattern"] == {"String": " "}):
        if said == [replaced]:
            return False
        if said == [("Prepend", SPACE), replaced]:
            return True
    raise UserError("this tokenizer prepares texts in a way that cannot be said in GGUF: only SentencePiece's spaces can")

"""Byte-level BPE from a vocabulary and a list of merges: folders without tokenizer.json, as GPT-2 and Qwen write them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json
from lmcraft.tokenizer.patterns import CL100K_WORDS

# The two files, as transformers and as OpenAI name them.
FILE_NAMES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
GPT2_END_OF_TEXT = "<|endoftext|>"
# As in transformers' Qwen2Tokenizer.
QWEN2_WORDS = CL100K_WORDS.format(digits="")


@dataclass(frozen=True)
class TokenizerKind:
    """What a tokenizer class of transformers stands for, beyond its files."""

    composes: bool = False
    """Whether it normalizes text to NFC."""
    words: str = ""
    """The regular expression that splits a text into words; empty for GPT-2's."""
    roles: Mapping[str, str] = field(
        default_factory=lambda: dict.fromkeys(("bos_token", "eos_token", "unk_token"), GPT2_END_OF_TEXT)
    )
    """The special tokens where the settings name no others; those that the vocabulary lacks do not count."""


GPT2 = TokenizerKind()
QWEN2 = TokenizerKind(
    composes=True,
    words=QWEN2_WORDS,
    roles=dict.fromkeys(("eos_token", "unk_token", "pad_token"), GPT2_END_OF_TEXT),
)
KINDS = {
    "GPT2Tokenizer": GPT2,
    "CodeGenTokenizer": GPT2,
    "GPTNeoXTokenizer": TokenizerKind(composes=True, roles={**GPT2.roles, "pad_token": "<|padding|>"}),
    "Qwen2Tokenizer": QWEN2,
}
GENERIC_CLASSES = ("", "PreTrainedTokenizer", "TokenizersBackend")  # these leave the kind open


def find_pair(folder: Path) -> tuple[Path, Path] | None:
    """The vocabulary and the merges in a folder."""
    pairs = ((folder / vocabulary, folder / merges) for vocabulary, merges in FILE_NAMES)
    return next((pair for pair in pairs if all(map(has_file, pair))), None)


def read_pair(vocabulary: Path, merges: Path, config: Mapping[str, Any]) -> tuple[HFTokenizer, dict[str, Any]]:
    """The tokenizer of these files, without added tokens, and the settings with what its class adds to them.

    Raises:
        UserError: the settings name a class that is not supported.
    """
    kind = _kind(vocabulary.parent, config)
    hf = HFTokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    add_prefix_space = bool(config.get("add_prefix_space"))
    if kind.composes:
        hf.normalizer = normalizers.NFC()
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=not kind.words)
    if kind.words:
        split = pre_tokenizers.Split(Regex(kind.words), behavior="isolated")
        hf.pre_tokenizer = pre_tokenizers.Sequence([split, hf.pre_tokenizer])
    hf.decoder = decoders.ByteLevel()
    roles = {role: token for role, token in kind.roles.items() if hf.token_to_id(token) is not None}
    return hf, {**roles, **config}


def _kind(folder: Path, config: Mapping[str, Any]) -> TokenizerKind:
    name = str(config.get("tokenizer_class") or "").removesuffix("Fast")
    if name in KINDS:
        return KINDS[name]
    if name not in GENERIC_CLASSES:
        raise UserError(
            f"'{folder}' has no tokenizer.json, and its tokenizer_class '{name}' is not supported without one: write one "
            "with AutoTokenizer.from_pretrained(folder).save_pretrained(folder) of transformers"
        )
    file = folder / "config.json"
    model_type = str(read_json(file).get("model_type") if has_file(file) else "")
    return QWEN2 if model_type.startswith("qwen") else GPT2

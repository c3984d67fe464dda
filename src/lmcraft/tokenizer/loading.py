"""Load a tokenizer from its files: tokenizer.json and tokenizer_config.json, or GPT-2's vocab.json and merges.txt."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError

# GPT-2's two files, as transformers and as OpenAI name them.
VOCABULARY_AND_MERGES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
GPT2_END_OF_TEXT = "<|endoftext|>"


def read_tokenizer(path: Path) -> tuple[HFTokenizer, dict[str, Any]]:
    """Read the tokenizer at `path` (a folder or a tokenizer.json) and the contents of its tokenizer_config.json.

    Raises:
        UserError: there is no tokenizer at `path`, or its files are damaged.
    """
    folder = path if path.is_dir() else path.parent
    file = path / "tokenizer.json" if path.is_dir() else path
    pair = next(((v, m) for v, m in VOCABULARY_AND_MERGES if (folder / v).is_file() and (folder / m).is_file()), None)
    try:
        if file.is_file():
            hf = HFTokenizer.from_str(file.read_text(encoding="utf-8"))
        elif path.is_dir() and pair is not None:
            hf = _read_gpt2(*(path / name for name in pair))
        else:
            raise UserError(
                f"there is no tokenizer at '{path}'; pass a tokenizer.json, or a folder with tokenizer.json or with "
                "vocab.json and merges.txt (`lmcraft tokenizer train` creates one)"
            )
        return hf, _read_config(folder)
    except UserError:
        raise
    except Exception as error:  # the library raises bare Exception for a damaged file
        raise UserError(f"the tokenizer at '{path}' cannot be read ({error}); download or train it again") from error


def _read_gpt2(vocabulary: Path, merges: Path) -> HFTokenizer:
    hf = HFTokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    if hf.token_to_id(GPT2_END_OF_TEXT) is not None:
        hf.add_special_tokens([AddedToken(GPT2_END_OF_TEXT, special=True, normalized=False)])
    return hf


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not isinstance(config, dict):
        raise ValueError("tokenizer_config.json is not an object")
    template = folder / "chat_template.jinja"
    if template.is_file():
        config["chat_template"] = template.read_text(encoding="utf-8")
    return config


def chat_template_of(config: Mapping[str, Any], name: str = "default") -> str | None:
    """The chat template; if there are several, the one called `name`, else "default"."""
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get(name, named.get("default"))
    return template if isinstance(template, str) else None


def special_token(config: Mapping[str, Any], key: str) -> str | None:
    """A special token of tokenizer_config.json, such as `eos_token`: a string, or an object with `content`."""
    value = config.get(key)
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None

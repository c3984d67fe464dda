"""Tokens that a tokenizer's files list beside its vocabulary, such as "<|im_start|>", added as transformers adds them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json

CONFIG = "tokenizer_config.json"
DECODER = "added_tokens_decoder"
ADDED_TOKENS = "added_tokens.json"
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Settings that hold several special tokens: a list, or an object of them by name.
GROUPS = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def add_listed_tokens(hf: HFTokenizer, config: Mapping[str, Any], folder: Path) -> None:
    """Add the tokens of added_tokens_decoder, or else of added_tokens.json, and the special tokens that the settings name.

    Raises:
        UserError: a file lists something that is not a token, or gives a token an id that the vocabulary contradicts.
    """
    present = {token.content for token in hf.get_added_tokens_decoder().values()}
    file, listed = _listed_tokens(config, folder, present)
    named = [content for content in named_special_tokens(config) if content not in present | listed.keys()]
    # A single character, such as "!" for padding, is also text, and would vanish from answers.
    extra = [AddedToken(name, special=True, normalized=False) for name in named if len(name) > 1]
    hf.add_tokens([*(token for _, token in listed.values()), *extra])
    for content, (token_id, _) in listed.items():
        if content not in present and (actual := hf.token_to_id(content)) != token_id:
            raise UserError(
                f"'{file}' gives the token '{content}' the id {token_id}, but with this vocabulary it has the id {actual}: "
                "correct the file, or download the folder again"
            )


def named_special_tokens(config: Mapping[str, Any]) -> list[str]:
    """The special tokens that tokenizer_config.json names, those with a role first, each once."""
    roles = [config.get(key) for key in ROLES]
    others = [value for key, value in config.items() if key.endswith("_token") and key not in ROLES]
    groups = [config.get(key) or [] for key in GROUPS]
    members = [token for group in groups for token in (group.values() if isinstance(group, dict) else group)]
    contents = [token.get("content") if isinstance(token, dict) else token for token in (*roles, *others, *members)]
    return list(dict.fromkeys(content for content in contents if isinstance(content, str) and content))


def _listed_tokens(
    config: Mapping[str, Any], folder: Path, present: set[str]
) -> tuple[Path, dict[str, tuple[int, AddedToken]]]:
    """The file that lists tokens with their ids, and these by content, ordered by id."""
    special = set(named_special_tokens(config))
    tokens: list[tuple[int, AddedToken]] = []
    file = folder / CONFIG
    if config.get(DECODER) is None and has_file(folder / ADDED_TOKENS):
        file = folder / ADDED_TOKENS
        for content, token_id in read_json(file).items():
            if content not in present:
                is_special = content in special
                token = AddedToken(content, special=is_special, normalized=not is_special)
                tokens.append((_token_id(file, content, token_id), token))
    entries = config.get(DECODER) or {}
    for key, fields in entries.items() if isinstance(entries, dict) else [(DECODER, entries)]:
        if not isinstance(fields, dict) or not isinstance(fields.get("content"), str) or not fields["content"]:
            raise UserError(f"'{file}': {DECODER} has no token under '{key}': give an object with content, or remove it")
        content = fields["content"]
        flags = {name: bool(fields[name]) for name in FLAGS if fields.get(name) is not None}
        flags["special"] = flags.get("special", False) or content in special
        tokens.append((_token_id(file, content, key), AddedToken(content, **flags)))
    return file, {token.content: (token_id, token) for token_id, token in sorted(tokens, key=lambda pair: pair[0])}


def _token_id(file: Path, content: str, token_id: object) -> int:
    if isinstance(token_id, int | str) and not isinstance(token_id, bool) and str(token_id).isdecimal():
        return int(token_id)
    raise UserError(f"'{file}' gives the token '{content}' the id {token_id!r}: give a whole number of at least 0")

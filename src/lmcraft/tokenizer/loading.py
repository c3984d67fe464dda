"""Load a tokenizer from its files: tokenizer.json and tokenizer_config.json, or a vocabulary and its merges."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, processors
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json
from lmcraft.tokenizer.added_tokens import add_listed_tokens
from lmcraft.tokenizer.trial import try_tokenizer
from lmcraft.tokenizer.vocabulary_and_merges import find_pair, read_pair

DEFAULT_TEMPLATE = "default"
ADDITIONAL_TEMPLATES = "additional_chat_templates"
MAX_TOKENIZER_BYTES = 256 * 2**20


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return has_file(folder / "tokenizer.json") or find_pair(folder) is not None


def read_tokenizer(path: Path) -> tuple[HFTokenizer, dict[str, Any]]:
    """Read the tokenizer at `path` (a folder or a tokenizer.json) and the contents of its tokenizer_config.json.

    Raises:
        UserError: there is no tokenizer at `path`, or its files are damaged.
    """
    folder = path if path.is_dir() else path.parent
    file = path / "tokenizer.json" if path.is_dir() else path
    pair = find_pair(path) if path.is_dir() else None
    try:
        if has_file(file):
            contents = _read_bytes(file)
            try_tokenizer(contents, path)
            hf, config = HFTokenizer.from_str(contents.decode("utf-8")), _read_config(folder)
        elif pair is not None:
            hf, config = read_pair(*pair, _read_config(folder))
        else:
            raise UserError(
                f"there is no tokenizer at '{path}'; pass a tokenizer.json, or a folder with tokenizer.json or with "
                "vocab.json and merges.txt (`lmcraft tokenizer train` creates one)"
            )
        add_listed_tokens(hf, config, folder)
        begin = hf.token_to_id(special_token(config, "bos_token") or "")
        if not has_file(file) and config.get("add_bos_token") and begin is not None:
            hf = with_borders(hf, [begin], None)
        return hf, config
    except UserError:
        raise
    except Exception as error:  # the library raises bare Exception for a damaged file
        raise UserError(f"the tokenizer at '{path}' cannot be read ({error}); download or train it again") from error


def _read_bytes(file: Path) -> bytes:
    if (size := file.stat().st_size) > MAX_TOKENIZER_BYTES:
        raise UserError(f"'{file}' has {size:,} bytes, and {MAX_TOKENIZER_BYTES:,} at most are read; download it again")
    return file.read_bytes()


def _read_config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, completed by special_tokens_map.json and by the files of chat templates."""
    file, special = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    config = read_json(file) if has_file(file) else {}
    for key, token in (read_json(special) if has_file(special) else {}).items():
        if config.get(key) is None:
            config[key] = token
    if templates := _read_template_files(folder):
        named = {**chat_templates_of(config), **templates}
        config["chat_template"] = templates_json(named)
    return config


def _read_template_files(folder: Path) -> dict[str, str]:
    """The templates in chat_template.jinja (the default one) and additional_chat_templates, by name."""
    files = {file.stem: file for file in sorted((folder / ADDITIONAL_TEMPLATES).glob("*.jinja"))}
    files[DEFAULT_TEMPLATE] = folder / "chat_template.jinja"
    return {name: _read_text(file) for name, file in files.items() if has_file(file)}


def _read_text(file: Path) -> str:
    try:
        return _read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"'{file}' is not UTF-8: convert it, or download it again") from error


def chat_templates_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The chat templates by name; a single one is "default"."""
    template = config.get("chat_template")
    if isinstance(template, list):
        template = {str(entry.get("name")): entry.get("template") for entry in template if isinstance(entry, dict)}
    named = template if isinstance(template, dict) else {DEFAULT_TEMPLATE: template}
    return {str(name): text for name, text in named.items() if isinstance(text, str)}


def templates_json(templates: Mapping[str, str]) -> str | list[dict[str, str]]:
    """Templates by name in the form of tokenizer_config.json."""
    if templates.keys() == {DEFAULT_TEMPLATE}:
        return templates[DEFAULT_TEMPLATE]
    return [{"name": name, "template": text} for name, text in templates.items()]


def chat_template_of(config: Mapping[str, Any], name: str = DEFAULT_TEMPLATE) -> str | None:
    """The chat template; if there are several, the one called `name`, else "default"."""
    named = chat_templates_of(config)
    return named.get(name, named.get(DEFAULT_TEMPLATE))


def border_ids(hf: HFTokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that the post-processor puts before a text, and those after it."""
    encoding = hf.encode("a")
    begin, _, end = "".join("#" if special else "a" for special in encoding.special_tokens_mask).partition("a")
    return tuple(encoding.ids[: len(begin)]), tuple(encoding.ids[len(encoding.ids) - end.count("#") :])


def with_borders(hf: HFTokenizer, begin_ids: Sequence[int], end_id: int | None) -> HFTokenizer:
    """A copy of a tokenizer whose post-processor puts these tokens around a text."""
    copy = HFTokenizer.from_str(hf.to_str())
    tokens = {hf.id_to_token(i): i for i in [*begin_ids, *([] if end_id is None else [end_id])]}
    around = [hf.id_to_token(i) for i in begin_ids], [] if end_id is None else [hf.id_to_token(end_id)]
    template = [*around[0], "$A", *around[1]]
    copy.post_processor = processors.TemplateProcessing(single=template, special_tokens=list(tokens.items()))
    return copy


def with_special_tokens(hf: HFTokenizer, tokens: Sequence[str]) -> HFTokenizer:
    """A copy of a tokenizer with more special tokens."""
    copy = HFTokenizer.from_str(hf.to_str())
    copy.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    return copy


def without_tokens(hf: HFTokenizer, tokens: Collection[str]) -> HFTokenizer:
    """A copy of a tokenizer without some of its added tokens."""
    contents = json.loads(hf.to_str())
    contents["added_tokens"] = [token for token in contents["added_tokens"] if token["content"] not in tokens]
    if isinstance(vocabulary := contents["model"].get("vocab"), dict):
        contents["model"]["vocab"] = {token: token_id for token, token_id in vocabulary.items() if token not in tokens}
    return HFTokenizer.from_str(json.dumps(contents))


def special_token(config: Mapping[str, Any], key: str) -> str | None:
    """A special token of tokenizer_config.json, such as `eos_token`: a string, or an object with `content`."""
    value = config.get(key)
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or any("\ud800" <= character <= "\udfff" for character in content):
        return None
    return content


def complete_settings(config: Mapping[str, Any], hf: HFTokenizer) -> dict[str, Any]:
    """A tokenizer_config.json without its paths, and with the class and the added tokens, which it may leave out."""
    added = {
        str(token_id): {"content": token.content, "special": token.special}
        for token_id, token in sorted(hf.get_added_tokens_decoder().items())
    }
    settings = {name: value for name, value in config.items() if not name.endswith(("_file", "_path"))}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": added, **settings}

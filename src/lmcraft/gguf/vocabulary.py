"""Translate the tokenizer metadata of a GGUF file to a `Tokenizer`, and back."""

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from tokenizers import AddedToken, processors
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.gguf.bpe import is_bpe, pre_tokenizer_of, read_bpe, write_bpe
from lmcraft.gguf.metadata import Metadata
from lmcraft.gguf.sentencepiece import SPACE, is_sentencepiece, read_sentencepiece, write_sentencepiece
from lmcraft.tokenizer import Tokenizer
from lmcraft.tokenizer.fill_in_middle import FillInMiddle
from lmcraft.tokenizer.loading import DEFAULT_TEMPLATE, templates_json


class TokenType(IntEnum):
    """llama.cpp's `llama_token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
CHAT_TEMPLATE = "tokenizer.chat_template"
NO_TOKEN = (-1, 2**32 - 1)  # what converters write for a missing token
# Tokens that end a turn; llama.cpp stops at them regardless of the metadata.
END_OF_TURN_TOKENS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>")


def read_tokenizer(metadata: Metadata) -> Tokenizer:
    """Build the tokenizer, with its special tokens and chat template.

    It gives the same ids as llama.cpp without added BOS or EOS. Unused padding tokens are left out. Qwen's NFC normalizer is
    not applied, as in llama.cpp.

    Raises:
        UserError: the tokenizer is missing, damaged or not supported.
    """
    tokens, types = _tokens(metadata)
    spellings = [_spelling(metadata, token, kind) for token, kind in zip(tokens, types, strict=True)]
    vocab = {
        token: i for i, (token, kind) in enumerate(zip(spellings, types, strict=True)) if token and kind != TokenType.UNUSED
    }
    if len(vocab) != sum(bool(token) and kind != TokenType.UNUSED for token, kind in zip(spellings, types, strict=True)):
        raise metadata.invalid("tokenizer.ggml.tokens", "a token appears twice")
    config = _tokenizer_config(metadata, spellings)
    try:
        hf = _build_model(metadata, vocab, types, config.get("unk_token"))
        _add_tokens(hf, spellings, types)
        _add_post_processor(hf, metadata, config)
    except UserError:
        raise
    except Exception as error:  # the library raises bare Exception for invalid input
        raise metadata.invalid(
            "tokenizer.ggml.tokens", f"no tokenizer can be built from them: {str(error)[:100]}"
        ) from error
    return Tokenizer(hf, config)


def _tokens(metadata: Metadata) -> tuple[list[str], list[int]]:
    key = "tokenizer.ggml.tokens"
    tokens = metadata.texts(key)
    if not tokens:
        raise UserError(f"'{metadata.path}' has no tokenizer (key '{key}'); use another file of the model")
    types = metadata.numbers("tokenizer.ggml.token_type")
    if types is None:
        return tokens, [TokenType.NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise metadata.invalid("tokenizer.ggml.token_type", f"{len(types)} types for {len(tokens)} tokens")
    return tokens, [int(kind) for kind in types.tolist()]


def _spelling(metadata: Metadata, token: str, kind: int) -> str:
    """A token with SentencePiece's space character; llama.cpp writes tokens of spaces with real spaces."""
    is_spaces = kind == TokenType.USER_DEFINED and not token.strip(" ")
    return SPACE * len(token) if is_spaces and metadata.get("tokenizer.ggml.model") == "llama" else token


def _build_model(metadata: Metadata, vocab: dict[str, int], types: list[int], unk_token: str | None) -> HFTokenizer:
    kind = metadata.text("tokenizer.ggml.model")
    if kind == "gpt2":
        return read_bpe(metadata, vocab)
    if kind != "llama":
        raise metadata.invalid("tokenizer.ggml.model", f"{kind!r} is not supported, only 'gpt2' and 'llama'")
    scores = metadata.numbers("tokenizer.ggml.scores")
    if scores is None or len(scores) < len(types):
        raise metadata.invalid("tokenizer.ggml.scores", f"they are not one for each of {len(types)} tokens")
    mergeable = {token: float(scores[i]) for token, i in vocab.items() if types[i] == TokenType.NORMAL}
    # User-defined tokens are matched before merging, so their merges come first.
    mergeable |= {token: math.inf for token, i in vocab.items() if types[i] == TokenType.USER_DEFINED}
    if unk_token is None:
        unk_token = next((token for token, i in vocab.items() if types[i] == TokenType.UNKNOWN), None)
    return read_sentencepiece(metadata, vocab, mergeable, unk_token)


def _tokenizer_config(metadata: Metadata, tokens: list[str]) -> dict[str, Any]:
    """The contents of tokenizer_config.json: special tokens and chat template."""
    ids = {role: token_id_of(metadata, name) for role, name in ROLES.items()}
    config: dict[str, Any] = {role: tokens[i] for role, i in ids.items() if i is not None and tokens[i]}
    templates = _chat_templates(metadata)
    return config | {"chat_template": templates_json(templates)} if templates else config


def _chat_templates(metadata: Metadata) -> dict[str, str]:
    """The chat templates by name; llama.cpp's converter writes all but the default one under keys of their own."""
    keys = {name: f"{CHAT_TEMPLATE}.{name}" for name in metadata.texts(f"{CHAT_TEMPLATE}s") or []}
    keys = {DEFAULT_TEMPLATE: CHAT_TEMPLATE} | keys
    return {name: template for name, key in keys.items() if (template := metadata.text(key)) is not None}


def token_id_of(metadata: Metadata, name: str) -> int | None:
    """The id of a special token, such as "bos"; None if there is none.

    Raises:
        UserError: the id is out of range.
    """
    key = f"tokenizer.ggml.{name}_token_id"
    if metadata.get(key) in (None, *NO_TOKEN):
        return None
    token_id, tokens = metadata.count(key), metadata.texts("tokenizer.ggml.tokens") or []
    if token_id is None or token_id >= len(tokens):
        raise metadata.invalid(key, f"{token_id} is not one of {len(tokens)} tokens")
    return token_id


def _add_tokens(hf: HFTokenizer, tokens: list[str], types: list[int]) -> None:
    special, plain = [], []
    for token, kind in zip(tokens, types, strict=True):
        if token and kind in (TokenType.CONTROL, TokenType.UNKNOWN):
            special.append(AddedToken(token, special=True, normalized=False))
        elif token and kind == TokenType.USER_DEFINED:
            plain.append(AddedToken(token, special=False, normalized=False))
    hf.add_special_tokens(special)
    hf.add_tokens(plain)


def _add_post_processor(hf: HFTokenizer, metadata: Metadata, config: Mapping[str, Any]) -> None:
    """Add the BOS and EOS tokens that other programs put around a text; `Tokenizer.encode` adds none."""
    adds_bos = metadata.flag("tokenizer.ggml.add_bos_token")
    if adds_bos is None:  # llama.cpp's default
        adds_bos = metadata.get("tokenizer.ggml.model") == "llama" or pre_tokenizer_of(metadata).adds_bos
    around = [config.get("bos_token") if adds_bos else None]
    around.append(config.get("eos_token") if metadata.flag("tokenizer.ggml.add_eos_token") else None)
    if any(around):
        first, last = ([] if token is None else [token] for token in around)
        ids = [(token, hf.token_to_id(token)) for token in around if token is not None]
        hf.post_processor = processors.TemplateProcessing(single=[*first, "$A", *last], special_tokens=ids)


def end_token_ids(metadata: Metadata) -> tuple[int, ...]:
    """The tokens that end generation: the end token and, with a chat template, the end-of-turn tokens.

    Raises:
        UserError: the id of a special token is out of range.
    """
    token_ids = [token_id_of(metadata, name) for name in ("eos", "eot", "eom")]
    if metadata.text(CHAT_TEMPLATE) is not None:
        tokens, types = _tokens(metadata)
        token_ids += [i for i, token in enumerate(tokens) if token in END_OF_TURN_TOKENS and types[i] == TokenType.CONTROL]
    return tuple(dict.fromkeys(token_id for token_id in token_ids if token_id is not None))


def write_tokenizer(tokenizer: Tokenizer, hf_config: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a tokenizer, as llama.cpp reads it.

    Args:
        tokenizer: byte-level BPE or SentencePiece.
        hf_config: the contents of config.json. The tokens are padded to its `vocab_size`; its `bos_token_id` and
            `pad_token_id` are used if the tokenizer has none.

    Raises:
        UserError: GGUF cannot express the tokenizer, it has no end token, or it has more tokens than the model.
    """
    contents, vocab_size = tokenizer.to_json(), int(hf_config["vocab_size"])
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, but the model {vocab_size}; they belong to different models"
        )
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end token, so llama.cpp would use an arbitrary one; set its eos_token")
    tokens, types = _tokens_and_types(contents, vocab_size)
    if is_bpe(contents):
        metadata = write_bpe(contents)
    elif is_sentencepiece(contents):
        metadata = write_sentencepiece(contents, tokens)
        spaced = zip(tokens, types, strict=True)
        tokens = [token.replace(SPACE, " ") if kind == TokenType.USER_DEFINED else token for token, kind in spaced]
    else:
        raise UserError(
            "this type of tokenizer cannot be exported to GGUF; byte-level BPE (`lmcraft tokenizer train`) and "
            "SentencePiece can, one token per character cannot"
        )
    ids = {
        "bos": _first_valid_id(
            tokenizer.vocab_size, tokenizer.bos_token_id, hf_config.get("bos_token_id"), tokenizer.eos_token_id
        ),
        "eos": tokenizer.eos_token_id,
        "unknown": contents["model"]["vocab"].get(contents["model"].get("unk_token")),
        "padding": _first_valid_id(tokenizer.vocab_size, tokenizer.pad_token_id, hf_config.get("pad_token_id")),
    }
    if (middle := FillInMiddle.of(tokenizer)) is not None:
        ids |= {"fim_pre": middle.prefix, "fim_suf": middle.suffix, "fim_mid": middle.middle}
    metadata |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    metadata |= {f"tokenizer.ggml.{role}_token_id": value for role, value in ids.items() if value is not None}
    around = _adds_special_tokens(contents)
    metadata |= {"tokenizer.ggml.add_bos_token": around[0], "tokenizer.ggml.add_eos_token": around[1]}
    return metadata | _chat_template_keys(tokenizer.chat_templates)


def _chat_template_keys(templates: Mapping[str, str]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name, template in templates.items():
        keys[CHAT_TEMPLATE if name == DEFAULT_TEMPLATE else f"{CHAT_TEMPLATE}.{name}"] = template
    named = [name for name in templates if name != DEFAULT_TEMPLATE]
    return keys | {f"{CHAT_TEMPLATE}s": named} if named else keys


def _first_valid_id(tokens: int, *ids: int | None) -> int | None:
    """The first id that is a token. For BOS there must be one, because llama.cpp defaults to token 11."""
    return next((token_id for token_id in ids if token_id is not None and 0 <= token_id < tokens), None)


def _tokens_and_types(contents: Mapping[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    model = contents["model"]
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    types: list[int] = [TokenType.UNUSED] * vocab_size
    bytes_ = {f"<0x{byte:02X}>" for byte in range(256)} if model.get("byte_fallback") else set()
    for token, i in model["vocab"].items():
        tokens[i], types[i] = token, TokenType.BYTE if token in bytes_ else TokenType.NORMAL
    for added in contents["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if (unknown := model["vocab"].get(model.get("unk_token"))) is not None:
        types[unknown] = TokenType.UNKNOWN
    return tokens, types


def _adds_special_tokens(contents: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether tokenizer.json adds a special token before a text, and after it."""
    processor = contents["post_processor"] or {}
    for step in processor.get("processors", [processor]):
        if step.get("type") == "TemplateProcessing":
            return "SpecialToken" in step["single"][0], "SpecialToken" in step["single"][-1]
    return False, False

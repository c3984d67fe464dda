"""The tokenizer in a GGUF file: its metadata as a `Tokenizer`, and back."""

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from tokenizers import AddedToken, processors
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.gguf.bpe import cut_of, is_bpe, read_bpe, write_bpe
from lmcraft.gguf.metadata import Metadata
from lmcraft.gguf.sentencepiece import SPACE, is_sentencepiece, read_sentencepiece, write_sentencepiece
from lmcraft.tokenizer import Tokenizer


class TokenType(IntEnum):
    """`llama_token_type` of llama.cpp."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
NO_TOKEN = (-1, 2**32 - 1)  # what converters write for none
# Tokens that end a turn, by their spelling: llama.cpp stops at them whatever the metadata say.
ENDS_OF_TURN = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>")


def read_tokenizer(metadata: Metadata) -> Tokenizer:
    """The tokenizer, with its special tokens and chat template.

    Of texts it makes the ids that llama.cpp makes, where nothing is added around them; tokens that only fill up the
    vocabulary are left out. Qwen's tokenizer normalizes texts (NFC) and llama.cpp's reading of it does not: this is the
    latter.

    Raises:
        UserError: there is none, it is damaged, or of a kind that is not known here.
    """
    tokens, types = _tokens(metadata)
    spelled = [_spelling(metadata, token, kind) for token, kind in zip(tokens, types, strict=True)]
    vocab = {
        token: i for i, (token, kind) in enumerate(zip(spelled, types, strict=True)) if token and kind != TokenType.UNUSED
    }
    if len(vocab) != sum(bool(token) and kind != TokenType.UNUSED for token, kind in zip(spelled, types, strict=True)):
        raise metadata.wrong("tokenizer.ggml.tokens", "a token comes twice")
    config = _roles(metadata, spelled)
    try:
        hf = _model(metadata, vocab, types, config.get("unk_token"))
        _add_tokens(hf, spelled, types)
        _add_post_processor(hf, metadata, config)
    except UserError:
        raise
    except Exception as error:  # the library raises bare Exception for what it cannot build
        raise metadata.wrong("tokenizer.ggml.tokens", f"no tokenizer can be made of them: {str(error)[:100]}") from error
    return Tokenizer(hf, config)


def _tokens(metadata: Metadata) -> tuple[list[str], list[int]]:
    key = "tokenizer.ggml.tokens"
    tokens = metadata.texts(key)
    if not tokens:
        raise UserError(f"'{metadata.path}' has no tokenizer (the key '{key}'): take another file of the model")
    types = metadata.numbers("tokenizer.ggml.token_type")
    if types is None:
        return tokens, [TokenType.NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise metadata.wrong("tokenizer.ggml.token_type", f"{len(types)} types for {len(tokens)} tokens")
    return tokens, [int(kind) for kind in types.tolist()]


def _spelling(metadata: Metadata, token: str, kind: int) -> str:
    """SentencePiece's spaces in tokens that llama.cpp spells with real ones."""
    is_spaces = kind == TokenType.USER_DEFINED and not token.strip(" ")
    return SPACE * len(token) if is_spaces and metadata.get("tokenizer.ggml.model") == "llama" else token


def _model(metadata: Metadata, vocab: dict[str, int], types: list[int], unk_token: str | None) -> HFTokenizer:
    kind = metadata.text("tokenizer.ggml.model")
    if kind == "gpt2":
        return read_bpe(metadata, vocab)
    if kind != "llama":
        raise metadata.wrong("tokenizer.ggml.model", f"{kind!r} is not known here, only 'gpt2' and 'llama' are")
    scores = metadata.numbers("tokenizer.ggml.scores")
    if scores is None or len(scores) < len(types):
        raise metadata.wrong("tokenizer.ggml.scores", f"there is not one for each of {len(types)} tokens")
    mergeable = {token: float(scores[i]) for token, i in vocab.items() if types[i] == TokenType.NORMAL}
    # What a user defined is found before anything is merged, so these merges come first.
    mergeable |= {token: math.inf for token, i in vocab.items() if types[i] == TokenType.USER_DEFINED}
    if unk_token is None:
        unk_token = next((token for token, i in vocab.items() if types[i] == TokenType.UNKNOWN), None)
    return read_sentencepiece(metadata, vocab, mergeable, unk_token)


def _roles(metadata: Metadata, tokens: list[str]) -> dict[str, Any]:
    """What tokenizer_config.json would say."""
    ids = {role: token_id_of(metadata, name) for role, name in ROLES.items()}
    config: dict[str, Any] = {role: tokens[i] for role, i in ids.items() if i is not None and tokens[i]}
    template = metadata.text("tokenizer.chat_template")
    return config if template is None else config | {"chat_template": template}


def token_id_of(metadata: Metadata, name: str) -> int | None:
    """The id of a special token, such as "bos"; None where there is none.

    Raises:
        UserError: it is none of the tokens'.
    """
    key = f"tokenizer.ggml.{name}_token_id"
    if metadata.get(key) in (None, *NO_TOKEN):
        return None
    token_id, tokens = metadata.count(key), metadata.texts("tokenizer.ggml.tokens") or []
    if token_id is None or token_id >= len(tokens):
        raise metadata.wrong(key, f"{token_id} is none of {len(tokens)} tokens")
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
    """What other programs add around a text when they open the tokenizer; lmcraft's adds nothing."""
    begin = metadata.flag("tokenizer.ggml.add_bos_token")
    if begin is None:  # llama.cpp's rule for what does not say
        begin = metadata.get("tokenizer.ggml.model") == "llama" or cut_of(metadata).adds_bos
    around = [config.get("bos_token") if begin else None]
    around.append(config.get("eos_token") if metadata.flag("tokenizer.ggml.add_eos_token") else None)
    if any(around):
        first, last = ([] if token is None else [token] for token in around)
        ids = [(token, hf.token_to_id(token)) for token in around if token is not None]
        hf.post_processor = processors.TemplateProcessing(single=[*first, "$A", *last], special_tokens=ids)


def end_token_ids(metadata: Metadata) -> tuple[int, ...]:
    """The tokens that end a text: the end token, and the ends of a turn where there is a chat template.

    Raises:
        UserError: the metadata name a token that there is not.
    """
    found = [token_id_of(metadata, name) for name in ("eos", "eot", "eom")]
    if metadata.text("tokenizer.chat_template") is not None:
        tokens, types = _tokens(metadata)
        found += [i for i, token in enumerate(tokens) if token in ENDS_OF_TURN and types[i] == TokenType.CONTROL]
    return tuple(dict.fromkeys(token_id for token_id in found if token_id is not None))


def write_tokenizer(tokenizer: Tokenizer, hf_config: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that llama.cpp reads the tokenizer from.

    Args:
        tokenizer: byte-level BPE or SentencePiece.
        hf_config: the contents of config.json: of `vocab_size`, what the tokenizer does not have is filled up, and
            `bos_token_id` and `pad_token_id` count where the tokenizer itself does not say.

    Raises:
        UserError: llama.cpp has no such tokenizer, or the tokenizer has no end token or too many tokens.
    """
    contents, vocab_size = tokenizer.to_json(), int(hf_config["vocab_size"])
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {vocab_size}: they are not of one model"
        )
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end token, and llama.cpp would take another for it: set its eos_token")
    tokens, types = _typed_tokens(contents, vocab_size)
    if is_bpe(contents):
        written = write_bpe(contents)
    elif is_sentencepiece(contents):
        written = write_sentencepiece(contents, tokens)
        spaced = zip(tokens, types, strict=True)
        tokens = [token.replace(SPACE, " ") if kind == TokenType.USER_DEFINED else token for token, kind in spaced]
    else:
        raise UserError(
            "llama.cpp has no name for this kind of tokenizer: byte-level BPE (`lmcraft tokenizer train`) and SentencePiece "
            "can be said in GGUF, one token per character cannot"
        )
    ids = {
        "bos": _first(tokenizer.vocab_size, tokenizer.bos_token_id, hf_config.get("bos_token_id"), tokenizer.eos_token_id),
        "eos": tokenizer.eos_token_id,
        "unknown": contents["model"]["vocab"].get(contents["model"].get("unk_token")),
        "padding": _first(tokenizer.vocab_size, tokenizer.pad_token_id, hf_config.get("pad_token_id")),
    }
    written |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    written |= {f"tokenizer.ggml.{role}_token_id": value for role, value in ids.items() if value is not None}
    around = _around(contents)
    written |= {"tokenizer.ggml.add_bos_token": around[0], "tokenizer.ggml.add_eos_token": around[1]}
    if tokenizer.chat_template is not None:
        written["tokenizer.chat_template"] = tokenizer.chat_template
    return written


def _first(tokens: int, *ids: int | None) -> int | None:
    """The first that is a token. There must be one that begins a text: without, llama.cpp takes token 11."""
    return next((token_id for token_id in ids if token_id is not None and 0 <= token_id < tokens), None)


def _typed_tokens(contents: Mapping[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
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


def _around(contents: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the tokenizer.json puts a special token before a text, and after."""
    processor = contents["post_processor"] or {}
    for step in processor.get("processors", [processor]):
        if step.get("type") == "TemplateProcessing":
            return "SpecialToken" in step["single"][0], "SpecialToken" in step["single"][-1]
    return False, False

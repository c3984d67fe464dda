"""A tokenizer: text to token ids and back, exactly."""

import codecs
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as HFTokenizer
from tokenizers.decoders import DecodeStream

from lmcraft.errors import UserError
from lmcraft.folder import write_json, write_text
from lmcraft.tokenizer import chat_template, loading
from lmcraft.tokenizer.byte_level import byte_of_character, token_to_bytes

ROLES = ("eos_token", "bos_token", "pad_token", "unk_token")
# What a `str` holds where there was no character: Python keeps an invalid byte 0xNN as U+DCNN ("surrogateescape").
_SURROGATE = re.compile("([\ud800-\udfff])")


class Tokenizer:
    """A Hugging Face tokenizer with the rules that training and serving need.

    Text never turns into special tokens unless `parse_special` asks for it, and nothing is added around a text.
    A byte-level vocabulary round-trips every text and all bytes, unless the tokenizer normalizes (Qwen's does: NFC).
    In other vocabularies a character without a token becomes the unknown token if there is one; else it is left out.
    """

    def __init__(self, hf: HFTokenizer, config: Mapping[str, Any] | None = None) -> None:
        """Take over `hf`; `config` is what tokenizer_config.json says (eos_token, chat_template, ...)."""
        hf.no_padding()
        hf.no_truncation()
        hf.encode_special_tokens = True  # special tokens in a text are ordinary text
        self._hf = hf
        self._config = dict(config or {})
        decoder = json.loads(hf.decoder.__getstate__()) if hf.decoder is not None else {}
        steps = [step["type"] for step in decoder.get("decoders", [decoder]) if step]
        self.is_byte_level = "ByteLevel" in steps
        # Whether the bytes of a text are the bytes of its tokens, one after another.
        self._concatenates = self.is_byte_level or steps == ["Fuse"]

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a tokenizer: a folder or a tokenizer.json; GPT-2's vocab.json + merges.txt do as well.

        Raises:
            UserError: there is none at `path`, or its files are damaged.
        """
        return cls(*loading.read(Path(path)))

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers' AutoTokenizer opens."""
        folder = Path(folder)
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **{key: token for key in ROLES if (token := self._role(key)) is not None},
        }
        if "model_max_length" in self._config:
            config["model_max_length"] = self._config["model_max_length"]
        if self.chat_template is not None:
            config["chat_template"] = self._config["chat_template"]
        write_text(folder / "tokenizer.json", self._hf.to_str(pretty=True))
        write_json(folder / "tokenizer_config.json", config)

    def to_json(self) -> dict[str, Any]:
        """The contents of tokenizer.json."""
        contents: dict[str, Any] = json.loads(self._hf.to_str())
        return contents

    # Encoding

    def encode(self, text: str | bytes, *, parse_special: bool = False) -> list[int]:
        """The token ids of a text.

        Args:
            text: bytes need not be valid UTF-8: each invalid byte becomes its own token in a byte-level vocabulary and
                U+FFFD in others. A str may hold such bytes as "surrogateescape" leaves them.
            parse_special: read special tokens that are spelled in the text; only for text that we wrote ourselves.
        """
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        hf = self._parsing if parse_special else self._hf
        ids: list[int] = []
        for place, part in enumerate([text] if text.isascii() else _SURROGATE.split(text)):
            if place % 2:  # the pattern's group: a lone surrogate
                ids.extend(self._encode_surrogate(part))
            elif part:
                ids.extend(hf.encode_batch_fast([part], add_special_tokens=False)[0].ids)
        return ids

    @cached_property
    def begin_ids(self) -> tuple[int, ...]:
        """What stands before every text that the model was trained on (Llama's and Gemma's <bos>); mostly nothing.

        `encode` does not add it; `LanguageModel` does, where it continues a text. A chat template has its own.
        """
        encoding = self._hf.encode("a")
        marked = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        return tuple(token_id for token_id, _ in takewhile(lambda pair: pair[1] == 1, marked))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, on all cores."""
        if any(not text.isascii() and _SURROGATE.search(text) for text in texts):
            return [self.encode(text) for text in texts]
        return [encoding.ids for encoding in self._hf.encode_batch_fast(texts, add_special_tokens=False)]

    def _encode_surrogate(self, surrogate: str) -> list[int]:
        code = ord(surrogate) - 0xDC00
        if self.is_byte_level and 0x80 <= code <= 0xFF:
            token = self._byte_tokens.get(code)
            if token is not None:
                return [token]
        return self.encode("\ufffd")

    @cached_property
    def _byte_tokens(self) -> dict[int, int]:
        ids = ((byte, self._hf.token_to_id(character)) for character, byte in byte_of_character().items())
        return {byte: token_id for byte, token_id in ids if token_id is not None}

    @cached_property
    def _parsing(self) -> HFTokenizer:
        # A second tokenizer, since switching one back and forth would race between a server's threads.
        hf = HFTokenizer.from_str(self._hf.to_str())
        hf.encode_special_tokens = False
        return hf

    # Decoding

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids; bytes that are not UTF-8 become U+FFFD, ids without a token nothing."""
        if self._concatenates:
            return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", "replace")
        return str(self._hf.decode(ids, skip_special_tokens=skip_special_tokens))

    def decode_bytes(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> bytes:
        """The bytes of token ids: the inverse of `encode` for a byte-level vocabulary, valid UTF-8 or not."""
        if not self._concatenates:
            return self.decode(list(ids), skip_special_tokens=skip_special_tokens).encode()
        skipped = self._special_ids if skip_special_tokens else frozenset()
        table = self._bytes_of_id
        return b"".join(table.get(token_id, b"") for token_id in ids if token_id not in skipped)

    def stream(self, *, skip_special_tokens: bool = True) -> "TokenStream":
        """A decoder that takes one token at a time."""
        return TokenStream(self, skip_special_tokens=skip_special_tokens)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; none for an id without a token (models pad their vocabularies).

        Vocabularies whose text is not the concatenation of their tokens (SentencePiece) give the token decoded alone.
        """
        if self._concatenates:
            return self._bytes_of_id.get(token_id, b"")
        return self.decode([token_id], skip_special_tokens=False).encode()

    @cached_property
    def _bytes_of_id(self) -> dict[int, bytes]:
        spell = token_to_bytes if self.is_byte_level else str.encode
        table = {token_id: spell(token) for token, token_id in self._hf.get_vocab(with_added_tokens=False).items()}
        added = self._hf.get_added_tokens_decoder().items()
        return table | {token_id: token.content.encode() for token_id, token in added}

    # What the vocabulary holds

    @property
    def vocabulary(self) -> dict[str, int]:
        """All tokens, spelled as the vocabulary spells them, and their ids."""
        return self._hf.get_vocab()

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        return max(self._hf.get_vocab().values(), default=-1) + 1

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a document."""
        return self._role_id("eos_token")

    @property
    def bos_token_id(self) -> int | None:
        return self._role_id("bos_token")

    @property
    def pad_token_id(self) -> int | None:
        return self._role_id("pad_token")

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids, in the order of the ids."""
        added = sorted(self._hf.get_added_tokens_decoder().items())
        return {token.content: token_id for token_id, token in added if token.special}

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self.special_tokens.values())

    def id_of(self, token: str) -> int | None:
        """The id of a token by its spelling in the vocabulary, such as "<|im_end|>"."""
        token_id: int | None = self._hf.token_to_id(token)
        return token_id

    def _role(self, key: str) -> str | None:
        token = loading.special_token(self._config, key)
        if token is None and key == "eos_token" and loading.GPT2_END_OF_TEXT in self.special_tokens:
            token = loading.GPT2_END_OF_TEXT  # older GPT-2 folders leave it to the class
        return token

    def _role_id(self, key: str) -> int | None:
        token = self._role(key)
        return None if token is None else self.id_of(token)

    # Chat

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that turns messages into text, if the tokenizer has one."""
        return loading.chat_template_of(self._config)

    def with_chat_template(self, chat_template: str) -> "Tokenizer":
        """The same tokenizer with another template for all messages."""
        return Tokenizer(self._hf, {**self._config, "chat_template": chat_template})

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **variables: object,
    ) -> str:
        """The text of a conversation; `encode(text, parse_special=True)` gives its ids.

        Args:
            messages: each with `role` ("system", "user", "assistant", "tool") and `content`, or `tool_calls`.
            add_generation_prompt: end with the words that open the assistant's answer.
            tools: the functions that the model may call, as JSON schemas in OpenAI's form; a tokenizer that has another
                template for them ("tool_use") uses that.
            variables: what else the template reads, such as Qwen3's `enable_thinking`.

        Raises:
            UserError: the tokenizer has no template, or the template refuses these messages.
        """
        chosen = loading.chat_template_of(self._config, "tool_use" if tools else "default")
        if chosen is None:
            raise UserError(
                "this tokenizer has no chat template: set `chat_template` in its tokenizer_config.json, or use a model "
                "that was tuned for chat"
            )
        roles = {key: token for key in ROLES if (token := self._role(key)) is not None}
        names: dict[str, Any] = {"tools": tools, "documents": None, **roles, **variables}
        return chat_template.render(chosen, messages, add_generation_prompt=add_generation_prompt, **names)


class TokenStream:
    """Decodes one token at a time; what it returns is never half a character."""

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        # Without byte-level tokens a text depends on its neighbors (a leading space, say): the library keeps track.
        self._library = None if tokenizer._concatenates else DecodeStream([], skip_special_tokens)
        self._ids: list[int] = []
        self._given = 0

    def put(self, token_id: int) -> str:
        """The text that `token_id` completes; "" while a character is unfinished."""
        if self._library is None:
            return self._utf8.decode(self._tokenizer.decode_bytes([token_id], skip_special_tokens=self._skip))
        self._ids.append(token_id)
        text = self._library.step(self._tokenizer._hf, token_id) or ""
        self._given += len(text)
        return text

    def end(self) -> str:
        """What was held back, unfinished characters as U+FFFD."""
        if self._library is None:
            return self._utf8.decode(b"", final=True)
        return self._tokenizer.decode(self._ids, skip_special_tokens=self._skip)[self._given :]

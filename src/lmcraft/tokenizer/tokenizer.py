"""`Tokenizer`: text to token ids and back, exactly."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.folder import to_path, write_json, write_text
from lmcraft.tokenizer import chat_template, loading, tool_messages
from lmcraft.tokenizer.bulk import MIN_CHARS, BulkEncoder
from lmcraft.tokenizer.byte_level import byte_of_character, token_to_bytes
from lmcraft.tokenizer.lost_text import LostTextCounter
from lmcraft.tokenizer.special_spellings import SpecialSpellings
from lmcraft.tokenizer.token_ids import MAX_SHOWN_CHARACTERS, list_rows, list_token_ids
from lmcraft.tokenizer.token_stream import TokenStream
from lmcraft.tokenizer.trial import remember
from lmcraft.tokenizer.vocabulary_and_merges import GPT2_END_OF_TEXT

ROLES = ("eos_token", "bos_token", "pad_token", "unk_token")
# Python decodes an invalid byte 0xNN to the lone surrogate U+DCNN ("surrogateescape").
_SURROGATE = re.compile("([\ud800-\udfff])")


class Tokenizer:
    """A Hugging Face tokenizer with the rules that training and serving need.

    Text never becomes special tokens unless `parse_special` is set, and no special tokens are added around a text.
    A byte-level vocabulary round-trips all text and bytes, unless the tokenizer normalizes (Qwen's does: NFC).
    In other vocabularies, a character without a token becomes the unknown token, or is dropped if there is none.
    """

    def __init__(self, hf: HFTokenizer, config: Mapping[str, Any] | None = None) -> None:
        """Take ownership of `hf`; `config` is the contents of tokenizer_config.json (eos_token, chat_template, ...)."""
        hf.no_padding()
        hf.no_truncation()
        hf.encode_special_tokens = True  # special tokens in a text are plain text
        self._hf = hf
        self._config = dict(config or {})
        self._tool_forms: dict[str, tool_messages.ToolForm] = {}
        decoder = json.loads(hf.decoder.__getstate__()) if hf.decoder is not None else {}
        steps = [step["type"] for step in decoder.get("decoders", [decoder]) if step]
        self.is_byte_level = "ByteLevel" in steps
        self.concatenates = self.is_byte_level or steps == ["Fuse"]
        """Whether the bytes of a text are the concatenated bytes of its tokens."""

    def __repr__(self) -> str:
        parts = [f"{self.vocab_size:,} tokens", *(f"{role}={token!r}" for role, token in self._roles.items())]
        parts += [f"chat templates {', '.join(self.chat_templates)}"] if self.chat_templates else []
        return f"Tokenizer({', '.join(parts)})"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Load a tokenizer from a folder (tokenizer.json, or GPT-2's vocab.json + merges.txt) or a tokenizer.json.

        Raises:
            UserError: there is no tokenizer at `path`, or its files are damaged.
        """
        return cls(*loading.read_tokenizer(to_path(path, "tokenizer")))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write tokenizer.json and tokenizer_config.json; transformers' AutoTokenizer opens the folder."""
        folder = to_path(folder, "folder")
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **self._roles,
        }
        if "model_max_length" in self._config:
            config["model_max_length"] = self._config["model_max_length"]
        if self.chat_template is not None:
            config["chat_template"] = self._config["chat_template"]
        contents = self._hf.to_str(pretty=True)
        write_text(folder / "tokenizer.json", contents)
        remember(contents.encode())
        write_json(folder / "tokenizer_config.json", config)

    def settings_json(self) -> dict[str, Any]:
        """The contents of tokenizer_config.json as the model brought them, without paths, and with what they leave open."""
        return loading.complete_settings(self._config, self._hf) | self._roles | {"chat_template": self.chat_template}

    def to_json(self) -> dict[str, Any]:
        """The contents of tokenizer.json."""
        contents: dict[str, Any] = json.loads(self._hf.to_str())
        return contents

    # Encoding

    def encode(self, text: str | bytes, *, parse_special: bool = False) -> list[int]:
        """The token ids of a text.

        Args:
            text: text or bytes. Each invalid UTF-8 byte becomes its own token in a byte-level vocabulary, and U+FFFD in
                others. A str may contain such bytes in "surrogateescape" form.
            parse_special: parse special tokens spelled in the text; only for trusted text.

        Raises:
            UserError: it is not a text.
        """
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        if not isinstance(text, str):
            raise UserError(f"{shorten(repr(text), MAX_SHOWN_CHARACTERS)} is not a text: give a str, or bytes in UTF-8")
        hf = self._parsing if parse_special else self._hf
        ids: list[int] = []
        for index, part in enumerate([text] if text.isascii() else _SURROGATE.split(text)):
            if index % 2:  # the pattern's group: a lone surrogate
                ids.extend(self._encode_surrogate(part))
            elif part:
                ids.extend(hf.encode_batch_fast([part], add_special_tokens=False)[0].ids)
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The token ids of a trusted text without lone surrogates, as `encode` with `parse_special`, and where each token
        begins and ends in it, in characters.

        The tokens of one character all have its bounds. Tokens can overlap, and some have no length.
        """
        [encoding] = self._parsing.encode_batch([text], add_special_tokens=False)
        return encoding.ids, encoding.offsets

    @cached_property
    def longest_token_chars(self) -> int:
        """The length of the longest token in the vocabulary's own spelling, so that n tokens hold at most n times as many
        characters, except for runs of unknown characters."""
        return max(map(len, self.vocabulary), default=1)

    @cached_property
    def begin_ids(self) -> tuple[int, ...]:
        """The tokens that start every training text (<bos> for Llama and Gemma); usually none.

        `encode` does not add them; `LanguageModel` does when it continues a text. Chat templates contain their own.
        """
        return loading.border_ids(self._hf)[0]

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end every text of an encoder ([SEP] for BERT); usually none. `encode` does not add them."""
        return loading.border_ids(self._hf)[1]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode several texts, in parallel on all cores.

        Raises:
            UserError: one of them is not a text.
        """
        if not all(isinstance(text, str) for text in texts):
            return [self.encode(text) for text in texts]
        if sum(map(len, texts)) >= MIN_CHARS:
            return [ids.tolist() for ids in self.encode_arrays(texts)]
        return self._encode_with_library(texts)

    def encode_arrays(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """The token ids of texts of a dataset, each (T,); as `encode_batch`, and faster from the third megabyte on."""
        return self._bulk.encode(texts)

    def expect_text(self, chars: int) -> None:
        """Prepare for `encode_arrays` of so much text, which may take some seconds."""
        self._bulk.expect(chars)

    def _encode_with_library(self, texts: Sequence[str]) -> list[list[int]]:
        if any(not text.isascii() and _SURROGATE.search(text) for text in texts):
            return [self.encode(text) for text in texts]
        return [encoding.ids for encoding in self._hf.encode_batch_fast(texts, add_special_tokens=False)]

    @cached_property
    def _bulk(self) -> BulkEncoder:
        return BulkEncoder(self._hf, self._encode_with_library)

    def count_lost_bytes(self, text: str, ids: Sequence[int] | NDArray[np.uint32]) -> int:
        """The bytes of a text, in UTF-8, that its token ids do not spell, because its characters have no token."""
        return self._lost_text.count(text, ids)

    @cached_property
    def _lost_text(self) -> LostTextCounter:
        table = self._bytes_of_id if self.concatenates else None
        return LostTextCounter(self._hf, table, is_byte_level=self.is_byte_level)

    def _encode_surrogate(self, surrogate: str) -> list[int]:
        token = self._tokens_of_surrogates.get(surrogate) if self.is_byte_level else None
        return self.encode("\ufffd") if token is None else [token]

    @cached_property
    def _tokens_of_surrogates(self) -> dict[str, int]:
        ids = ((byte, self._hf.token_to_id(character)) for character, byte in byte_of_character().items())
        return {chr(0xDC00 + byte): token_id for byte, token_id in ids if byte >= 0x80 and token_id is not None}

    @cached_property
    def _parsing(self) -> HFTokenizer:
        # A second tokenizer, because toggling the setting of one would race between server threads.
        hf = HFTokenizer.from_str(self._hf.to_str())
        hf.encode_special_tokens = False
        return hf

    # Decoding

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids, also as a tensor or array; invalid UTF-8 becomes U+FFFD, and unknown ids are skipped.

        Raises:
            UserError: the ids are not the integers of one text.
        """
        ids = list_token_ids(ids)
        if self.concatenates:
            return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", "replace")
        return str(self._hf.decode(ids, skip_special_tokens=skip_special_tokens))

    def decode_batch(self, rows: Iterable[Iterable[int]], *, skip_special_tokens: bool = True) -> list[str]:
        """The texts of several rows of token ids."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in list_rows(rows)]

    def decode_bytes(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> bytes:
        """The bytes of token ids, valid UTF-8 or not: the inverse of `encode` for byte-level vocabularies."""
        if not self.concatenates:
            return self.decode(ids, skip_special_tokens=skip_special_tokens).encode()
        skipped, table = self._special_ids if skip_special_tokens else frozenset(), self._bytes_of_id
        return b"".join(table.get(token_id, b"") for token_id in list_token_ids(ids) if token_id not in skipped)

    def stream(self, *, skip_special_tokens: bool = True) -> TokenStream:
        """An incremental decoder."""
        decode = partial(self.decode, skip_special_tokens=False)
        decode_bytes = partial(self.decode_bytes, skip_special_tokens=False) if self.concatenates else None
        return TokenStream(decode, decode_bytes, self._special_ids if skip_special_tokens else ())

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; empty for an id without a token (models pad their vocabularies).

        In vocabularies whose text is not the concatenation of tokens (SentencePiece), the token decoded alone.
        """
        if self.concatenates:
            return self._bytes_of_id.get(token_id, b"")
        return self.decode([token_id], skip_special_tokens=False).encode()

    @cached_property
    def _bytes_of_id(self) -> dict[int, bytes]:
        spell = token_to_bytes if self.is_byte_level else str.encode
        table = {token_id: spell(token) for token, token_id in self._hf.get_vocab(with_added_tokens=False).items()}
        added = self._hf.get_added_tokens_decoder().items()
        return table | {token_id: token.content.encode() for token_id, token in added}

    # Vocabulary

    @property
    def vocabulary(self) -> dict[str, int]:
        """All tokens, in the vocabulary's own spelling, and their ids."""
        return self._hf.get_vocab()

    @cached_property
    def vocab_size(self) -> int:
        """Largest token id + 1."""
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
        """The special tokens and their ids, ordered by id."""
        added = sorted(self._hf.get_added_tokens_decoder().items())
        return {token.content: token_id for token_id, token in added if token.special}

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self.special_tokens.values())

    def id_of(self, token: str) -> int | None:
        """The id of a token by its spelling in the vocabulary, such as "<|im_end|>"."""
        return self._hf.token_to_id(token)

    def _role(self, key: str) -> str | None:
        token = loading.special_token(self._config, key)
        if token is None and key == "eos_token" and GPT2_END_OF_TEXT in self.special_tokens:
            token = GPT2_END_OF_TEXT  # older GPT-2 folders rely on the tokenizer class
        return token

    @property
    def _roles(self) -> dict[str, str]:
        """The special tokens by role, such as eos_token."""
        return {key: token for key in ROLES if (token := self._role(key)) is not None}

    def _role_id(self, key: str) -> int | None:
        token = self._role(key)
        return None if token is None else self.id_of(token)

    # Chat

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's chat template, if it has one."""
        return loading.chat_template_of(self._config)

    @property
    def chat_templates(self) -> dict[str, str]:
        """All chat templates by name, such as "default" and "tool_use"."""
        return loading.chat_templates_of(self._config)

    def with_chat_template(self, chat_template: str) -> "Tokenizer":
        """A copy of this tokenizer with another chat template."""
        return Tokenizer(self._hf, {**self._config, "chat_template": chat_template})

    def apply_chat_template(
        self,
        /,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        continue_final_message: bool = False,
        spell_out_tools: bool = False,
        **variables: object,
    ) -> str:
        """Render a conversation as text; `encode(text, parse_special=True)` gives its ids.

        Every special token in these ids is the template's: spellings of special tokens are removed from all texts of the
        conversation, the tools and the variables (`special_spellings`). Calls get the form that the template shows
        (`tool_messages`).

        Args:
            messages: each with `role` ("system", "user", "assistant", "tool") and `content`, or `tool_calls`.
            add_generation_prompt: end with the header of the assistant's answer.
            tools: functions that the model may call, as JSON schemas in OpenAI's form; uses the tokenizer's "tool_use"
                template if there is one.
            continue_final_message: end with the text of the last message, without what the template puts after it.
            spell_out_tools: write tools, calls and results that the template does not show as text, in Hermes' format.
            variables: other template variables, such as Qwen3's `enable_thinking`.

        Raises:
            UserError: the tokenizer has no template, the template rejects these messages, or there is no text to continue.
        """
        chosen = loading.chat_template_of(self._config, "tool_use" if tools else "default")
        if chosen is None:
            raise UserError(
                "this tokenizer has no chat template; set `chat_template` in its tokenizer_config.json, or use a model "
                "that was fine-tuned for chat"
            )
        clean = self.special_spellings.remove
        names: dict[str, Any] = {"documents": None, **self._roles, **clean({"tools": tools, **variables})}
        names["add_generation_prompt"] = add_generation_prompt and not continue_final_message
        render = chat_template.render_unfinished if continue_final_message else chat_template.render
        messages = clean(messages)
        if tools or any(message.get("tool_calls") or message.get("role") == "tool" for message in messages):
            form = self._tool_form(chosen)
            messages = tool_messages.order_results(messages)
            if spell_out_tools:
                messages, names["tools"] = tool_messages.spell_out(messages, names["tools"], form)
            messages = tool_messages.adapt(messages, form)
        return render(chosen, messages, names)

    def _tool_form(self, template: str) -> tool_messages.ToolForm:
        """What a template does with tools."""
        if template not in self._tool_forms:
            names: dict[str, Any] = {"documents": None, "add_generation_prompt": True, **self._roles}
            self._tool_forms[template] = tool_messages.detect_form(
                template, lambda messages, tools: chat_template.render(template, messages, {**names, "tools": tools})
            )
        return self._tool_forms[template]

    @cached_property
    def turn_end_token_id(self) -> int | None:
        """The special token that the chat template puts after an answer; None if there is none."""
        return self.special_tokens.get(chat_template.find_turn_end(self.apply_chat_template, self.special_tokens))

    def with_special_tokens(self, tokens: Sequence[str]) -> "Tokenizer":
        """A copy with more special tokens."""
        return Tokenizer(loading.with_special_tokens(self._hf, tokens), self._config)

    def with_borders(self, *, begin: Sequence[int] = (), end: int | None = None) -> "Tokenizer":
        """A copy that puts more tokens before a text (`begin_ids`), and in transformers one after it."""
        return Tokenizer(loading.with_borders(self._hf, (*self.begin_ids, *begin), end), self._config)

    def without_tokens_from(self, vocab_size: int) -> "Tokenizer":
        """A copy without the special tokens that a model of this size lacks and that no chat template contains."""
        extra = {token for token, token_id in self.special_tokens.items() if token_id >= vocab_size}
        extra -= {token for token in extra for template in self.chat_templates.values() if token in template}
        if not extra:
            return self
        roles = {key: None for key in ROLES if self._role(key) in extra}
        return Tokenizer(loading.without_tokens(self._hf, extra), {**self._config, **roles})

    @cached_property
    def special_spellings(self) -> SpecialSpellings:
        return SpecialSpellings.of(self._hf)

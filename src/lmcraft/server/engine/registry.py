"""The served models by name: loaded at startup or, for models under the model root, on the first request."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Union

import torch

from lmcraft.errors import LmcraftError, UserError
from lmcraft.folder import ModelFolder, is_model_folder
from lmcraft.folder.names import is_gguf_name
from lmcraft.hub import fetch_model
from lmcraft.inference.engine import Engine
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.runner import stored_weights
from lmcraft.inference.steering import Steering
from lmcraft.inference.thought_format import ReasoningParser, ThoughtFormat
from lmcraft.inference.thoughts import find_format
from lmcraft.language_model import LanguageModel
from lmcraft.server.engine.energy_ledger import EnergyLedger
from lmcraft.server.engine.worker import Worker
from lmcraft.server.errors import ApiError, shutdown_error
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

if TYPE_CHECKING:
    from lmcraft.finetuning.text_classifier import Classifier

STOP_SECONDS = 1.0  # for the current steps to end
Kind = Literal["chat", "completion", "classifier"]
_SCHEME = re.compile(r"(hf|pypi|gguf|https?):", re.IGNORECASE)  # of an address, which may hold an equals sign, too


@dataclass(frozen=True)
class LoadOptions:
    """How models are loaded."""

    dtype: torch.dtype | None = None
    """Dtype of weights and activations; None: the file's."""
    device: str = "cpu"
    weights: Weights | None = None
    """Format in which decoding reads the weights; None: the one nearest to `dtype`."""
    reasoning_parser: ReasoningParser = "auto"
    steering: Steering | None = None
    """How the logits of every language model are changed; None: not at all."""


@dataclass(frozen=True)
class ServedModel:
    """A model under its name, or one of its adapters under the adapter's name."""

    name: str
    worker: Worker
    model: Union[LanguageModel, "Classifier"]
    kind: Kind
    adapter: str = ""
    thoughts: ThoughtFormat | None = None
    """How it writes what it thinks before an answer; None: it does not think, or its thoughts stay in the answer."""
    path: Path | None = None
    """Its folder or file."""
    rounding: Weights | None = None
    """The type to which the engine rounds the weights; None: it reads them as the folder has them."""
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def context(self) -> int:
        """Maximum number of tokens of prompt and answer together."""
        model_context, engine = self.model.transformer.config.max_position_embeddings, self.worker.engine
        return model_context if engine is None else min(model_context, engine.context_length)

    @property
    def language_model(self) -> LanguageModel:
        """The model as one that generates text.

        Raises:
            ApiError: it is a classifier.
        """
        if not isinstance(self.model, LanguageModel):
            raise ApiError(400, f"'{self.name}' is a classifier, which writes no text; use /v1/classify", param="model")
        return self.model

    @property
    def classifier(self) -> "Classifier":
        """The model as a classifier.

        Raises:
            ApiError: it has no classification head.
        """
        if isinstance(self.model, LanguageModel):
            message = (
                f"'{self.name}' has no classification head; train one with `lmcraft finetune --objective classification`"
            )
            raise ApiError(400, message, param="model")
        return self.model

    @property
    def engine(self) -> Engine:
        """The engine of the model.

        Raises:
            ApiError: it is restarting (503).
        """
        if self.worker.engine is None:
            message = f"the engine of '{self.name}' is restarting; try again"
            raise ApiError(503, message, code="engine_not_ready", headers={"Retry-After": "2"})
        return self.worker.engine


class Registry:
    """Models by name.

    Args:
        limits: limits of each worker.
        metrics: records every request.
        options: how models are loaded.
        root: a folder of further models, requested by the names of their folders.
    """

    def __init__(self, limits: Limits, metrics: Metrics, options: LoadOptions, root: Path | None = None) -> None:
        self._limits, self._metrics, self._options = limits, metrics, options
        self.energy = EnergyLedger(metrics)
        self._models: dict[str, ServedModel] = {}
        self._root_models = {} if root is None else _list_models(root)
        self._lock = threading.Lock()

    def open(self, name: str, address: str | Path, adapters: Mapping[str, str | Path] | None = None) -> ServedModel:
        """Load a model and start its engine.

        Raises:
            UserError: the model does not exist, an adapter does not belong to it, or a name is taken.
            RunError: the model could not be downloaded.
        """
        adapters = adapters or {}
        for new_name in (name, *adapters):
            if new_name in self._models:
                raise _duplicate_name_error(new_name)
        path = fetch_model(address).path
        model: LanguageModel | Classifier
        kind: Kind = "classifier"
        thoughts = None
        if ModelFolder(path).labels.is_file():
            if adapters:
                raise UserError(f"'{address}' is a classifier, which cannot have adapters; remove them")
            model, worker = self._load_classifier(name, path)
        else:
            model, worker = self._load_language_model(name, path, adapters)
            kind = "completion" if model.tokenizer.chat_template is None else "chat"
            thoughts = find_format(model.tokenizer, self._options.reasoning_parser)
        worker.start()
        self._metrics.add_source(worker)
        weights = self._options.weights
        rounding = weights if weights in ("int8", "int4") and weights != stored_weights(model.transformer) else None
        served = ServedModel(name, worker, model, kind, thoughts=thoughts, path=path, rounding=rounding)
        self._models |= {name: served, **{adapter: replace(served, name=adapter, adapter=adapter) for adapter in adapters}}
        return self._models[name]

    def _load_classifier(self, name: str, path: Path) -> tuple["Classifier", Worker]:
        # Imported here because it imports all of training, which takes a second.
        from lmcraft.finetuning.text_classifier import Classifier

        options = self._options
        model = Classifier.load(path, dtype=options.dtype or torch.float32, device=options.device)
        max_num_seqs = self._limits.max_num_seqs
        return model, self._worker(name, lambda: Engine(model.transformer, tier="eager", max_num_seqs=max_num_seqs))

    def _load_language_model(
        self, name: str, path: Path, adapters: Mapping[str, str | Path]
    ) -> tuple[LanguageModel, Worker]:
        options, max_num_seqs = self._options, self._limits.max_num_seqs
        model = LanguageModel.load(
            path, dtype=options.dtype, device=options.device, weights=options.weights, adapters=adapters
        )
        model = model if options.steering is None else model.steered(options.steering)
        return model, self._worker(name, lambda: model.new_engine(max_num_seqs=max_num_seqs))

    def _worker(self, name: str, make_engine: Callable[[], Engine]) -> Worker:
        return Worker(name, make_engine, self._limits, self._metrics, self.energy)

    def find(self, name: str = "") -> ServedModel | None:
        """The loaded model with this name; the first one if `name` is empty; None if it is not loaded."""
        return self._models.get(name) if name else next(iter(self._models.values()), None)

    def get(self, name: str = "") -> ServedModel:
        """The model with this name; the first one if `name` is empty. May load a model: do not call it on the event loop.

        Raises:
            ApiError: there is no such model (404), or it cannot be loaded (503).
        """
        if (served := self.find(name)) is not None:
            return served
        if name not in self._root_models:
            available = ", ".join(self.names()) or "none"
            message = f"there is no model '{name[:80]}' here; available: {available}"
            raise ApiError(404, message, code="model_not_found", param="model", values={"model": name[:80]})
        with self._lock:
            if name not in self._models:
                try:
                    self.open(name, self._root_models[name])
                except (LmcraftError, OSError) as error:
                    raise ApiError(503, f"the model '{name}' cannot be loaded: {error}", param="model") from error
            return self._models[name]

    def names(self) -> list[str]:
        """The names of all models that can be requested."""
        return [*self._models, *(name for name in self._root_models if name not in self._models)]

    def loaded(self) -> list[ServedModel]:
        """The models that are loaded, in the order of loading."""
        return list(self._models.values())

    def workers(self) -> list[Worker]:
        """The workers of all loaded models, each once."""
        return list({id(served.worker): served.worker for served in self.loaded()}.values())

    def serves_others(self, owner: str) -> bool:
        """Whether any engine has requests of other owners than this one."""
        return any(worker.serves_others(owner) for worker in self.workers())

    def end_work(self) -> None:
        """End all requests with an error, because the server is shutting down."""
        for worker in self.workers():
            worker.end_work(shutdown_error())

    def stop(self) -> None:
        """Stop all workers."""
        for worker in self.workers():
            worker.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self.workers():
            worker.join(max(0.0, deadline - time.monotonic()))


def _list_models(root: Path) -> dict[str, Path]:
    try:
        return {path.name: path for path in sorted(root.iterdir()) if is_model(path)}
    except OSError as error:
        raise UserError(f"model_root={root} cannot be read ({error.strerror}); give a folder of model folders") from error


def is_model(path: Path) -> bool:
    """Whether a path looks like a model's folder or file."""
    return is_gguf_name(path.name) or is_model_folder(path)


def parse_model_arguments(arguments: Iterable[str]) -> dict[str, str]:
    """Model addresses by served name: the name in NAME=ADDRESS, or else the last part of the address.

    Raises:
        UserError: two models have the same name.
    """
    addresses: dict[str, str] = {}
    for argument in arguments:
        name, equals, address = argument.partition("=")
        if not equals or _SCHEME.match(name) or _exists(argument):
            address = argument
            name = Path(argument.partition("@")[0].rstrip("/")).name.removesuffix(".gguf")
        if name in addresses:
            raise _duplicate_name_error(name)
        addresses[name] = address
    return addresses


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a name that is too long
        return False


def _duplicate_name_error(name: str) -> UserError:
    return UserError(f"two models are named '{name}'; rename one with NAME=ADDRESS")

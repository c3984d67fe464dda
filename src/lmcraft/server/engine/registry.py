"""The models that are served, by name: opened when the server starts, or when one of the model root is first asked for."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Union

import torch

from lmcraft.errors import LmcraftError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.hub import fetch_model
from lmcraft.inference.native.decoder import Weights
from lmcraft.language_model import LanguageModel
from lmcraft.server.engine.worker import Worker
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

if TYPE_CHECKING:
    from lmcraft.finetuning.classifier import Classifier

Kind = Literal["chat", "completion", "classifier"]


@dataclass(frozen=True)
class How:
    """How models are opened."""

    dtype: torch.dtype | None = None
    """Of weights and activations; None: the file's."""
    device: str = "cpu"
    weights: Weights | None = None


@dataclass(frozen=True)
class Served:
    """A model under a name, or one of its adapters."""

    name: str
    worker: Worker
    model: Union[LanguageModel, "Classifier"]
    kind: Kind
    adapter: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        most = self.model.transformer.config.max_position_embeddings
        return min(most, getattr(self.worker.engine, "context", most))

    def language_model(self) -> LanguageModel:
        """The model as one that continues texts.

        Raises:
            ApiError: it only classifies.
        """
        if not isinstance(self.model, LanguageModel):
            raise ApiError(400, f"'{self.name}' is a classifier, which writes no text: see /v1/classify", param="model")
        return self.model

    def classifier(self) -> "Classifier":
        """The model as one that says what a text is.

        Raises:
            ApiError: it has no head for that.
        """
        if isinstance(self.model, LanguageModel):
            raise ApiError(400, f"'{self.name}' has no classification head: see `lmcraft finetune`", param="model")
        return self.model


class Registry:
    """Models by name.

    Args:
        limits: bounds of each worker.
        metrics: told of every request.
        how: how models are opened.
        root: a folder whose model folders may be asked for by their names.
    """

    def __init__(self, limits: Limits, metrics: Metrics, how: How, root: Path | None = None) -> None:
        self._limits, self._metrics, self._how = limits, metrics, how
        self._served: dict[str, Served] = {}
        self._root = {} if root is None else _folders(root)
        self._opening = threading.Lock()

    def open(self, name: str, address: str | Path, adapters: Mapping[str, str | Path] | None = None) -> Served:
        """Open a model and start its engine.

        Raises:
            UserError: there is no such model, an adapter is not of it, or a name is taken.
            RunError: it could not be fetched.
        """
        adapters = adapters or {}
        for new in (name, *adapters):
            if new in self._served:
                raise UserError(f"two models are called '{new}': give one another name, NAME=ADDRESS")
        path = fetch_model(address).path
        model: LanguageModel | Classifier
        kind: Kind = "classifier"
        if (ModelFolder(path).run / "labels.json").is_file():
            if adapters:
                raise UserError(f"'{address}' is a classifier, which takes no adapters: leave them out")
            model, worker = self._classifier(name, path)
        else:
            model, worker = self._language_model(name, path, adapters)
            kind = "completion" if model.tokenizer.chat_template is None else "chat"
        worker.start()
        self._metrics.watch(worker)
        self._served |= {name: Served(name, worker, model, kind)}
        self._served |= {adapter: Served(adapter, worker, model, kind, adapter) for adapter in adapters}
        return self._served[name]

    def _classifier(self, name: str, path: Path) -> tuple["Classifier", Worker]:
        from lmcraft.finetuning.classifier import Classifier  # here, since it brings all of training: a second

        model = Classifier.load(path, dtype=self._how.dtype or torch.float32, device=self._how.device)
        return model, Worker(name, lambda: model, self._limits, self._metrics)

    def _language_model(self, name: str, path: Path, adapters: Mapping[str, str | Path]) -> tuple[LanguageModel, Worker]:
        how, most = self._how, self._limits.max_num_seqs
        model = LanguageModel.load(path, dtype=how.dtype, device=how.device, weights=how.weights, adapters=adapters)
        return model, Worker(name, lambda: model.new_engine(max_num_seqs=most), self._limits, self._metrics)

    def get(self, name: str = "") -> Served:
        """The model of a name; without one, the first. Opens one of the root that is not open yet: not on an event loop.

        Raises:
            ApiError: there is no such model (404), or it cannot be opened (503).
        """
        served = next(iter(self._served.values()), None) if not name else self._served.get(name)
        if served is not None:
            return served
        if name not in self._root:
            known = ", ".join(self.names()) or "none"
            raise ApiError(
                404, f"there is no model '{name[:80]}' here: there is {known}", code="model_not_found", param="model"
            )
        with self._opening:
            if name not in self._served:
                try:
                    self.open(name, self._root[name])
                except LmcraftError as error:
                    raise ApiError(503, f"the model '{name}' cannot be opened: {error}", param="model") from error
            return self._served[name]

    def names(self) -> list[str]:
        """Of all models that may be asked for."""
        return [*self._served, *(name for name in self._root if name not in self._served)]

    def opened(self) -> list[Served]:
        return list(self._served.values())

    def workers(self) -> list[Worker]:
        """Each engine once."""
        return list({id(served.worker): served.worker for served in self.opened()}.values())


def _folders(root: Path) -> dict[str, Path]:
    try:
        return {path.name: path for path in sorted(root.iterdir()) if is_model(path)}
    except OSError as error:
        raise UserError(f"model_root={root} cannot be read ({error.strerror}): give a folder of model folders") from error


def is_model(path: Path) -> bool:
    """Whether a path looks like a model's folder or file."""
    return path.suffix == ".gguf" or (path / "config.json").is_file() or (path / "adapter_config.json").is_file()


def named(addresses: Iterable[str]) -> dict[str, str]:
    """Addresses by the names that they are served under: of NAME=ADDRESS the name, else the last part of the address.

    Raises:
        UserError: two have one name.
    """
    found: dict[str, str] = {}
    for said in addresses:
        name, equals, address = said.partition("=")
        if not equals or "/" in name or ":" in name:
            address = said
            name = Path(said.partition("@")[0].rstrip("/")).name.removesuffix(".gguf")
        if name in found:
            raise UserError(f"two models are called '{name}': give one another name, NAME=ADDRESS")
        found[name] = address
    return found

"""The run behind a model folder, as an audit needs it: pretraining or fine-tuning."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmcraft.audits.privacy.documents import Document, DocumentSample, sample_documents
from lmcraft.data.canaries import Canaries
from lmcraft.data.loader import IGNORE_INDEX, TokenSplit
from lmcraft.data.splits import TRAIN
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.head import HEAD
from lmcraft.finetuning.run import FinetuneRun, open_run
from lmcraft.finetuning.splits import read_splits
from lmcraft.finetuning.tuned_model import read_head
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.training_run import read_settings, trained_steps
from lmcraft.lineage.record import read_lineage
from lmcraft.machine import Machine
from lmcraft.model.adapter import read_adapter
from lmcraft.model.lora_linear import load_adapter
from lmcraft.model.storage import build_model, load_model
from lmcraft.model_source import open_model
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.privacy.accounting import default_delta
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.training.config import TrainConfig
from lmcraft.training.dp.gradients import PrivateGradients
from lmcraft.training.history import read_history
from lmcraft.training.processes import Processes

FINETUNE = "finetune"  # the kind of such a run's lineage


@dataclass(frozen=True)
class AuditedRun(ABC):
    """The run of a model folder."""

    folder: ModelFolder
    steps: int
    """That made the weights."""
    claim: Guarantee | None
    canaries: Canaries | None
    config: TrainConfig
    """With the data where they are now."""

    @property
    @abstractmethod
    def units(self) -> int:
        """Number of documents or examples in the training data."""

    @property
    @abstractmethod
    def writes_text(self) -> bool:
        """Whether the model predicts tokens, and no labels."""

    @abstractmethod
    def sample(self, count: int, seed: int) -> DocumentSample:
        """Documents that training read and others, at most so many of each; the model must write text."""

    @abstractmethod
    def open_step(self, machine: Machine) -> PrivateGradients:
        """The private step of the run, with the weights of the folder and with a new secret.

        Raises:
            UserError: the run cannot be opened any more.
        """

    @property
    def delta(self) -> float:
        """Of the claim, or the usual one for so many units."""
        return self.claim.delta if self.claim else default_delta(self.units)

    @property
    def rows_read(self) -> int | None:
        """By the steps that made the weights; None if each step drew units at random."""
        return None if self.claim else self.steps * self.config.batch_size

    @property
    def times_read(self) -> list[int] | None:
        """How often training read each canary; None if it drew them at random, or there are none."""
        if self.canaries is None or not self.canaries.period or self.rows_read is None:
            return None
        return self.canaries.times_read(self.rows_read)


def open_audited_run(folder: ModelFolder, data: Path | None = None) -> AuditedRun:
    """Read what the run of a folder was.

    Args:
        folder: of the model.
        data: the dataset folder, if it is neither where it was nor beside the model.

    Raises:
        UserError: no run of lmcraft made the folder, its data are not here or have changed, or a file is damaged.
    """
    claim, canaries = Guarantee.read(folder), Canaries.read(folder.canaries)
    if folder.config_toml.is_file() and read_lineage(folder).kind == FINETUNE:
        config = FinetuneConfig.from_toml(folder.config_toml)
        config = replace(config, data=config.data if data is None else (data,), out=folder.path, resume=False)
        return FinetunedRun(folder, trained_steps(folder), claim, canaries, config)
    pretraining, steps = read_settings(folder, data)
    return PretrainedRun(folder, steps, claim, canaries, pretraining)


@dataclass(frozen=True)
class PretrainedRun(AuditedRun):
    """A run of `lmcraft pretrain`."""

    config: PretrainConfig

    @property
    def units(self) -> int:
        return TokenSplit(self.config.data, TRAIN).documents

    @property
    def writes_text(self) -> bool:
        return True

    def sample(self, count: int, seed: int) -> DocumentSample:
        """As in `AuditedRun`."""
        return sample_documents(self.config.data, count, seed, rows_of=self.config, rows_read=self.rows_read)

    def open_step(self, machine: Machine) -> PrivateGradients:
        """As in `AuditedRun`."""
        trainer = PretrainingRun.open(self.config, machine, self.folder).with_privacy(None).build_trainer()
        trainer.model.load_state_dict(load_model(self.folder.path, dtype=torch.float32).state_dict())
        return _private(trainer.source)


@dataclass(frozen=True)
class FinetunedRun(AuditedRun):
    """A run of `lmcraft finetune`."""

    config: FinetuneConfig

    @property
    def units(self) -> int:
        if self.claim:
            return self.claim.units
        splits = read_splits(self.config)
        return TokenSplit(self.config.data[0], TRAIN).documents if splits is None else len(splits.training)

    @property
    def writes_text(self) -> bool:
        return not self.config.build_objective().needs_head

    def sample(self, count: int, seed: int) -> DocumentSample:
        """As in `AuditedRun`."""
        with ExitStack() as stack:
            run = self._open(stack)
            if run.objective.example_type is None:
                return sample_documents(self.config.data[0], count, seed)
            rng = np.random.default_rng(seed)
            members, others = (_draw_examples(examples, count, rng) for examples in run.data.tokenized)
            return DocumentSample(members, [], others, is_like=not self.config.validation_data)

    def open_step(self, machine: Machine) -> PrivateGradients:
        """As in `AuditedRun`."""
        with ExitStack() as stack:
            run = self._open(stack).autotuned(machine, Processes()).with_privacy(self.folder, None)
            trainer = run.build_trainer(machine, self.folder, None, Processes())
            if self.config.method.adapts:
                tuned = build_model(run.source.checkpoint, dtype=torch.float32, device=machine.device)
                load_adapter(tuned, read_adapter(self.folder.path))
            else:
                tuned = load_model(self.folder.path, dtype=torch.float32, device=machine.device)
        trainer.model.load_state_dict(tuned.state_dict(), strict=not run.head_size)
        if run.head_size:
            trainer.model.get_submodule(HEAD).load_state_dict({"weight": read_head(self.folder.path)})
        return _private(trainer.source)

    def _open(self, stack: ExitStack) -> FinetuneRun:
        splits = read_splits(self.config)
        source = stack.enter_context(open_model(self.config.model))
        run = open_run(self.config, source, splits, _say_nothing)
        recorded: dict[str, Any] = read_history(self.folder)[0]["contents"]
        for name, digest in run.data_contents.items():
            if digest and recorded.get(name, digest) != digest:
                paths = ", ".join(map(str, self.config.data))
                raise UserError(
                    f"'{paths}' is not the data that '{self.folder.path}' was trained on: restore it, or give the right one "
                    "with --data"
                )
        return run


def _say_nothing(_: str) -> None:
    """Prints no line."""


def _private(source: object) -> PrivateGradients:
    assert isinstance(source, PrivateGradients)
    return source


def _draw_examples(examples: Sequence[TokenizedExample], count: int, rng: np.random.Generator) -> list[Document]:
    """Examples at random, of whose tokens only those that training predicted are scored."""
    numbers = rng.permutation(len(examples))[:count]
    return [_document_of(examples[number]) for number in numbers.tolist()]


def _document_of(example: TokenizedExample) -> Document:
    scored = example.targets != IGNORE_INDEX
    following = np.where(scored, example.targets, np.append(example.input_ids[1:], 0))
    return Document([int(example.input_ids[0]), *following.tolist()], scored)

"""What the run of a model folder did, step by step: its rows, the document of each target, and its learning rates.

Documents are numbered from 0, in the order of the shards of the dataset's split "train".

Shapes: B rows of a batch, T tokens of a row, N documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lmcraft.data.document_numbers import NO_DOCUMENT, number_rows
from lmcraft.data.loader import IGNORE_INDEX, check_dataset
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, is_model_folder, mismatch_error
from lmcraft.lineage.locating import Locator
from lmcraft.lineage.record import read_lineage
from lmcraft.model.initialization import initialize
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.objectives.registry import build_objective
from lmcraft.pretraining.run_data import RunData, fingerprint
from lmcraft.training.batch import to_device
from lmcraft.training.checkpoint import Checkpoints
from lmcraft.training.history import read_history
from lmcraft.training.objective import NextToken
from lmcraft.training.run_log import read_log

PRETRAIN = "pretrain"  # the kind of such a run's lineage
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Batch:
    """The rows of one optimizer step, each (B, T) int64."""

    input_ids: Tensor
    targets: Tensor
    """The token to predict at each position; -100: none."""
    document_ids: Tensor | None
    """The document of each token within its row, as the model gets it; None: each row is one document."""
    documents: Tensor
    """The number of the training document that each target belongs to; -1: there is no target."""

    @property
    def target_count(self) -> int:
        """By which the sum of the losses is divided."""
        return max(1, int((self.targets != IGNORE_INDEX).sum()))


class TrainingRun:
    """The run that made the weights of a model folder.

    Args:
        folder: of the model.
        config: of the run, resolved, with the data where they are now.
        steps: the number of optimizer steps that made the weights: those with the lowest validation loss are kept.
        rates: the learning rate of each step as the run logged it.
    """

    def __init__(self, folder: ModelFolder, config: PretrainConfig, steps: int, rates: Mapping[int, float]) -> None:
        self.folder, self.config, self.steps = folder, config, steps
        self._rates = rates
        self.dataset = DatasetFolder(config.data)
        self._rows = RunData.open(replace(config, out=folder.path)).training_rows(config)
        self._numbers, self.document_count = number_rows(self._rows, self.dataset)

    @classmethod
    def open(cls, folder: ModelFolder, data: Path | None = None, *, allow_dropout: bool = False) -> "TrainingRun":
        """Read what the run of a folder did.

        Args:
            folder: of the model.
            data: the dataset folder, if it is neither where it was nor beside the model.
            allow_dropout: open a run with dropout, too: its rows and rates are known, but not its masks.

        Raises:
            UserError: no pretraining run of lmcraft made the folder, its data are not here or have changed, or its steps
                cannot be computed again.
        """
        config = _read_config(folder)
        config = replace(config, data=data or _find_data(folder, config))
        _check_data(folder, config)
        _check_settings(folder, config, allow_dropout=allow_dropout)
        steps = trained_steps(folder)
        rates = {row["step"]: row["learning_rate"] for row in read_log(folder.metrics) if "learning_rate" in row}
        missing = next((step for step in range(1, steps + 1) if step not in rates), None)
        if missing is not None:
            raise UserError(
                f"'{folder.metrics}' has no row of step {missing}, so the learning rates of the run are unknown: restore it"
            )
        return cls(folder, config, steps, rates)

    @property
    def objective(self) -> NextToken:
        """The loss that the run minimized, with its label smoothing and z-loss."""
        return build_objective(self.config).build_loss()

    def batch(self, step: int) -> Batch:
        """The rows of a step, which is counted from 0."""
        assert 0 <= step < self.steps, step
        indices = range(step * self.config.batch_size, (step + 1) * self.config.batch_size)
        tensors = to_device(self._rows.batch(indices), CPU)
        documents = torch.from_numpy(self._numbers.batch(indices).targets)
        documents = documents.masked_fill(tensors.targets == IGNORE_INDEX, NO_DOCUMENT)
        document_ids = tensors.document_ids if self.config.document_mask else None
        return Batch(tensors.input_ids, tensors.targets, document_ids, documents)

    def input_documents(self, step: int) -> Tensor:
        """The number of the training document of each input token of a step, (B, T); of padding, any."""
        indices = range(step * self.config.batch_size, (step + 1) * self.config.batch_size)
        return torch.from_numpy(self._numbers.batch(indices).input_ids)

    def learning_rate_factor(self, step: int) -> float:
        """The factor of all learning rates at a step, which is counted from 0."""
        return self._rates[step + 1] / self.config.optimizer.learning_rate

    @cached_property
    def losses(self) -> list[float]:
        """The training loss of each step, as the run logged it."""
        by_step = {row["step"]: row["loss"] for row in read_log(self.folder.metrics) if "loss" in row}
        return [by_step.get(step, float("nan")) for step in range(1, self.steps + 1)]

    def initial_model(self) -> Transformer:
        """The model before the first step, in float32 on the CPU; the state of torch's generator stays as it is."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            model = Transformer(self.config.model)
            initialize(model, self.config.init, self.config.width_ratio)
        model.compute_dtype = torch.float32
        model.use_attention(self.config.attention)
        return model


def read_settings(folder: ModelFolder, data: Path | None) -> tuple[PretrainConfig, int]:
    """The settings of the run of a folder, with the data where they are now, and the steps that made its weights.

    Args:
        folder: of the model.
        data: the dataset folder, if it is neither where it was nor beside the model.

    Raises:
        UserError: no pretraining run of lmcraft made the folder, or its data are not here or have changed.
    """
    config = _read_config(folder)
    config = replace(config, data=data or _find_data(folder, config), out=folder.path)
    _check_data(folder, config)
    return config, trained_steps(folder)


def _read_config(folder: ModelFolder) -> PretrainConfig:
    """The settings of the run."""
    if not is_model_folder(folder.path):
        raise mismatch_error(folder.path, "model")
    kind = read_lineage(folder).kind
    if not folder.config_toml.is_file():
        raise UserError(
            f"'{folder.path}' has no lmcraft/run.toml: training documents are known only of models that `lmcraft pretrain` "
            "made"
        )
    if kind not in (PRETRAIN, ""):  # empty: it has no lineage
        raise UserError(
            f"'{folder.path}' was made by {kind}: training documents have numbers only in a run of `lmcraft pretrain`"
        )
    return PretrainConfig.from_toml(folder.config_toml)


def _find_data(folder: ModelFolder, config: PretrainConfig) -> Path:
    """The dataset folder, where it was or beside the model."""
    origin = next((origin for origin in read_lineage(folder).data if origin.role == "training data"), None)
    path = Locator(folder.path).find(origin, folder.path) if origin else config.data
    if path is None or not path.is_dir():
        raise UserError(
            f"the training data of '{folder.path}' are not in '{config.data}' any more: give the dataset folder with --data"
        )
    return path


def _check_data(folder: ModelFolder, config: PretrainConfig) -> None:
    """Check that the dataset is the one that the run read."""
    check_dataset(DatasetFolder(config.data))
    recorded = read_history(folder)[0]["contents"].get("data", "")
    if fingerprint(config) != recorded:
        raise UserError(
            f"'{config.data}' is not the dataset that '{folder.path}' was trained on: restore it, or give the right one "
            "with --data"
        )


def _check_settings(folder: ModelFolder, config: PretrainConfig, *, allow_dropout: bool) -> None:
    """Refuse what makes the steps of a run depend on more than its rows and rates."""
    if config.dp.epsilon:
        raise UserError(
            f"'{folder.path}' was trained with differential privacy: which documents a step read is secret, and the "
            "influence of one is what the noise hides"
        )
    for name in ("embedding_dropout", "attention_dropout", "residual_dropout"):
        if (value := getattr(config.model, name)) and not allow_dropout:
            raise UserError(
                f"'{folder.path}' was trained with model.{name}={value:g}, whose random masks are not computed again: train "
                "without dropout to follow the influence of documents"
            )
    manifest = DatasetFolder(config.data).token_manifest()
    if "marks" in manifest:
        raise UserError(f"'{config.data}' has text with marks, whose documents are not followed")
    changed = next(
        (row["changed"]["max_steps"] for row in read_history(folder) if "max_steps" in row.get("changed", {})), None
    )
    if changed and "parts" in manifest:
        raise UserError(
            f"the run of '{folder.path}' was resumed with another length (max_steps {changed[0]} -> {changed[1]}), on which "
            "the rows of a mixture depend: only a run of one length can be repeated"
        )


def trained_steps(folder: ModelFolder) -> int:
    """The number of steps after which the weights of a folder were kept."""
    checkpoints = Checkpoints(folder)
    if steps := checkpoints.steps():
        return checkpoints.progress(steps[-1]).best_step
    losses: dict[int, float] = {
        row["step"]: row["validation_loss"] for row in read_log(folder.metrics) if "validation_loss" in row
    }
    if not losses:
        raise UserError(f"'{folder.metrics}' has no validation loss, so the step of the weights is unknown: restore it")
    return min(losses, key=lambda step: (losses[step], step))

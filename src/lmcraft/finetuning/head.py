"""A linear head on a model, for classification and reward models, and the meaning of its outputs.

The head reads the hidden state of a text's last or first token, or the mean over all tokens. It is a matrix without a bias,
named `score` as in transformers' sequence classifiers.

Shapes: B rows, T positions, N texts of a batch, C width, L outputs of the head.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, mismatch_error, write_json
from lmcraft.inference.pooling import Pooling
from lmcraft.model.config import TransformerConfig
from lmcraft.model.layer_inputs import document_begins
from lmcraft.model.linear import Linear
from lmcraft.model.task_head import task_head_error
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch

HEAD = "score"  # the head's module name, here and in transformers (`model.adapter.HEAD` is its weight's name)


@dataclass(frozen=True)
class Labels:
    """The labels of the outputs of a classifier's head; a reward model has none."""

    names: tuple[str, ...] = ()
    multi_label: bool = False
    """A text can have any number of labels; otherwise exactly one."""
    pooling: Pooling = "last"
    temperature: float = 1.0
    """What the outputs are divided by before they become probabilities; fitted by `lmcraft evaluate --fit-temperature`."""
    threshold: float = 0.0
    """A text whose most likely label is less likely than this gets none; fitted by `lmcraft evaluate --fit-threshold`."""

    def is_portable(self, config: TransformerConfig) -> bool:
        """Whether transformers and PEFT have a classifier that computes the same: they know no mean, and the heads of their
        encoders have further layers."""
        return self.pooling == "last" and not config.bidirectional

    def predict(self, outputs_L: Tensor) -> str:
        """The prediction for one text as a string: its label, its labels, or its reward."""
        if not self.names:
            return f"{float(outputs_L[0]):.2f}"
        if self.multi_label:
            return ", ".join(name for name, output in zip(self.names, outputs_L.tolist(), strict=True) if output > 0)
        return self.names[int(outputs_L.argmax())]

    def save(self, folder: Path) -> None:
        """Write the labels to a model folder."""
        write_json(ModelFolder(folder).labels, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "Labels":
        """Read the labels of a model folder.

        Raises:
            UserError: the folder holds no classifier.
        """
        file = ModelFolder(folder).labels
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            names, multi_label = tuple(map(str, values["names"])), bool(values["multi_label"])
            numbers = [float(values.get(name, default)) for name, default in (("temperature", 1.0), ("threshold", 0.0))]
            return cls(names, multi_label, values["pooling"], *numbers)
        except FileNotFoundError as error:
            raise (task_head_error(folder) or mismatch_error(folder, "classifier")) from error
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"'{file}' is damaged ({error}): train the classifier again") from error


def add_head(model: Transformer, outputs: int) -> None:
    """Give a model a new head with small random weights."""
    head = Linear(model.config.hidden_size, outputs, bias=False, device=model.device, dtype=torch.float32)
    nn.init.normal_(head.weight, std=0.02)
    model.add_module(HEAD, head)


def head_outputs(model: Transformer, batch: TensorBatch, pooling: Pooling = "last") -> tuple[Tensor, Tensor]:
    """The head's outputs for each text that has a target, (N, L) float32, and the targets, (N,), in the rows' order.

    A text's target is at its last token.
    """
    x_BTC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)
    ends = batch.targets != IGNORE_INDEX
    if pooling == "first":
        firsts = _first_positions(x_BTC, batch.document_ids)
        pooled = x_BTC.gather(1, firsts[:, :, None].expand_as(x_BTC))[ends]
    else:
        pooled = x_BTC[ends] if pooling == "last" else _running_means(x_BTC, batch.document_ids)[ends]
    return model.get_submodule(HEAD)(pooled).float(), batch.targets[ends]


def reward_margins(model: Transformer, batch: TensorBatch) -> Tensor:
    """r(chosen) - r(rejected) for each pair, (B,); r is the head's output at the last token of an answer."""
    outputs, _ = head_outputs(model, batch)
    rewards_B2 = torch.reshape(outputs, (-1, 2))
    return rewards_B2[:, 0] - rewards_B2[:, 1]


def multi_hot(targets_N: Tensor, num_labels: int) -> Tensor:
    """Decode sets of labels, each stored as the bits of one integer, to (N, L) float32 of 0 and 1."""
    return (targets_N[:, None] >> torch.arange(num_labels, device=targets_N.device) & 1).float()


def _running_means(x_BTC: Tensor, document_ids: Tensor | None) -> Tensor:
    """The mean over the document so far at each position, (B, T, C)."""
    sums = x_BTC.float().cumsum(dim=1)
    first = _first_positions(x_BTC, document_ids)
    positions = torch.arange(x_BTC.shape[1], device=x_BTC.device)
    before = F.pad(sums, (0, 0, 1, 0)).gather(1, first[:, :, None].expand_as(sums))
    return ((sums - before) / (positions - first + 1)[:, :, None]).to(x_BTC.dtype)


def _first_positions(x_BTC: Tensor, document_ids: Tensor | None) -> Tensor:
    """The position at which the document of each position begins, (B, T)."""
    B, T, _ = x_BTC.shape
    positions = torch.arange(T, device=x_BTC.device).expand(B, T)
    if document_ids is None:
        return positions.new_zeros(B, T)
    return torch.where(document_begins(document_ids), positions, 0).cummax(dim=1).values

"""What a training run keeps in memory, by part, without running it."""

from dataclasses import replace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.objective import Objective, TensorBatch
from lmcraft.training.optimizer import parameter_groups

FLOAT = 4  # bytes: weights, gradients and the optimizer's state are float32


def state_bytes(model: Transformer, config: OptimizerConfig) -> int:
    """Of the optimizer: Adam keeps two numbers a weight, muon and sgd with momentum one (normuon one more a row)."""
    groups = parameter_groups(model, config)
    matrices, *others = (sum(p.numel() for p in group.params) for group in groups)
    match config.name:
        case "normuon":
            return FLOAT * (matrices + sum(len(p) for p in groups[0].params) + 2 * sum(others))
        case "muon":
            return FLOAT * (matrices + 2 * sum(others))
        case "sgd":
            return FLOAT * (matrices + sum(others)) * (config.momentum > 0)
        case _:
            return 2 * FLOAT * (matrices + sum(others))


def activation_bytes(
    config: TransformerConfig, objective: Objective, rows: int, length: int, dtype: torch.dtype, *, checkpointing: bool
) -> int:
    """What one micro-batch leaves for its backward pass, by a forward pass of tensors that have shapes and no contents."""
    if checkpointing:  # every block's input, and all of the one that is being computed again
        inputs = rows * length * config.hidden_size * dtype.itemsize
        one = activation_bytes(replace(config, num_hidden_layers=1), objective, rows, length, dtype, checkpointing=False)
        return one + (config.num_hidden_layers - 1) * inputs
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FakeTensorMode():
        model = Transformer(config)
        model.compute_dtype = dtype
        ids = torch.zeros(rows, length, dtype=torch.int64)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = objective.loss(model, TensorBatch(ids, ids, None))
        weights = {p.untyped_storage()._cdata for p in model.parameters()}
        del loss
        return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in weights)

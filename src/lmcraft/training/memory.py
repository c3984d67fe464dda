"""Estimate the memory of training without running it: optimizer state and activations."""

from dataclasses import replace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.objective import Objective
from lmcraft.training.optimizer import parameter_groups

BYTES_PER_FLOAT = 4  # weights, gradients and the optimizer's state are float32


def state_bytes(model: Transformer, config: OptimizerConfig) -> int:
    """Bytes of the optimizer's state.

    Adam keeps two numbers per weight, Muon and SGD with momentum one, NorMuon also one per row of a matrix.
    """
    groups = parameter_groups(model, config)
    matrices, *others = (sum(p.numel() for p in group.params) for group in groups)
    match config.name:
        case "normuon":
            return BYTES_PER_FLOAT * (matrices + sum(len(p) for p in groups[0].params) + 2 * sum(others))
        case "muon":
            return BYTES_PER_FLOAT * (matrices + 2 * sum(others))
        case "sgd":
            return BYTES_PER_FLOAT * (matrices + sum(others)) * (config.momentum > 0)
        case _:
            return 2 * BYTES_PER_FLOAT * (matrices + sum(others))


def activation_bytes(
    config: TransformerConfig, objective: Objective, rows: int, length: int, dtype: torch.dtype, *, checkpointing: bool
) -> int:
    """Bytes that the forward pass of a micro-batch keeps for its backward pass, computed with fake tensors."""
    if checkpointing:  # the input of every block, and all activations of the block being recomputed
        inputs = rows * length * config.hidden_size * dtype.itemsize
        one = activation_bytes(replace(config, num_hidden_layers=1), objective, rows, length, dtype, checkpointing=False)
        return one + (config.num_hidden_layers - 1) * inputs
    saved: dict[int, Tensor] = {}

    def save(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FakeTensorMode():
        model = Transformer(config)
        model.compute_dtype = dtype
        ids = torch.zeros(rows, length, dtype=torch.int64)
        with saved_tensors_hooks(save, lambda tensor: tensor):
            loss = objective.loss(model, TensorBatch(ids, ids, None))
        weights = {p.untyped_storage()._cdata for p in model.parameters()}
        del loss
        return sum(tensor.untyped_storage().nbytes() for storage, tensor in saved.items() if storage not in weights)

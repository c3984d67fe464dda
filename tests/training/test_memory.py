"""Memory estimates against what torch allocates."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from lmcraft.training.batch import TensorBatch
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.memory import activation_bytes, state_bytes
from lmcraft.training.objective import NextToken
from lmcraft.training.optimizer import Optimizer
from tests.tiny import tiny_model

RATES: dict[str, Any] = dict.fromkeys(
    ("learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate"), 1e-3
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activation_bytes_match_a_forward_pass(dtype: torch.dtype) -> None:
    model, sizes = tiny_model(0), {}
    model.compute_dtype = dtype
    model.train()
    weights = {p.data_ptr() for p in model.parameters()}
    kept = []  # so that no other tensor reuses the address of a saved one

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept.append(tensor)
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 96, (3, 24))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = NextToken().loss(model, TensorBatch(ids, ids, None))
    assert loss.requires_grad
    estimate = activation_bytes(model.config, NextToken(), 3, 24, dtype, checkpointing=False)
    assert estimate == pytest.approx(sum(sizes.values()), rel=0.02)
    assert activation_bytes(model.config, NextToken(), 3, 24, dtype, checkpointing=True) < estimate


@pytest.mark.parametrize("name", ["normuon", "muon", "adamw", "adam", "sgd"])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_state_bytes_match_the_optimizer(name: Any, momentum: float) -> None:
    model, config = tiny_model(tie_word_embeddings=False), OptimizerConfig(name=name, momentum=momentum, **RATES)
    optimizer = Optimizer(model, config, torch.float32)
    ids = torch.randint(0, 96, (2, 8))
    NextToken().loss(model, TensorBatch(ids, ids, None)).backward()  # type: ignore[no-untyped-call]
    optimizer.step(1.0)
    tensors = [tensor for tensor in optimizer.state().values() if tensor.numel() > 1]  # without Adam's step counts
    assert state_bytes(model, config) == sum(tensor.nbytes for tensor in tensors)

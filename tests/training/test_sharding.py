"""Sharding in a mesh of one process; `test_processes` tests several processes."""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from lmcraft.errors import UserError
from lmcraft.model.output_head import OutputHead
from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import NextToken
from lmcraft.training.processes import Processes
from lmcraft.training.sharding import (
    _check_divisible,
    blank_like,
    full_tensor,
    gather_matrices,
    local_matrices,
    local_shard,
    shard,
    shard_like,
    share_tokens,
    total_norm,
    unsharded_copy,
)
from tests.tiny import tiny_config, tiny_model


@pytest.fixture
def processes() -> Iterator[Processes]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Processes(init_device_mesh("cpu", (1, 1), mesh_dim_names=("data", "tensor")))
    dist.destroy_process_group()


def test_sharding_keeps_loss_and_gradients(processes: Processes) -> None:
    model, sharded = tiny_model(), tiny_model()
    shard(sharded, processes)
    assert all(isinstance(p, DTensor) for p in sharded.parameters())
    torch.manual_seed(0)
    ids = torch.randint(0, 96, (2, 16))
    losses = [NextToken().loss(each, TensorBatch(ids, ids, None)) for each in (model, sharded)]
    assert losses[0].item() == losses[1].item()
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    gradients = [[p.grad for p in each.parameters() if p.grad is not None] for each in (model, sharded)]
    for expected, gradient in zip(*gradients, strict=True):
        assert torch.equal(expected, full_tensor(gradient))
    assert total_norm(gradients[1]).item() == pytest.approx(total_norm(gradients[0]).item(), rel=1e-6)
    copy = unsharded_copy(sharded)
    assert not copy.training and not any(isinstance(p, DTensor) for p in copy.parameters())
    assert all(torch.equal(copy.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_one_process_without_a_mesh_changes_nothing() -> None:
    model = tiny_model()
    shard(model, Processes())
    assert not any(isinstance(p, DTensor) for p in model.parameters())
    matrices = [torch.randn(3, 4) for _ in range(2)]
    stacked = local_matrices(matrices)
    assert torch.equal(stacked, torch.stack(matrices)) and gather_matrices(stacked, matrices) is stacked
    assert shard_like(matrices[0], matrices[1]) is matrices[0] and local_shard(matrices[0]) is matrices[0]


def test_matrices_are_divided_and_gathered(processes: Processes) -> None:
    assert processes.mesh is not None
    matrices = [torch.randn(4, 6) for _ in range(3)]
    sharded = [DTensor.from_local(m, processes.mesh["data"], [Shard(0)], run_check=False) for m in matrices]
    mine = local_matrices(sharded)
    assert torch.equal(mine, torch.stack(matrices))
    assert torch.equal(gather_matrices(mine, sharded), torch.stack(matrices))
    part = shard_like(matrices[0], sharded[0])
    assert isinstance(part, DTensor) and torch.equal(local_shard(part), matrices[0])
    blank = blank_like(sharded[0], torch.Size([4, 6]), torch.bfloat16)
    assert isinstance(blank, DTensor) and blank.dtype == torch.bfloat16
    assert not isinstance(blank_like(sharded[0], torch.Size([]), torch.float32), DTensor)


def test_tokens_of_a_loss_are_divided_among_ranks(processes: Processes) -> None:
    assert processes.mesh is not None
    x, weight, targets = torch.randn(5, 4, requires_grad=True), torch.randn(7, 4, requires_grad=True), torch.arange(5)
    bias = torch.randn(7, requires_grad=True)
    x_part, head, targets_part = share_tokens(processes.mesh["tensor"], x, OutputHead(weight, bias, softcap=2.0), targets)
    assert torch.equal(x_part, x) and torch.equal(targets_part, targets)
    torch.nn.functional.cross_entropy(head.logits(x_part), targets_part).backward()  # type: ignore[no-untyped-call]
    gradients = x.grad, weight.grad, bias.grad
    x.grad = weight.grad = bias.grad = None
    logits = 2 * torch.tanh((x @ weight.T + bias) / 2)
    torch.nn.functional.cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]
    for gradient, expected in zip(gradients, (x.grad, weight.grad, bias.grad), strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_attention_heads": 3, "num_key_value_heads": 3}, "tensor_parallel=2 must divide model.num_attention_heads=3"),
        ({"intermediate_size": 49}, "model.intermediate_size=49"),
        ({"num_experts": 4}, "tensor_parallel=2 cannot split model.num_experts=4"),
        ({"qk_norm": True, "qk_norm_over": "projection"}, "cannot split model.qk_norm_over='projection'"),
    ],
)
def test_sizes_that_cannot_be_split_are_errors(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _check_divisible(tiny_config(**settings), 2)

"""Tensor parallelism and FSDP, applied from outside: the model code does not know about them.

The "tensor" dimension splits each block's projections (arXiv 1909.08053, section 3). Queries, keys, values, gate and up are
split by outputs, so each process computes its own heads and channels. The two projections back into the residual stream are
split by inputs, and their products are summed over the processes. Embeddings and the norms of the residual stream are
replicated, and the tokens of the loss are divided among the processes. The "data" dimension shards every weight once more;
it is gathered when its block runs (FSDP, arXiv 2304.11277).

Shapes: N tokens, C width, V vocabulary.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from lmcraft.training.processes import Processes

# torch warns that gathering a matrix that is sharded twice takes two steps, which is intended.
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)


def shard(model: Transformer, processes: Processes) -> None:
    """Shard `model` in place: its parameters, complete and equal in every process, become `DTensor`s.

    Raises:
        UserError: a size is not a multiple of the tensor ranks, or a part cannot be split.
    """
    if processes.mesh is None:
        return
    if processes.tensor_count > 1:
        _check_divisible(model.config, processes.tensor_count)
        for block in model.layers:
            parallelize_module(block, processes.mesh["tensor"], _parallel_plan(block))
    for unit in (*model.layers, model):
        sharded = fully_shard(unit, mesh=processes.mesh["data"])
        sharded.set_gradient_divide_factor(1.0)  # the loss is divided by the targets of all processes already
        sharded.set_force_sum_reduction_for_comms(True)  # gloo cannot average
    register_fsdp_forward_method(model, "hidden_states")


def _parallel_plan(block: nn.Module) -> dict[str, ParallelStyle]:
    by_outputs, by_inputs = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"), ("o_proj", "down_proj")
    plan: dict[str, ParallelStyle] = {}
    for name, _ in block.named_modules():
        last = name.rpartition(".")[2]
        if last in by_outputs:
            plan[name] = ColwiseParallel()
        elif last in by_inputs:
            plan[name] = RowwiseParallel()
        elif last in ("q_norm", "k_norm"):  # one weight for all heads, which are spread over the processes
            plan[name] = SequenceParallel(sequence_dim=2, use_local_output=True)
    return plan


def _check_divisible(config: TransformerConfig, ranks: int) -> None:
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if (size := getattr(config, name)) % ranks:
            raise UserError(f"tensor_parallel={ranks} must divide model.{name}={size}: change one of them")
    unsplittable = {
        f"model.num_experts={config.num_experts}": config.num_experts,
        f"model.qk_norm_over={config.qk_norm_over!r}": config.qk_norm and config.qk_norm_over != "head",
        "model.attention_sinks=True": config.attention_sinks,
        "model.position='alibi'": config.position == "alibi",
        "model.sub_norm=True": config.sub_norm,
        "model.feed_forward='xielu'": config.feed_forward == "xielu",
    }
    if setting := next((setting for setting, applies in unsplittable.items() if applies), ""):
        raise UserError(
            f"tensor_parallel={ranks} cannot split {setting}: set tensor_parallel to 1, so that all processes share the data"
        )


def share_tokens(mesh: DeviceMesh, x_NC: Tensor, head: OutputHead, targets_N: Tensor) -> tuple[Tensor, OutputHead, Tensor]:
    """This tensor rank's share of the tokens of a loss; gradients are gathered and summed over the ranks.

    The arguments are complete and equal in every rank of `mesh`; the sum of the ranks' losses is the loss.
    """

    def part(tensor: Tensor) -> Tensor:
        return (
            DTensor.from_local(tensor, mesh, [Replicate()], run_check=False).redistribute(placements=[Shard(0)]).to_local()
        )

    def shared(tensor: Tensor) -> Tensor:
        return DTensor.from_local(tensor, mesh, [Replicate()], run_check=False).to_local(grad_placements=[Partial()])

    bias = None if head.bias is None else shared(head.bias)
    return part(x_NC), replace(head, weight=shared(head.weight), bias=bias), part(targets_N)


def local_shard(tensor: Tensor) -> Tensor:
    """The shard of a tensor that this process holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def blank_like(p: Tensor, size: torch.Size, dtype: torch.dtype) -> Tensor:
    """An empty tensor of a size: sharded like `p` if it has p's size, else unsharded."""
    if size == p.shape:
        return torch.empty_like(p, dtype=dtype, requires_grad=False)
    return torch.empty(size, dtype=dtype, device=p.device)


def unsharded_copy(model: Transformer) -> Transformer:
    """An unsharded copy of `model` on its device; every process must call this."""
    with torch.device("meta"):
        copy = Transformer(model.config)
    copy.load_state_dict({name: full_tensor(tensor) for name, tensor in model.state_dict().items()}, assign=True)
    copy.compute_dtype = model.compute_dtype
    return copy.eval()


def full_tensor(tensor: Tensor) -> Tensor:
    """An unsharded copy of a tensor; every process must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all tensors over all processes; replicated values count once."""
    if not any(isinstance(t, DTensor) for t in tensors):
        return torch.nn.utils.get_total_norm(tensors)
    norms = torch.stack(torch._foreach_norm([local_shard(t) for t in tensors]))
    count = dist.get_world_size()
    squares = norms.square() * norms.new_tensor([_shard_count(t) / count for t in tensors])
    total = squares.sum()
    dist.all_reduce(total)
    return total.sqrt()


def _shard_count(tensor: Tensor) -> int:
    """The number of shards of a tensor."""
    assert isinstance(tensor, DTensor)
    dimensions = zip(tensor.placements, tensor.device_mesh.shape, strict=True)
    return prod(size for placement, size in dimensions if not isinstance(placement, Replicate))


def local_matrices(matrices: Sequence[Tensor]) -> Tensor:
    """This process's share of the matrices, unsharded and stacked (n, out, in)."""
    if not isinstance(matrices[0], DTensor):
        return torch.stack(list(matrices))
    unsharded = [m.full_tensor() for m in matrices if isinstance(m, DTensor)]
    rank, share = dist.get_rank(), _matrices_per_process(len(unsharded))
    mine = unsharded[rank * share : (rank + 1) * share]
    padding = [torch.zeros_like(unsharded[0])] * (share - len(mine))
    return torch.stack([*mine, *padding])


def gather_matrices(mine: Tensor, like: Sequence[Tensor]) -> Tensor:
    """All matrices (n, out, in), gathered from the processes' shares `mine`; n is the length of `like`."""
    if not isinstance(like[0], DTensor):
        return mine
    everyone = mine.new_empty(dist.get_world_size(), *mine.shape)
    dist.all_gather(list(everyone.unbind()), mine.contiguous())
    return everyone.flatten(0, 1)[: len(like)]


def shard_like(tensor: Tensor, p: Tensor) -> Tensor:
    """Shard a tensor, complete and equal in every process, like `p`."""
    if not isinstance(p, DTensor):
        return tensor
    everywhere = [Replicate()] * p.device_mesh.ndim
    return DTensor.from_local(tensor, p.device_mesh, everywhere, run_check=False).redistribute(placements=p.placements)


def _matrices_per_process(count: int) -> int:
    return -(-count // dist.get_world_size())

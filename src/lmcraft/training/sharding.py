"""A model over many processes, from outside: the model knows nothing of this.

Along "tensor", each block's projections are split (arXiv 1909.08053, section 3): queries, keys, values, gate and up by their
outputs, whose heads and channels one process computes alone; the two projections back into the residual stream by their
inputs, whose products are summed over the processes. What is left (embeddings, norms of the residual stream) is whole in
each, and the loss shares out the tokens. Along "data", every weight is cut once more, and gathered when its block computes
(FSDP, arXiv 2304.11277).

Shapes: N tokens, C width, V vocabulary.
"""

import logging
from collections.abc import Sequence
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
from lmcraft.model.transformer import Transformer
from lmcraft.training.processes import Processes

# torch warns that gathering a matrix that is cut twice takes two steps; it does.
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)


def shard(model: Transformer, processes: Processes) -> None:
    """Cut `model`, which is whole and the same in every process, in place; its parameters become `DTensor`s.

    Raises:
        UserError: a size does not divide into the tensor ranks, or a part cannot be split.
    """
    if processes.mesh is None:
        return
    if processes.tensor_count > 1:
        _check(model.config, processes.tensor_count)
        for block in model.layers:
            parallelize_module(block, processes.mesh["tensor"], _plan(block))
    for unit in (*model.layers, model):
        sharded = fully_shard(unit, mesh=processes.mesh["data"])
        sharded.set_gradient_divide_factor(1.0)  # the loss is divided by the targets of all processes already
        sharded.set_force_sum_reduction_for_comms(True)  # gloo knows no division
    register_fsdp_forward_method(model, "hidden_states")


def _plan(block: nn.Module) -> dict[str, ParallelStyle]:
    by_outputs, by_inputs = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"), ("o_proj", "down_proj")
    plan: dict[str, ParallelStyle] = {}
    for name, _ in block.named_modules():
        last = name.rpartition(".")[2]
        if last in by_outputs:
            plan[name] = ColwiseParallel()
        elif last in by_inputs:
            plan[name] = RowwiseParallel()
        elif last in ("q_norm", "k_norm"):  # one weight for all heads, of which each process has some
            plan[name] = SequenceParallel(sequence_dim=2, use_local_output=True)
    return plan


def _check(config: TransformerConfig, ranks: int) -> None:
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if (size := getattr(config, name)) % ranks:
            raise UserError(f"tensor_parallel={ranks} must divide model.{name}={size}: change one of them")
    if config.num_experts or (config.qk_norm and config.qk_norm_over == "projection"):
        what = f"model.num_experts={config.num_experts}" if config.num_experts else "model.qk_norm_over='projection'"
        raise UserError(f"tensor_parallel={ranks} cannot split {what}: set it to 1, all processes then share the data")


def share_tokens(mesh: DeviceMesh, x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """This tensor rank's share of the tokens of a loss; the gradients come back whole.

    The arguments are whole and the same in every rank of `mesh`; the sum of the ranks' losses is the loss.
    """

    def part(whole: Tensor) -> Tensor:
        return DTensor.from_local(whole, mesh, [Replicate()], run_check=False).redistribute(placements=[Shard(0)]).to_local()

    weight = DTensor.from_local(weight_VC, mesh, [Replicate()], run_check=False).to_local(grad_placements=[Partial()])
    return part(x_NC), weight, part(targets_N)


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def blank_like(p: Tensor, size: torch.Size, dtype: torch.dtype) -> Tensor:
    """An empty tensor of a size: cut as `p` is where it has p's size, else whole."""
    if size == p.shape:
        return torch.empty_like(p, dtype=dtype, requires_grad=False)
    return torch.empty(size, dtype=dtype, device=p.device)


def whole_copy(model: Transformer) -> Transformer:
    """A copy of `model` in one piece, on its device; every process has to ask for it."""
    with torch.device("meta"):
        copy = Transformer(model.config)
    copy.load_state_dict({name: whole(tensor) for name, tensor in model.state_dict().items()}, assign=True)
    copy.compute_dtype = model.compute_dtype
    return copy.eval()


def whole(tensor: Tensor) -> Tensor:
    """A copy of a tensor in one piece; every process has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all numbers of the tensors, wherever they are; what several processes hold counts once."""
    if not any(isinstance(t, DTensor) for t in tensors):
        return torch.nn.utils.get_total_norm(tensors)
    norms = torch.stack(torch._foreach_norm([local(t) for t in tensors]))
    count = dist.get_world_size()
    squares = norms.square() * norms.new_tensor([_pieces(t) / count for t in tensors])
    total = squares.sum()
    dist.all_reduce(total)
    return total.sqrt()


def _pieces(tensor: Tensor) -> int:
    """Into how many parts it is cut."""
    assert isinstance(tensor, DTensor)
    dimensions = zip(tensor.placements, tensor.device_mesh.shape, strict=True)
    return prod(size for placement, size in dimensions if not isinstance(placement, Replicate))


def my_matrices(matrices: Sequence[Tensor]) -> Tensor:
    """Some of the matrices, whole, stacked (n, out, in): each process has others, so that they share the work on them."""
    if not isinstance(matrices[0], DTensor):
        return torch.stack(list(matrices))
    wholes = [m.full_tensor() for m in matrices if isinstance(m, DTensor)]
    rank, each = dist.get_rank(), _each(len(wholes))
    mine = wholes[rank * each : (rank + 1) * each]
    blanks = [torch.zeros_like(wholes[0])] * (each - len(mine))
    return torch.stack([*mine, *blanks])


def all_matrices(mine: Tensor, like: Sequence[Tensor]) -> Tensor:
    """All the matrices of which each process has `mine`, whole (n, out, in); there are as many as of `like`."""
    if not isinstance(like[0], DTensor):
        return mine
    everyone = mine.new_empty(dist.get_world_size(), *mine.shape)
    dist.all_gather(list(everyone.unbind()), mine.contiguous())
    return everyone.flatten(0, 1)[: len(like)]


def cut_like(whole: Tensor, p: Tensor) -> Tensor:
    """What `p` is cut as, out of a tensor that is whole in every process."""
    if not isinstance(p, DTensor):
        return whole
    everywhere = [Replicate()] * p.device_mesh.ndim
    return DTensor.from_local(whole, p.device_mesh, everywhere, run_check=False).redistribute(placements=p.placements)


def _each(count: int) -> int:
    return -(-count // dist.get_world_size())

"""Rows of the Jacobians of all blocks at once, by backward passes with random directions of the output.

Shapes: B prompts, T tokens, K directions for each prompt, L blocks, C width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmcraft.model.hooks import HookPoint, Hooks
from lmcraft.model.transformer import Transformer


def output_points(transformer: Transformer) -> list[str]:
    """The hook points after the blocks."""
    return [f"blocks.{layer}.hook_resid_post" for layer in range(transformer.config.num_hidden_layers)]


def jacobian_rows(transformer: Transformer, prompts: Sequence[Sequence[int]], directions_BKC: Tensor, skip: int) -> Tensor:
    """v^T J_l of each prompt for its directions v of the output, (L - 1, B, K, C), in float32 on the CPU.

    The cotangent v stands at every valid position u of a prompt, so that the gradient at position t is the sum over u >= t;
    the mean is over the valid positions t. These are all but the first ones, at which models attend when there is nothing to
    attend to, and the last, after which nothing follows.

    Args:
        transformer: whose parameters need no gradients.
        prompts: ids of their tokens; each has more than `skip` + 1.
        directions_BKC: directions of the residual stream after the last block.
        skip: how many positions are not valid at the beginning.
    """
    longest = max(map(len, prompts))
    ids = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts], device=transformer.device)
    valid_BT = torch.zeros(ids.shape, device=transformer.device)
    for row, prompt in enumerate(prompts):  # nothing attends to the padding, which comes last
        valid_BT[row, skip : len(prompt) - 1] = 1
    with torch.enable_grad():
        streams = _streams(transformer, ids)
        rows = []
        for k in range(directions_BKC.shape[1]):
            v_BC = directions_BKC[:, k].to(transformer.device)
            cotangent = (valid_BT[..., None] * v_BC[:, None]).to(streams[-1].dtype)
            is_last = k == directions_BKC.shape[1] - 1
            gradients = torch.autograd.grad(streams[-1], streams[:-1], cotangent, retain_graph=not is_last)
            rows.append(torch.stack([torch.einsum("btc,bt->bc", grad.float(), valid_BT) for grad in gradients]))
    return (torch.stack(rows, dim=2) / valid_BT.sum(1)[:, None, None]).cpu()


def _streams(transformer: Transformer, ids: Tensor) -> list[Tensor]:
    """The residual stream after each block, (B, T, C), with the graph from the first to the last."""
    streams: list[Tensor] = []

    def keep(activation: Tensor, point: HookPoint) -> Tensor:
        streams.append(activation if streams else activation.detach().requires_grad_())
        return streams[-1]

    transformer.hidden_states(ids, hooks=Hooks(transformer.config, [(output_points(transformer), keep)]))
    return streams

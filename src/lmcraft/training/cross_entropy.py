"""Fused output projection and cross-entropy, computed in chunks of rows.

The logits are the largest tensor of a training step, and a naive loss needs five of that size: the logits, a float32 copy,
the softmax and two gradients. Here each chunk of logits is overwritten with its gradient while it is still in the cache,
and only one chunk exists at a time.

Shapes: N targets, C width, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.kernels.product import multiply
from lmcraft.model.output_head import OutputHead, soft_cap

CHUNK_BYTES = 2**27  # of the logits that are in memory at a time
CPU_LOGITS_PER_SOFTMAX = 2**20  # in float32 at a time, so that they stay in the cache


def linear_cross_entropy(
    x_NC: Tensor,
    head: OutputHead,
    targets_N: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Tensor:
    """Cross-entropy of the head's logits summed over the targets, a float32 scalar; targets of -100 are ignored.

    The products are computed in x's type, the softmax in float32. With label smoothing e, the target distribution is 1 - e
    on the token plus e spread evenly over the vocabulary (arXiv 1512.00567, section 7). Z-loss adds z * log(Z)^2, where Z is
    the softmax's denominator (arXiv 2204.02311, section 5).
    """
    settings = LossSettings(label_smoothing, z_loss, head.softcap)
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        head.scaled(x_NC), head.weight, head.bias, targets_N, settings, torch.is_grad_enabled()
    )
    return loss


class LossSettings(NamedTuple):
    """What a row's loss depends on besides its logits and its target."""

    label_smoothing: float = 0.0
    z_loss: float = 0.0
    softcap: float = 0.0
    """Of the logits, as in `OutputHead`."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, since no logits are kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NC: Tensor,
        weight_VC: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        settings: LossSettings,
        trains: bool,
    ) -> Tensor:
        V = len(weight_VC)
        w_VC = weight_VC.to(x_NC.dtype)
        b_V = None if bias_V is None else bias_V.to(x_NC.dtype)
        grad_b_V = torch.zeros_like(bias_V) if bias_V is not None and trains and ctx.needs_input_grad[2] else None
        # A frozen weight needs no gradient, which saves a third of the work.
        grad_x_NC, grad_w_VC = (
            torch.empty_like(tensor) if trains and needed else None
            for tensor, needed in zip((x_NC, weight_VC), ctx.needs_input_grad[:2], strict=True)
        )
        total = torch.zeros((), device=x_NC.device)
        chunk = max(1, CHUNK_BYTES // x_NC.itemsize // V)
        softmax_rows = max(1, CPU_LOGITS_PER_SOFTMAX // V) if x_NC.device.type == "cpu" else chunk
        for start in range(0, len(x_NC), chunk):
            x, targets = x_NC[start : start + chunk], targets_N[start : start + chunk]
            logits = multiply(x, w_VC.T)
            if b_V is not None:
                logits += b_V
            for part in range(0, len(x), softmax_rows):
                rows = slice(part, part + softmax_rows)
                total += loss_and_gradient(logits[rows], targets[rows], settings)
            if grad_x_NC is not None:
                multiply(logits, w_VC, grad_x_NC[start : start + chunk])
            if grad_w_VC is not None:
                multiply(logits.T, x, grad_w_VC, accumulate=start > 0)
            if grad_b_V is not None:
                grad_b_V += logits.sum(0, dtype=grad_b_V.dtype)
        if trains:
            ctx.save_for_backward(grad_x_NC, grad_w_VC, grad_b_V)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        grad_x_NC, grad_w_VC, grad_b_V = ctx.saved_tensors
        by_x = None if grad_x_NC is None else grad_x_NC * scale
        by_w = None if grad_w_VC is None else grad_w_VC.mul_(scale)
        by_b = None if grad_b_V is None else grad_b_V * scale
        return by_x, by_w, by_b, None, None, None


def loss_and_gradient(logits: Tensor, targets: Tensor, settings: LossSettings) -> Tensor:
    """The summed loss of rows of logits before soft-capping, (N, V); overwrites the logits with its gradient."""
    smoothing, z_loss, cap = settings
    V = logits.shape[1]
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if cap:
        wide = soft_cap(wide, cap)
    counts = (targets != IGNORE_INDEX)[:, None].to(wide.dtype)
    token = targets.clamp(min=0)[:, None]
    max_logit, target_logit = wide.amax(dim=-1, keepdim=True), wide.gather(1, token)
    gradient = wide.softmax(dim=-1)  # the cheapest way to Z: the largest probability is exp(max_logit) / Z
    log_z = max_logit - gradient.amax(dim=-1, keepdim=True).log()
    loss = log_z - (1 - smoothing) * target_logit + z_loss * log_z.square()
    if smoothing:
        loss = loss - smoothing * wide.mean(dim=-1, keepdim=True)
    gradient *= counts * (1 + 2 * z_loss * log_z)
    if smoothing:
        gradient -= counts * (smoothing / V)
    gradient.scatter_add_(1, token, counts * (smoothing - 1))
    if cap:
        gradient *= 1 - (wide / cap).square()
    logits.copy_(gradient)
    return torch.where(counts > 0, loss, 0).sum()

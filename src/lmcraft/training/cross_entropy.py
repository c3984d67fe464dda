"""The output projection and its cross-entropy in one, a few rows at a time.

The logits of a batch are its largest tensor, and a float32 copy, a softmax and their gradients make five of them. Here each
part of the logits becomes its own gradient while it is still in the cache, and nothing else of its size is ever there.

Shapes: N targets, C width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX

TOGETHER = 2**26  # logits that are there at once
IN_CACHE = 2**20  # and that are in float32 at once, on a CPU


def linear_cross_entropy(
    x_NC: Tensor,
    weight_VC: Tensor,
    targets_N: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Tensor:
    """The sum over targets of the cross-entropy of softmax(x W^T), a scalar in float32; targets of -100 do not count.

    The products are computed in x's type, the softmax in float32. With label smoothing e the target is 1 - e on the token
    and e spread evenly over the vocabulary (arXiv 1512.00567, section 7); z-loss adds z * log(Z)^2, Z the softmax's
    denominator (arXiv 2204.02311, section 5).
    """
    found: Tensor = _LinearCrossEntropy.apply(x_NC, weight_VC, targets_N, label_smoothing, z_loss, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return found


class _LinearCrossEntropy(torch.autograd.Function):
    """Finds the gradients on the way forward, since every logit is at hand then and none is kept."""

    @staticmethod
    def forward(
        ctx: Any, x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, smoothing: float, z_loss: float, trains: bool
    ) -> Tensor:
        V = len(weight_VC)
        w_VC = weight_VC.to(x_NC.dtype)
        # A weight that is not trained has no gradient, which is a third of the work.
        wanted = [trains and needed for needed in ctx.needs_input_grad[:2]]
        grad_x_NC, grad_w_VC = (
            torch.empty_like(like) if want else None for like, want in zip((x_NC, weight_VC), wanted, strict=True)
        )
        total = torch.zeros((), device=x_NC.device)
        many = max(1, TOGETHER // V)
        few = max(1, IN_CACHE // V) if x_NC.device.type == "cpu" else many
        for start in range(0, len(x_NC), many):
            x, targets = x_NC[start : start + many], targets_N[start : start + many]
            logits = x @ w_VC.T
            for part in range(0, len(x), few):
                total += _to_gradient(logits[part : part + few], targets[part : part + few], smoothing, z_loss)
            if grad_x_NC is not None:
                torch.mm(logits, w_VC, out=grad_x_NC[start : start + many])
            if grad_w_VC is not None:
                grad_w_VC = grad_w_VC.add_(logits.T @ x) if start else grad_w_VC.copy_(logits.T @ x)
        if trains:
            ctx.save_for_backward(grad_x_NC, grad_w_VC)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        grad_x_NC, grad_w_VC = ctx.saved_tensors
        by_x = None if grad_x_NC is None else grad_x_NC * scale
        by_w = None if grad_w_VC is None else grad_w_VC.mul_(scale)
        return by_x, by_w, None, None, None, None


def _to_gradient(logits: Tensor, targets: Tensor, smoothing: float, z_loss: float) -> Tensor:
    """The loss of some rows' logits, which become its gradient in place."""
    V = logits.shape[1]
    counts = (targets != IGNORE_INDEX)[:, None].float()
    token = targets.clamp(min=0)[:, None]
    exact = logits.float()
    top, chosen = exact.amax(dim=-1, keepdim=True), exact.gather(1, token)
    gradient = exact.softmax(dim=-1)  # of all ways to Z the one with the fewest passes: exp(top) / Z is its largest number
    log_z = top - gradient.amax(dim=-1, keepdim=True).log()
    loss = log_z - (1 - smoothing) * chosen + z_loss * log_z.square()
    if smoothing:
        loss = loss - smoothing * exact.mean(dim=-1, keepdim=True)
    gradient *= counts * (1 + 2 * z_loss * log_z)
    if smoothing:
        gradient -= counts * (smoothing / V)
    gradient.scatter_add_(1, token, counts * (smoothing - 1))
    logits.copy_(gradient)
    return torch.where(counts > 0, loss, 0).sum()

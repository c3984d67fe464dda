"""The fused output projection and cross-entropy, with the gradient of the projection's weight for each row.

Shapes: B rows, T tokens, N = B * T, C width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcraft.model.kernels.product import multiply
from lmcraft.model.output_head import OutputHead
from lmcraft.training.cross_entropy import CHUNK_BYTES, CPU_LOGITS_PER_SOFTMAX, LossSettings, loss_and_gradient
from lmcraft.training.dp.row_gradients import (
    KeptGradients,
    LookupGradients,
    ProductGradients,
    RowGradients,
    row_products,
    wide_type,
)

MAX_WIDTH_PER_TOKEN = 2  # up to which the rows' gradients (V x C) are kept, and beyond it those of their logits (T x V)


def keeps_products(width: int, tokens: int) -> bool:
    """Whether the gradients of the projection's weight are kept for each row, rather than those of its logits."""
    return width <= MAX_WIDTH_PER_TOKEN * tokens


class ProjectionGradients:
    """The gradients of the output projection's weight (V, C) for each row.

    Either the gradients are kept, or the logits' gradients and the inputs.
    """

    def __init__(self, gradients: KeptGradients | ProductGradients) -> None:
        self.gradients = gradients
        self.scale: Tensor | float = 1.0
        """The gradient of the loss that was computed, set in the backward pass."""

    def squared_norms(self) -> Tensor:
        return self.gradients.squared_norms() * self.scale**2

    def add_sum(self, total: Tensor, coefficients_B: Tensor) -> None:
        self.gradients.add_sum(total, coefficients_B * self.scale)

    def inner_products(self, lookup: LookupGradients) -> Tensor:
        """<G, E> of each row, (B,), with the gradients E of the embedding that has the same weight.

        A row's E has g_t at the token of t, so that <G, E> = sum over t of G[token of t] g_t, where G[v] is the sum over s
        of p_s[v] x_s.
        """
        g_BTC, kept = lookup.gradients, self.gradients
        if isinstance(kept, KeptGradients):
            rows_B1 = torch.arange(len(g_BTC), device=g_BTC.device)[:, None]
            products_BTC = kept.gradients[rows_B1, lookup.ids].mul_(g_BTC)
            return products_BTC.flatten(1).sum(1, dtype=wide_type(products_BTC)) * self.scale
        p_BTV, x_BTC = kept.gradients, kept.inputs
        p_BTT = p_BTV.gather(2, lookup.ids[:, None, :].expand(-1, p_BTV.shape[1], -1))
        products_BTT = torch.bmm(x_BTC, g_BTC.to(x_BTC.dtype).transpose(1, 2)).mul_(p_BTT)
        return products_BTT.flatten(1).sum(1, dtype=wide_type(products_BTT)) * self.scale


@dataclass
class Projection:
    """Computes what `linear_cross_entropy` does, and keeps the gradients of the rows' weights."""

    rows: int
    """B."""
    gradients: ProjectionGradients | None = None

    def linear_cross_entropy(
        self, x_NC: Tensor, head: OutputHead, targets_N: Tensor, *, label_smoothing: float = 0.0, z_loss: float = 0.0
    ) -> Tensor:
        """As `lmcraft.training.cross_entropy.linear_cross_entropy`, for the N = B * T positions of all rows."""
        assert self.gradients is None, "a loss that projects twice has no gradients of rows"
        settings = LossSettings(label_smoothing, z_loss, head.softcap)
        if not x_NC.requires_grad:  # no layer before it is trained
            x_NC = x_NC.detach().requires_grad_()
        head = head.detach()
        loss: Tensor = _RowCrossEntropy.apply(head.scaled(x_NC), head, targets_N, settings, self)  # type: ignore[no-untyped-call]
        return loss


def total_squared_norms(parts: Sequence[RowGradients]) -> Tensor:
    """|G|^2 of each row, (B,), for a weight whose gradient is the sum of one part, or of a projection and a lookup."""
    squares = torch.stack([part.squared_norms() for part in parts]).sum(0)
    if len(parts) == 1:
        return squares
    lookup, projection = sorted(parts, key=lambda part: isinstance(part, ProjectionGradients))
    assert isinstance(lookup, LookupGradients) and isinstance(projection, ProjectionGradients), parts
    return (squares + 2 * projection.inner_products(lookup)).clamp_(min=0)


class _RowCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NC: Tensor, head: OutputHead, targets_N: Tensor, settings: LossSettings, record: Projection
    ) -> Tensor:
        w_VC, B = head.weight.to(x_NC.dtype), record.rows
        (V, C), T = w_VC.shape, len(x_NC) // B
        is_kept = keeps_products(C, T)
        x_BTC, targets_BT = x_NC.view(B, T, C), targets_N.view(B, T)
        grad_x_BTC, total = torch.empty_like(x_BTC), torch.zeros((), device=x_NC.device)
        kept = x_NC.new_empty((B, V, C) if is_kept else (B, T, V))
        chunk = max(1, CHUNK_BYTES // x_NC.itemsize // V // T)
        for start in range(0, B, chunk):
            rows = slice(start, start + chunk)
            x = x_BTC[rows].flatten(0, 1)
            logits = multiply(x, w_VC.T, None if is_kept else kept[rows].view(-1, V))
            total += _differentiate(logits, targets_BT[rows].flatten(), settings)
            multiply(logits, w_VC, grad_x_BTC[rows].view(-1, C))
            if is_kept:
                row_products(logits.view(-1, T, V), x_BTC[rows], kept[rows])
        gradients = KeptGradients(kept) if is_kept else ProductGradients(x_BTC.detach(), kept)
        record.gradients = ctx.gradients = ProjectionGradients(gradients)
        ctx.save_for_backward(grad_x_BTC.view_as(x_NC))
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        (grad_x_NC,) = ctx.saved_tensors
        ctx.gradients.scale = scale
        return grad_x_NC * scale, None, None, None, None


def _differentiate(logits_NV: Tensor, targets_N: Tensor, settings: LossSettings) -> Tensor:
    """The summed loss; overwrites the logits with its gradient, few rows at a time on a CPU."""
    N, V = logits_NV.shape
    size = max(1, CPU_LOGITS_PER_SOFTMAX // V) if logits_NV.device.type == "cpu" else N
    parts = zip(torch.split(logits_NV, size), torch.split(targets_N, size), strict=True)
    return torch.stack([loss_and_gradient(logits, targets, settings) for logits, targets in parts]).sum()

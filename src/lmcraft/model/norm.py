"""Normalization layers. Statistics are computed in float32, whatever the activations' dtype, unless that is float64."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.kernels.elementwise import RMSNormFunction, can_compute


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension (arXiv 1910.07467, eq. 4)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # Autograd's functions take longer than a short row, and have no derivatives of their own.
        if not torch.is_grad_enabled() or x.dtype == torch.float64:
            return _rms_norm(x, self.weight, self.eps)[0]
        function = RMSNormFunction if can_compute(x, self.weight) else _RMSNorm
        return function.apply(x, self.weight, self.eps)  # type: ignore[no-any-return, no-untyped-call]


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The normed rows, and the float32 scale of each."""
    x_f32 = _at_least_float32(x)
    scale = torch.rsqrt(x_f32.pow(2).mean(-1, keepdim=True) + eps)
    return (x_f32 * scale).to(x.dtype) * weight.to(x.dtype), scale


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class _RMSNorm(torch.autograd.Function):
    """RMSNorm with its own backward: saves the input and one scale per row, where autograd would save two float32 copies."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        normed, scale = _rms_norm(x, weight, eps)
        ctx.save_for_backward(x, weight, scale)
        return normed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """With n = x * scale and h = grad * weight: grad_x = scale * (h - n mean(h n)); grad_weight = sum of grad * n."""
        x, weight, scale = ctx.saved_tensors
        n, grad_f32 = x.float() * scale, grad.float()
        grad_weight = (grad_f32 * n).sum(tuple(range(x.ndim - 1)))
        h = grad_f32 * weight.float()
        along = torch.linalg.vecdot(h, n)[..., None] / x.shape[-1]
        grad_x = torch.addcmul(h, n, along, value=-1).mul_(scale)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None


class GemmaRMSNorm(RMSNorm):
    """Gemma's RMSNorm: the weight is stored as an offset from 1 and applied in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__(size, eps)
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        x_f32 = _at_least_float32(x)
        scale = torch.rsqrt(x_f32.pow(2).mean(-1, keepdim=True) + self.eps)
        return (x_f32 * scale * (1.0 + _at_least_float32(self.weight))).to(x.dtype)


class UnweightedRMSNorm(nn.Module):
    """RMSNorm without weights."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x_f32 = _at_least_float32(x)
        return (x_f32 * torch.rsqrt(x_f32.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last dimension (arXiv 1607.06450).

    The bias, or both, may be missing.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.gain(), self.bias
        weight = None if weight is None else weight.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, None if bias is None else bias.to(x.dtype), self.eps)

    def gain(self) -> Tensor | None:
        """What the normed input is multiplied by; None: 1."""
        return self.weight


class LayerNorm1p(LayerNorm):
    """Nemotron's LayerNorm: the weight is stored as an offset from 1."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.weight)

    def gain(self) -> Tensor:
        return 1.0 + self.weight


class HeadLayerNorm(nn.Module):
    """LayerNorm without bias of each head of (..., H, D), with weights of its own (H, D)."""

    def __init__(self, heads: int, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=self.eps) * self.weight.to(x.dtype)


def make_norm(config: TransformerConfig) -> nn.Module:
    """The norm of the residual stream, (..., hidden_size)."""
    if config.norm in ("layernorm", "layernorm1p"):
        kind = LayerNorm if config.norm == "layernorm" else LayerNorm1p
        return kind(config.hidden_size, config.norm_eps, elementwise_affine=config.norm_weight, bias=config.norm_bias)
    return make_rms_norm(config, config.hidden_size) if config.norm_weight else UnweightedRMSNorm(config.norm_eps)


def make_final_norm(config: TransformerConfig) -> nn.Module:
    """The norm after the last block."""
    return make_norm(config) if config.final_norm else nn.Identity()


def make_rms_norm(config: TransformerConfig, size: int) -> RMSNorm:
    """An RMSNorm over `size` features: for queries and keys, and for the residual stream."""
    kind = GemmaRMSNorm if config.norm == "gemma_rmsnorm" else RMSNorm
    return kind(size, config.norm_eps)


def make_qk_norm(config: TransformerConfig, heads: int, head_dim: int) -> nn.Module:
    """The norm of queries or keys, of so many heads."""
    width = head_dim * (heads if config.qk_norm_over == "projection" else 1)
    if config.qk_norm_kind == "unweighted":
        return UnweightedRMSNorm(config.norm_eps)
    if config.qk_norm_kind == "rmsnorm":
        return make_rms_norm(config, width)
    if config.qk_norm_over == "each_head":
        return HeadLayerNorm(heads, width, config.norm_eps)
    return LayerNorm(width, config.norm_eps, bias=config.norm_bias)

"""Normalisation. Statistics are taken in float32 whatever the activations' type."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension (arXiv 1910.07467, eq. 4)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x_f32 = x.float()
        scale = torch.rsqrt(x_f32.pow(2).mean(-1, keepdim=True) + self.eps)
        return (x_f32 * scale).to(x.dtype) * self.weight.to(x.dtype)


class GemmaRMSNorm(RMSNorm):
    """RMSNorm whose weight is kept as its distance from 1 and applied in float32, as Gemma's checkpoints have it."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__(size, eps)
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        x_f32 = x.float()
        scale = torch.rsqrt(x_f32.pow(2).mean(-1, keepdim=True) + self.eps)
        return (x_f32 * scale * (1.0 + self.weight.float())).to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last dimension (arXiv 1607.06450)."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def make_norm(config: TransformerConfig) -> nn.Module:
    """The norm of the residual stream."""
    if config.norm == "layernorm":
        return LayerNorm(config.hidden_size, eps=config.norm_eps)
    return make_rms_norm(config, config.hidden_size)


def make_rms_norm(config: TransformerConfig, size: int) -> RMSNorm:
    """The RMSNorm of queries and keys, and of the residual stream unless that has LayerNorm."""
    kind = GemmaRMSNorm if config.norm == "gemma_rmsnorm" else RMSNorm
    return kind(size, config.norm_eps)

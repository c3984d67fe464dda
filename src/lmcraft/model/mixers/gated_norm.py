"""The norm of a recurrent mixer's output with its gate."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedRMSNorm(nn.Module):
    """RMSNorm of x, of each of several groups of features, times silu(gate), in float32 at least.

    `gate_first`: x silu(gate) is normalized (Mamba-2, arXiv 2405.21060, figure 6), instead of x alone.
    """

    def __init__(self, size: int, eps: float, *, groups: int = 1, gate_first: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps, self.groups, self.gate_first = eps, groups, gate_first

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """The output, (..., size), in the gate's dtype."""
        dtype = torch.promote_types(gate.dtype, torch.float32)
        y, activated = x.to(dtype), F.silu(gate.to(dtype))
        if self.gate_first:
            y = y * activated
        groups = y.view(*y.shape[:-1], self.groups, -1)
        y = (groups * torch.rsqrt(groups.square().mean(-1, keepdim=True) + self.eps)).flatten(-2)
        normed: Tensor = y.to(gate.dtype) * self.weight.to(gate.dtype)
        return normed if self.gate_first else (normed * activated).to(gate.dtype)

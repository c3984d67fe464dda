"""The feed-forward layer: two projections with a nonlinearity between, or three with a gate."""

import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear


class FeedForward(nn.Module):
    """down(act(up(x))), or down(silu(gate(x)) * up(x)) for SwiGLU (arXiv 2002.05202, eq. 6)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.kind = config.feed_forward
        width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = Linear(width, inner, bias=bias) if self.kind == "swiglu" else None
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.inner(x))  # type: ignore[no-any-return]

    def inner(self, x: Tensor) -> Tensor:
        """The activations between the projections, (..., intermediate_size)."""
        up: Tensor = self.up_proj(x)
        if self.gate_proj is not None:
            return F.silu(self.gate_proj(x)) * up
        if self.kind == "relu2":
            return F.relu(up).square()
        return F.gelu(up, approximate="tanh" if self.kind == "gelu_tanh" else "none")

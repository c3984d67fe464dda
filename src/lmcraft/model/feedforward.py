"""Feed-forward layers, plain or gated."""

import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.kernels.elementwise import SwiGluFunction, can_compute
from lmcraft.model.linear import Linear

SIGMOID_SLOPE = 1.702  # of the clamped SwiGLU: x sigmoid(1.702 x) approximates GELU (arXiv 1606.08415, section 2)


class FeedForward(nn.Module):
    """down(act(up(x))), or with a gate down(act(gate(x)) * up(x)) (SwiGLU, arXiv 2002.05202, eq. 6)."""

    def __init__(self, config: TransformerConfig, intermediate_size: int) -> None:
        super().__init__()
        self.kind, self.limit = config.feed_forward, config.swiglu_limit
        width, inner, bias = config.hidden_size, intermediate_size, config.mlp_bias
        self.gate_proj = Linear(width, inner, bias=bias) if config.is_gated else None
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)

    def forward(self, x: Tensor, hook: Hook = no_hooks) -> Tensor:
        return self.down_proj(hook("mlp.hook_post", self.inner(x, hook)))  # type: ignore[no-any-return]

    def inner(self, x: Tensor, hook: Hook = no_hooks) -> Tensor:
        """The input of the down projection, (..., intermediate_size)."""
        up: Tensor = hook("mlp.hook_pre" if self.gate_proj is None else "mlp.hook_pre_linear", self.up_proj(x))
        if self.gate_proj is not None:
            gate = hook("mlp.hook_pre", self.gate_proj(x))
            if self.kind == "swiglu" and can_compute(gate, up):
                return SwiGluFunction.apply(gate, up)  # type: ignore[no-any-return, no-untyped-call]
            if self.kind == "clamped_swiglu":
                gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
                return gate * (SIGMOID_SLOPE * gate).sigmoid() * (up + 1)
            return (F.silu(gate) if self.kind == "swiglu" else F.gelu(gate, approximate="tanh")) * up
        if self.kind == "relu2":
            return F.relu(up).square()
        return F.gelu(up, approximate="tanh" if self.kind == "gelu_tanh" else "none")

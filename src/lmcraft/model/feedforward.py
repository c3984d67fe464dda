"""Feed-forward layers, plain or gated."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.kernels.elementwise import SwiGluFunction, can_compute
from lmcraft.model.linear import Linear
from lmcraft.model.norm import make_rms_norm

SIGMOID_SLOPE = 1.702  # of the clamped SwiGLU: x sigmoid(1.702 x) approximates GELU (arXiv 1606.08415, section 2)


class XIELU(nn.Module):
    """xIELU (arXiv 2411.13010, eq. 13): quadratic above zero, exponential below, with two learned coefficients."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(torch.tensor([0.8]).expm1().log())
        self.alpha_n = nn.Parameter(torch.tensor([0.3]).expm1().log())
        self.beta = nn.Buffer(torch.tensor(0.5))
        self.eps = nn.Buffer(torch.tensor(-1e-6))

    def forward(self, x: Tensor) -> Tensor:
        positive, negative, beta, eps = (t.to(x.dtype) for t in (self.alpha_p, self.alpha_n, self.beta, self.eps))
        above = F.softplus(positive) * x.square()
        below = (torch.expm1(torch.minimum(x, eps)) - x) * (beta + F.softplus(negative))
        return torch.where(x > 0, above, below) + beta * x


def activate(x: Tensor, kind: str) -> Tensor:
    """An activation of `TransformerConfig.feed_forward` but xIELU, without its gate."""
    match kind:
        case "swiglu" | "silu":
            return F.silu(x)
        case "geglu_tanh" | "gelu_tanh":
            return F.gelu(x, approximate="tanh")
        case "geglu" | "gelu":
            return F.gelu(x)
        case "reglu" | "relu":
            return F.relu(x)
        case "relu2" | "relu2_glu":
            return F.relu(x).square()
    raise AssertionError(kind)


class FeedForward(nn.Module):
    """down(act(up(x))), or with a gate down(act(gate(x)) * up(x)) (SwiGLU, arXiv 2002.05202, eq. 6)."""

    def __init__(self, config: TransformerConfig, intermediate_size: int) -> None:
        super().__init__()
        self.kind, self.limit = config.feed_forward, config.swiglu_limit
        width, inner, bias = config.hidden_size, intermediate_size, config.mlp_bias
        self.gate_proj = Linear(width, inner, bias=bias) if config.is_gated else None
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)
        self.act = XIELU() if self.kind == "xielu" else None
        self.sub_norm = make_rms_norm(config, inner) if config.sub_norm else None
        self.gate_multiplier, self.down_multiplier = config.multipliers.gate, config.multipliers.down

    def forward(self, x: Tensor, hook: Hook = no_hooks) -> Tensor:
        post = hook("mlp.hook_post", self.inner(x, hook))
        y: Tensor = self.down_proj(post if self.sub_norm is None else self.sub_norm(post))
        return y if self.down_multiplier == 1.0 else y * self.down_multiplier

    def inner(self, x: Tensor, hook: Hook = no_hooks) -> Tensor:
        """The input of the down projection, (..., intermediate_size), before a norm."""
        up: Tensor = hook("mlp.hook_pre" if self.gate_proj is None else "mlp.hook_pre_linear", self.up_proj(x))
        if self.gate_proj is not None:
            gate = self.gate_proj(x)
            gate = hook("mlp.hook_pre", gate if self.gate_multiplier == 1.0 else gate * self.gate_multiplier)
            if self.kind == "swiglu" and can_compute(gate, up):
                return SwiGluFunction.apply(gate, up)  # type: ignore[no-any-return, no-untyped-call]
            if self.kind == "clamped_swiglu":
                gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
                return gate * (SIGMOID_SLOPE * gate).sigmoid() * (up + 1)
            return activate(gate, self.kind) * up
        return activate(up, self.kind) if self.act is None else self.act(up)

"""Feed-forward layers: plain, gated, or a mixture of experts.

Shapes: B batch, T tokens, N = B * T, C width, K experts of a token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.kernels.elementwise import SwiGluFunction, can_compute
from lmcraft.model.linear import Linear


class FeedForward(nn.Module):
    """down(act(up(x))), or with a gate down(act(gate(x)) * up(x)) (SwiGLU, arXiv 2002.05202, eq. 6)."""

    def __init__(self, config: TransformerConfig, intermediate_size: int) -> None:
        super().__init__()
        self.kind = config.feed_forward
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
            return (F.silu(gate) if self.kind == "swiglu" else F.gelu(gate, approximate="tanh")) * up
        if self.kind == "relu2":
            return F.relu(up).square()
        return F.gelu(up, approximate="tanh" if self.kind == "gelu_tanh" else "none")


class Router(Linear):
    """Scores the experts. transformers' router is not a Linear layer, and vLLM's is never quantized."""

    quantizable = False


class MixtureOfExperts(nn.Module):
    """A router sends each token to its top-k feed-forward experts (arXiv 1701.06538, eq. 2 to 5).

    As in Qwen3, the router's float32 softmax covers all experts, before the top-k. There is no load-balancing loss.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.top_k, self.normalized = config.num_experts_per_tok, config.norm_topk_prob
        self.router = Router(config.hidden_size, config.num_experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(config, config.moe_intermediate_size) for _ in range(config.num_experts))

    def forward(self, x_BTC: Tensor, hook: Hook = no_hooks) -> Tensor:
        x_NC = x_BTC.flatten(0, -2)
        dtype = torch.promote_types(x_NC.dtype, torch.float32)
        shares_NK, experts_NK = self.router(x_NC).softmax(dim=-1, dtype=dtype).topk(self.top_k, dim=-1)
        if self.normalized:
            shares_NK = shares_NK / shares_NK.sum(dim=-1, keepdim=True)
        shares_NK = shares_NK.to(x_NC.dtype)
        y_NC = torch.zeros_like(x_NC)
        for number in experts_NK.unique().tolist():
            tokens, rank = (experts_NK == number).nonzero(as_tuple=True)
            y_NC = y_NC.index_add(0, tokens, self.experts[number](x_NC[tokens]) * shares_NK[tokens, rank, None])
        return y_NC.view_as(x_BTC)


def make_feed_forward(config: TransformerConfig, layer: int) -> nn.Module:
    """The feed-forward module of a layer: dense or a mixture of experts."""
    return MixtureOfExperts(config) if config.has_experts(layer) else FeedForward(config, config.intermediate_size)

"""Mixtures of experts: a router sends each token to some of many feed-forward layers.

Shapes: B batch, T tokens, N = B * T, C width, E experts, K experts of a token, G groups of experts.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.feedforward import FeedForward
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.linear import Linear
from lmcraft.model.norm import UnweightedRMSNorm, make_norm
from lmcraft.model.parts import Routing

MIN_SUM = 1e-20  # of the weights of a token's experts, before they are normalized


class Router(Linear):
    """Scores the experts. transformers' router is not a Linear layer, and vLLM's is never quantized."""

    quantizable = False


class MixtureOfExperts(nn.Module):
    """A router sends each token to its top-k feed-forward experts (arXiv 1701.06538, eq. 2 to 5).

    A shared expert adds its output for every token. There is no load-balancing loss.
    """

    correction_bias: Tensor | None

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.routing, self.top_k, self.normalized = config.router, config.num_experts_per_tok, config.norm_topk_prob
        self.router = Router(config.hidden_size, config.num_experts, bias=config.router.bias)
        # The choice of experts has no derivative by it, so it is a buffer.
        self.register_buffer("correction_bias", torch.zeros(config.num_experts) if config.router.correction_bias else None)
        self.experts = nn.ModuleList(FeedForward(config, config.moe_intermediate_size) for _ in range(config.num_experts))
        shared = config.shared_expert.intermediate_size
        self.shared_expert = FeedForward(config, shared) if shared else None
        self.shared_gate = Router(config.hidden_size, 1, bias=False) if shared and config.shared_expert.gate else None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MixtureOfExperts":
        """Keep the data type of the correction bias, whose values are much larger than the differences that decide."""
        bias = self.correction_bias
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if bias is not None and self.correction_bias is not None and self.correction_bias.dtype != bias.dtype:
            self.correction_bias = bias.to(self.correction_bias.device)
        return self

    def forward(self, x_BTC: Tensor, hook: Hook = no_hooks) -> Tensor:
        x_NC = x_BTC.flatten(0, -2)
        return self.combine(x_NC, *self.route(x_NC)).view_as(x_BTC)

    def combine(self, x_NC: Tensor, weights_NK: Tensor, experts_NK: Tensor) -> Tensor:
        """The weighted sum of the outputs of each token's experts, and that of the shared expert, (N, C)."""
        y_NC = torch.zeros_like(x_NC)
        for number in torch.unique(experts_NK).tolist():
            tokens, rank = (experts_NK == number).nonzero(as_tuple=True)
            weights, expert = weights_NK[tokens, rank, None], self.experts[number]
            outputs = expert(x_NC[tokens] * weights) if self.routing.scale_inputs else expert(x_NC[tokens]) * weights
            y_NC = y_NC.index_add(0, tokens, outputs)
        if self.shared_expert is not None:
            shared_NC = self.shared_expert(x_NC)
            y_NC = y_NC + (shared_NC if self.shared_gate is None else self.shared_gate(x_NC).sigmoid() * shared_NC)
        return y_NC

    def route(self, x_NC: Tensor) -> tuple[Tensor, Tensor]:
        """The weights and numbers of each token's experts, (N, K) each."""
        dtype = torch.promote_types(x_NC.dtype, torch.float32)
        logits_NE = self.router(x_NC.to(dtype) if self.routing.in_float32 else x_NC).to(dtype)
        if self.routing.scores == "sparsemixer":
            weights_NK, experts_NK = sparsemixer(logits_NE, self.routing.jitter_eps)
        else:
            weights_NK, experts_NK = choose_experts(logits_NE, self.routing, self.top_k, self.correction_bias)
            if self.normalized and self.routing.scores != "topk_softmax":
                weights_NK = weights_NK / weights_NK.sum(dim=-1, keepdim=True).clamp(min=MIN_SUM)
        return (weights_NK * self.routing.scaling_factor).to(x_NC.dtype), experts_NK


class DenseAndExperts(nn.Module):
    """A dense layer and a mixture of experts beside it, each between norms of its own (Gemma 4).

    Its input is not normed. The router reads it normed without weights, then multiplied by a learned vector; the weight of
    an expert is multiplied by a learned number.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.dense = FeedForward(config, config.feed_forward_size(layer))
        self.dense_norm, self.dense_post_norm = make_norm(config), make_norm(config)
        self.mixture = MixtureOfExperts(config)
        self.experts_norm, self.experts_post_norm = make_norm(config), make_norm(config)
        self.router_norm = UnweightedRMSNorm(config.norm_eps)
        self.router_scale = nn.Parameter(torch.ones(config.hidden_size))
        self.expert_scales = nn.Parameter(torch.ones(config.num_experts))

    def forward(self, x_BTC: Tensor, hook: Hook = no_hooks) -> Tensor:
        x_NC = x_BTC.flatten(0, -2)
        scale = self.router_scale.to(x_NC.dtype) * x_NC.shape[-1] ** -0.5
        weights_NK, experts_NK = self.mixture.route(self.router_norm(x_NC) * scale)
        weights_NK = weights_NK * self.expert_scales.to(weights_NK.dtype)[experts_NK]
        sparse_NC = self.mixture.combine(self.experts_norm(x_NC), weights_NK, experts_NK)
        dense_NC = self.dense(self.dense_norm(x_NC))
        y_NC: Tensor = self.dense_post_norm(dense_NC) + self.experts_post_norm(sparse_NC)
        return y_NC.view_as(x_BTC)


def choose_experts(
    logits_NE: Tensor, routing: Routing, top_k: int, correction_bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The scores and numbers of each token's `top_k` experts, (N, K) each."""
    if routing.scores == "topk_softmax":
        logits_NK, experts_NK = logits_NE.topk(top_k, dim=-1)
        return logits_NK.softmax(dim=-1), experts_NK
    scores_NE = logits_NE.sigmoid() if routing.scores == "sigmoid" else logits_NE.softmax(dim=-1)
    choice_NE = scores_NE if correction_bias is None else scores_NE + correction_bias
    if routing.n_group > 1:
        choice_NGE = choice_NE.view(len(choice_NE), routing.n_group, -1)
        groups_NG = choice_NGE.topk(2 if routing.group_score == "top2" else 1, dim=-1).values.sum(dim=-1)
        best = groups_NG.topk(routing.topk_group, dim=-1).indices
        excluded_NG = torch.ones_like(groups_NG, dtype=torch.bool).scatter(-1, best, False)
        choice_NE = choice_NGE.masked_fill(excluded_NG[..., None], -torch.inf).flatten(-2)
    experts_NK = choice_NE.topk(top_k, dim=-1).indices
    return scores_NE.gather(-1, experts_NK), experts_NK


def sparsemixer(logits_NE: Tensor, jitter_eps: float) -> tuple[Tensor, Tensor]:
    """The weights and numbers of each token's two experts, (N, 2) each (SparseMixer-v2, arXiv 2409.12136, section 2.2).

    The weight of each expert is its softmax among those whose logits are close to its own; the second is chosen without the
    first. In training, the choice is the same, and the gradients are those of the weights.
    """
    remaining_NE, weights, experts = logits_NE, [], []
    for _ in range(2):
        best_N1, expert_N1 = remaining_NE.max(dim=-1, keepdim=True)
        distances_NE = (best_N1 - logits_NE) / logits_NE.abs().clamp(min=best_N1)
        close_NE = remaining_NE.masked_fill(distances_NE > 2 * jitter_eps, -torch.inf)
        weights.append(close_NE.softmax(dim=-1).gather(-1, expert_N1))
        experts.append(expert_N1)
        remaining_NE = remaining_NE.scatter(-1, expert_N1, -torch.inf)
    return torch.cat(weights, dim=-1), torch.cat(experts, dim=-1)


def make_feed_forward(config: TransformerConfig, layer: int) -> nn.Module:
    """The feed-forward module of a layer: dense, a mixture of experts, or both."""
    if not config.has_experts(layer):
        return FeedForward(config, config.feed_forward_size(layer))
    return DenseAndExperts(config, layer) if config.experts_beside_dense else MixtureOfExperts(config)

"""Feed-forward layers against their formulas."""

import torch
import torch.nn.functional as F

from lmcraft.model.experts import MixtureOfExperts, make_feed_forward
from lmcraft.model.feedforward import FeedForward
from tests.tiny import tiny_config


def test_swiglu_matches_the_formula() -> None:
    layer, x = FeedForward(tiny_config(), 48), torch.randn(2, 5, 32)
    assert layer.gate_proj is not None
    torch.testing.assert_close(layer(x), layer.down_proj(F.silu(layer.gate_proj(x)) * layer.up_proj(x)))
    squared = FeedForward(tiny_config(feed_forward="relu2"), 48)
    torch.testing.assert_close(squared(x), squared.down_proj(squared.up_proj(x).relu() ** 2))


def test_a_mixture_is_the_weighted_sum_of_the_top_experts_of_each_token() -> None:
    config = tiny_config(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=16, mlp_only_layers=(1,))
    layer, x = make_feed_forward(config, 0), torch.randn(2, 7, 32)
    assert isinstance(layer, MixtureOfExperts) and isinstance(make_feed_forward(config, 1), FeedForward)
    y = layer(x)
    for b in range(2):
        for t in range(7):
            weights, experts = layer.router(x[b, t]).softmax(-1).topk(2)
            weights = weights / weights.sum()
            expected = sum(w * layer.experts[int(e)](x[b, t]) for w, e in zip(weights, experts, strict=True))
            torch.testing.assert_close(y[b, t], expected)

"""Feed-forward layers against their formulas."""

import torch
import torch.nn.functional as F

from lmcraft.model.feedforward import FeedForward
from tests.tiny import tiny_config


def test_swiglu_matches_the_formula() -> None:
    layer, x = FeedForward(tiny_config(), 48), torch.randn(2, 5, 32)
    assert layer.gate_proj is not None
    torch.testing.assert_close(layer(x), layer.down_proj(F.silu(layer.gate_proj(x)) * layer.up_proj(x)))
    squared = FeedForward(tiny_config(feed_forward="relu2"), 48)
    torch.testing.assert_close(squared(x), squared.down_proj(squared.up_proj(x).relu() ** 2))


def test_clamped_swiglu_bounds_its_inputs() -> None:
    layer, x = FeedForward(tiny_config(feed_forward="clamped_swiglu", swiglu_limit=0.5), 48), 3 * torch.randn(2, 5, 32)
    assert layer.gate_proj is not None
    gate, up = layer.gate_proj(x).clamp(max=0.5), layer.up_proj(x).clamp(-0.5, 0.5)
    torch.testing.assert_close(layer(x), layer.down_proj(gate * torch.sigmoid(1.702 * gate) * (up + 1)))

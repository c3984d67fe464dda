"""Tiny models with recurrent layers: a leaky sum as the mixer, whose state depends on all tokens before."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmcraft.model import block
from lmcraft.model.attention import Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear
from lmcraft.model.parts import ShortConv
from lmcraft.model.transformer import Transformer
from tests.tiny import tiny_model

KINDS: dict[str, tuple[str, ...]] = {
    "hybrid": ("conv", "full_attention"),
    "recurrent": ("conv", "conv"),
}


class LeakySum(nn.Module):
    """y = W s, where s is the sum of all inputs, each weighted by 0.9 for each token since; in place of a convolution."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.out_proj = Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x_BTC: Tensor, begins: Tensor | None, cache: Cache | None) -> Tensor:
        held = None if cache is None else cache.state(self.layer)
        state = x_BTC.new_zeros(x_BTC.shape[0], x_BTC.shape[2], 2) if held is None else held[0]
        sums = []
        for position in range(x_BTC.shape[1]):
            kept = state[:, :, 0] if begins is None else state[:, :, 0] * ~begins[:, position, None]
            state = torch.stack((0.9 * kept + x_BTC[:, position], kept), dim=2)
            sums.append(state[:, :, 0])
        if cache is not None:
            cache.set_state(self.layer, (state,), x_BTC.shape[1])
        return self.out_proj(torch.stack(sums, dim=1))  # type: ignore[no-any-return]


def recurrent_model(kind: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Transformer:
    """A model of a kind; its mixers exist as long as the test."""
    monkeypatch.setattr(block, "make_mixer", LeakySum)
    monkeypatch.setattr(LeakySum, "__module__", "lmcraft.model.mixers")
    layers = KINDS[kind]
    sizes = {"max_position_embeddings": 256, "num_hidden_layers": len(layers), "short_conv": ShortConv(kernel=3)}
    return tiny_model(1, **(sizes | {"layer_types": layers} | settings))

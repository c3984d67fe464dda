"""The gated short convolution of LFM2 (arXiv 2511.23404): o_proj(c * conv(b * x)), with b, c, x projections of the input.

Shapes: B batch, T new tokens, C width.
"""

from torch import Tensor, nn

from lmcraft.model.attention import Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear
from lmcraft.model.mixers.causal_conv import CausalConv


class GatedShortConv(nn.Module):
    """Its state is the last inputs of the convolution."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        width, bias = config.hidden_size, config.short_conv.bias
        self.layer = layer
        self.in_proj = Linear(width, 3 * width, bias=bias)
        self.conv = CausalConv(width, config.short_conv.kernel, bias=bias)
        self.o_proj = Linear(width, width, bias=bias)

    def forward(self, x_BTC: Tensor, begins: Tensor | None, cache: Cache | None) -> Tensor:
        """The output, (B, T, C); arguments as in `lmcraft.model.mixers`."""
        (state,) = (None,) if cache is None else cache.state(self.layer) or (None,)
        b_BTC, c_BTC, inner_BTC = self.in_proj(x_BTC).chunk(3, dim=-1)
        y_BTC, state = self.conv(b_BTC * inner_BTC, state, begins)
        if cache is not None:
            cache.set_state(self.layer, (state,), x_BTC.shape[1])
        return self.o_proj(c_BTC * y_BTC)  # type: ignore[no-any-return]

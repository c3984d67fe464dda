"""A causal convolution over tokens, of each channel by itself.

Shapes: B batch, T new tokens, C channels, W width of the convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CausalConv(nn.Module):
    """y[t] = bias + the sum over j < W of weight[W - 1 - j] x[t - j], for each channel.

    The weight has the shape of torch's Conv1d, (C, 1, W).
    """

    def __init__(self, channels: int, width: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, width))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        if not self.weight.is_meta:
            nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)

    def forward(self, x_BTC: Tensor, state: Tensor | None, begins: Tensor | None) -> tuple[Tensor, Tensor]:
        """The output, (B, T, C), and the inputs that the next token needs.

        Args:
            x_BTC: input.
            state: the W - 1 inputs before, (B, C, W - 1); None: zeros.
            begins: whether a document begins at a token, (B, T): it does not read the inputs before.
        """
        T, W = x_BTC.shape[1], self.weight.shape[-1]
        weight = self.weight[:, 0].to(x_BTC.dtype)
        before = x_BTC.new_zeros(()).expand(len(x_BTC), W - 1, x_BTC.shape[2]) if state is None else state.mT.to(x_BTC.dtype)
        inputs = torch.cat((before, x_BTC), dim=1)  # (B, W - 1 + T, C)
        y_BTC = x_BTC * weight[:, -1]
        for back in range(1, W):
            earlier = inputs[:, W - 1 - back : W - 1 - back + T]
            if begins is not None:
                earlier = earlier.masked_fill(_begins_within(begins, back)[:, :, None], 0)
            y_BTC = torch.addcmul(y_BTC, earlier, weight[:, W - 1 - back])
        if self.bias is not None:
            y_BTC = y_BTC + self.bias.to(x_BTC.dtype)
        return y_BTC, _last_inputs(inputs, T, begins).to(torch.promote_types(x_BTC.dtype, torch.float32))


def _last_inputs(inputs: Tensor, T: int, begins: Tensor | None) -> Tensor:
    """Those that the next token reads, (B, C, W - 1), of (B, W - 1 + T, C); 0 where they are of an earlier document."""
    last = inputs[:, T:]
    if begins is not None:
        total = begins.cumsum(dim=1)
        is_earlier = F.pad(total, (inputs.shape[1] - T, 0))[:, T:] < total[:, -1:]
        last = last.masked_fill(is_earlier[:, :, None], 0)
    return last.mT


def _begins_within(begins: Tensor, back: int) -> Tensor:
    """Whether a document begins at a token or at one of the `back` - 1 tokens before, (B, T)."""
    total = begins.cumsum(dim=1)
    return total > F.pad(total, (back, 0))[:, : begins.shape[1]]

"""Mamba's selective state space (arXiv 2312.00752), the first generation: every channel decays in its own way.

Each channel keeps a state of N numbers (equations 2a and 2b, discretized as in section 3.5.2):

    h[t] = exp(dt[t] A) h[t - 1] + dt[t] x[t] b[t]
    y[t] = h[t] c[t] + skip x[t]

Shapes: B batch, T new tokens, C width, I channels, N numbers of a channel's state.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.attention import Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear
from lmcraft.model.mixers.causal_conv import CausalConv
from lmcraft.model.mixers.time_steps import draw_time_steps
from lmcraft.model.norm import RMSNorm, UnweightedRMSNorm

CHUNK_TOKENS = 16  # each chunk takes log2 of this many passes over its states


class Mamba(nn.Module):
    """x passes a short convolution; time steps, b and c are projections of the result; the output is gated."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        sizes, channels = config.mamba, config.mamba.num_heads
        self.layer, self.parts = layer, [sizes.time_step_rank, sizes.state_size, sizes.state_size]
        self.in_proj = Linear(config.hidden_size, 2 * channels, bias=sizes.use_bias)
        self.conv = CausalConv(channels, sizes.conv_kernel, bias=sizes.use_conv_bias)
        self.x_proj = Linear(channels, sum(self.parts), bias=False)
        self.dt_proj = Linear(sizes.time_step_rank, channels, bias=True)
        assert self.dt_proj.bias is not None
        draw_time_steps(self.dt_proj.bias)
        self.A_log = nn.Parameter(torch.arange(1, sizes.state_size + 1, dtype=torch.float32).log().repeat(channels, 1))
        self.D = nn.Parameter(torch.ones(channels))
        self.part_norms = nn.ModuleList(
            RMSNorm(width, sizes.part_norm_eps) if sizes.part_norm == "rmsnorm" else UnweightedRMSNorm(sizes.part_norm_eps)
            for width in (self.parts if sizes.part_norm != "none" else [])
        )
        self.o_proj = Linear(channels, config.hidden_size, bias=sizes.use_output_bias)

    def forward(self, x_BTC: Tensor, begins: Tensor | None, cache: Cache | None) -> Tensor:
        """The output, (B, T, C); arguments as in `lmcraft.model.mixers`."""
        conv_state, state = (None, None) if cache is None else cache.state(self.layer) or (None, None)
        x_BTI, gate_BTI = self.in_proj(x_BTC).chunk(2, dim=-1)
        convolved, conv_state = self.conv(x_BTI, conv_state, begins)
        x_BTI = F.silu(convolved)
        parts = torch.split(self.x_proj(x_BTI), self.parts, dim=-1)
        if self.part_norms:
            parts = tuple(norm(part) for norm, part in zip(self.part_norms, parts, strict=True))
        x_BTI, b_BTN, c_BTN, gate_BTI = (_wide(part) for part in (x_BTI, *parts[1:], gate_BTI))
        dt_BTI = F.softplus(_wide(self.dt_proj(parts[0])))
        y_BTI, state = selective_scan(x_BTI, dt_BTI, -_wide(self.A_log).exp(), b_BTN, c_BTN, state, begins)
        if cache is not None:
            cache.set_state(self.layer, (conv_state, state), x_BTC.shape[1])
        y_BTI = (y_BTI + _wide(self.D) * x_BTI) * F.silu(gate_BTI)
        return self.o_proj(y_BTI.to(x_BTC.dtype))  # type: ignore[no-any-return]


def selective_scan(
    x_BTI: Tensor,
    dt_BTI: Tensor,
    A_IN: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    state: Tensor | None = None,
    begins: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The outputs without the skip connection, (B, T, I), and the state after the last token, (B, I, 1, N).

    Args:
        x_BTI: inputs.
        dt_BTI: time steps.
        A_IN: decay rates, negative.
        b_BTN: how the inputs enter the state.
        c_BTN: how the state is read.
        state: the state before, (B, I, 1, N); None: zeros.
        begins: whether a document begins at a token, (B, T).
    """
    B, T, _ = x_BTI.shape
    before_BIN = x_BTI.new_zeros(B, *A_IN.shape) if state is None else state[:, :, 0]
    outputs = []
    for start in range(0, T, CHUNK_TOKENS):
        chunk = slice(start, start + CHUNK_TOKENS)
        decay = (dt_BTI[:, chunk, :, None] * A_IN).exp()
        if begins is not None:
            decay = decay * ~begins[:, chunk, None, None]
        added = (dt_BTI * x_BTI)[:, chunk, :, None] * b_BTN[:, chunk, None]
        states = _scan(decay, torch.cat((added[:, :1] + decay[:, :1] * before_BIN[:, None], added[:, 1:]), dim=1))
        outputs.append((states @ c_BTN[:, chunk, :, None])[..., 0])
        before_BIN = states[:, -1]
    return torch.cat(outputs, dim=1), before_BIN[:, :, None]


def _scan(decay: Tensor, added: Tensor) -> Tensor:
    """h[t] = decay[t] h[t - 1] + added[t] for all tokens of (B, L, I, N), by doubling the span of tokens that are summed."""
    span = 1
    while span < decay.shape[1]:
        added = torch.cat((added[:, :span], torch.addcmul(added[:, span:], decay[:, span:], added[:, :-span])), dim=1)
        decay = torch.cat((decay[:, :span], decay[:, span:] * decay[:, :-span]), dim=1)
        span *= 2
    return added


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))

"""Mamba-2's state-space mixer (arXiv 2405.21060).

Each head keeps a matrix S, which decays, takes in the input along a direction b, and is read along a direction c (section
2.1, with scalar decays):

    S[t] = exp(dt[t] A) S[t - 1] + dt[t] x[t] b[t]^T
    y[t] = S[t] c[t] + skip x[t]

Heads of a group share b and c.

Shapes: B batch, T new tokens, C width, H heads, D head width, G groups, N width of b and c, L tokens of a chunk.
"""

from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.attention import Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear
from lmcraft.model.mixers.causal_conv import CausalConv
from lmcraft.model.mixers.chunk_decay import chunk_decay, from_chunks, into_chunks
from lmcraft.model.mixers.gated_norm import GatedRMSNorm
from lmcraft.model.mixers.time_steps import draw_time_steps

MAX_CHUNK_TOKENS = 64  # more work between the tokens of a chunk would outweigh fewer states


class Mamba2(nn.Module):
    """Gate, x, b, c and time steps are projections of the input; x, b and c pass a short convolution first."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        sizes = config.mamba
        self.layer, self.heads, self.groups = layer, sizes.num_heads, sizes.n_groups
        self.inner, directions = sizes.num_heads * sizes.head_dim, sizes.n_groups * sizes.state_size
        self.chunk_size = min(sizes.chunk_size, MAX_CHUNK_TOKENS)
        self.time_step_limits = sizes.time_step_min, sizes.time_step_max or inf
        self.parts = [self.inner, self.inner, directions, directions, sizes.num_heads]
        self.in_proj = Linear(config.hidden_size, sum(self.parts), bias=sizes.use_bias)
        self.conv = CausalConv(self.inner + 2 * directions, sizes.conv_kernel, bias=sizes.use_conv_bias)
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.arange(1, self.heads + 1, dtype=torch.float32).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        draw_time_steps(self.dt_bias)
        gate_first = sizes.norm == "after_gate"
        normed = sizes.norm != "none"
        self.norm = GatedRMSNorm(self.inner, config.norm_eps, groups=self.groups, gate_first=gate_first) if normed else None
        self.o_proj = Linear(self.inner, config.hidden_size, bias=sizes.use_output_bias)
        self.input_multiplier, self.output_multiplier = sizes.input_multiplier, sizes.output_multiplier
        self.part_multipliers = sizes.part_multipliers

    def forward(self, x_BTC: Tensor, begins: Tensor | None, cache: Cache | None) -> Tensor:
        """The output, (B, T, C); arguments as in `lmcraft.model.mixers`."""
        B, T, _ = x_BTC.shape
        conv_state, state = (None, None) if cache is None else cache.state(self.layer) or (None, None)
        gate, convolved, time_steps = self._project(x_BTC)
        convolved, conv_state = self.conv(convolved, conv_state, begins)
        inner, b, c = torch.split(_wide(F.silu(convolved)), self.parts[1:4], dim=-1)
        x_BTHD = inner.view(B, T, self.heads, -1)
        b_BTGN, c_BTGN = b.view(B, T, self.groups, -1), c.view(B, T, self.groups, -1)
        dt_BTH = F.softplus(_wide(time_steps) + self.dt_bias).clamp(*self.time_step_limits)
        y_BTHD, state = state_space(x_BTHD, dt_BTH, -_wide(self.A_log).exp(), b_BTGN, c_BTGN, state, begins, self.chunk_size)
        if cache is not None:
            cache.set_state(self.layer, (conv_state, state), T)
        y = (y_BTHD + _wide(self.D)[:, None] * x_BTHD).flatten(2)
        y = y * F.silu(_wide(gate)) if self.norm is None else self.norm(y, gate)
        y_BTC: Tensor = self.o_proj(y.to(x_BTC.dtype))
        return y_BTC if self.output_multiplier == 1 else y_BTC * self.output_multiplier

    def _project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gate, the input of the convolution, and the time steps before their bias."""
        projected = self.in_proj(x_BTC if self.input_multiplier == 1 else x_BTC * self.input_multiplier)
        if self.part_multipliers:
            parts = zip(torch.split(projected, self.parts, dim=-1), self.part_multipliers, strict=True)
            projected = torch.cat([part * multiplier for part, multiplier in parts], dim=-1)
        gate, convolved, time_steps = torch.split(projected, [self.inner, sum(self.parts[1:4]), self.heads], dim=-1)
        return gate, convolved, time_steps


def state_space(
    x_BTHD: Tensor,
    dt_BTH: Tensor,
    A_H: Tensor,
    b_BTGN: Tensor,
    c_BTGN: Tensor,
    state: Tensor | None = None,
    begins: Tensor | None = None,
    chunk_size: int = MAX_CHUNK_TOKENS,
) -> tuple[Tensor, Tensor]:
    """The outputs without the skip connection, (B, T, H, D), and the state after the last token, (B, H, D, N).

    Args:
        x_BTHD: inputs.
        dt_BTH: time steps.
        A_H: decay rates, negative.
        b_BTGN: directions of the inputs in the state.
        c_BTGN: directions of the outputs.
        state: the state before, (B, H, D, N); None: zeros.
        begins: whether a document begins at a token, (B, T).
        chunk_size: tokens that are computed together.
    """
    B, T, H, D = x_BTHD.shape
    repeats = H // b_BTGN.shape[2]
    scaled_BTHD, log_decay_BTH = x_BTHD * dt_BTH[..., None], dt_BTH * A_H
    if state is None:
        state = x_BTHD.new_zeros(B, H, D, b_BTGN.shape[3])
    if T == 1:
        decay_BH = log_decay_BTH[:, 0].exp()
        decay_BH = decay_BH if begins is None else decay_BH.masked_fill(begins, 0)
        b_BHN, c_BHN = (part[:, 0].repeat_interleave(repeats, dim=1) for part in (b_BTGN, c_BTGN))
        state = decay_BH[..., None, None] * state + scaled_BTHD[:, 0, :, :, None] * b_BHN[:, :, None]
        return (state @ c_BHN[..., None])[:, None, ..., 0], state
    size = min(T, chunk_size)
    decay = chunk_decay(log_decay_BTH, begins, size)
    x, b, c = (into_chunks(part, size) for part in (scaled_BTHD, b_BTGN, c_BTGN))
    outputs = ((c @ b.mT).repeat_interleave(repeats, dim=1) * decay.between) @ x
    x = x * decay.to_end[..., None]
    of_states = []
    for chunk in range(x.shape[2]):  # only the state is passed from chunk to chunk
        b_BHLN, c_BHLN = (part[:, :, chunk].repeat_interleave(repeats, dim=1) for part in (b, c))
        of_states.append(c_BHLN @ state.mT)
        state = decay.whole[:, :, chunk, None, None] * state + x[:, :, chunk].mT @ b_BHLN
    outputs = outputs + decay.from_start[..., None] * torch.stack(of_states, dim=2)
    return from_chunks(outputs, T), state


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))

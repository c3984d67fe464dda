"""Gated delta-rule linear attention (Gated DeltaNet, arXiv 2412.06464), as in Qwen3-Next.

Each head keeps a matrix S that maps keys to values. A token lets it decay, and writes its value under its key in place of
what S returned for that key (eq. 10):

    S[t] = exp(g[t]) S[t - 1]
    S[t] = S[t] + k[t] (beta[t] (v[t] - S[t]^T k[t]))^T
    y[t] = S[t]^T q[t] / sqrt(K)

Shapes: B batch, T new tokens, C width, H value heads, G key heads, K width of a key, V width of a value, N chunks, L tokens
of a chunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.attention import Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.linear import Linear
from lmcraft.model.mixers.causal_conv import CausalConv
from lmcraft.model.mixers.chunk_decay import chunk_decay, from_chunks, into_chunks
from lmcraft.model.mixers.gated_norm import GatedRMSNorm

MAX_CHUNK_TOKENS = 64
KEY_NORM_EPS = 1e-6  # added to the squared length of queries and keys


class GatedDeltaNet(nn.Module):
    """Queries, keys and values pass a short convolution, queries and keys are unit vectors, and the output is gated."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        sizes, width = config.gated_delta, config.hidden_size
        self.layer = layer
        self.key_head_dim, self.value_head_dim = sizes.linear_key_head_dim, sizes.linear_value_head_dim
        heads, keys = sizes.linear_num_value_heads, sizes.linear_num_key_heads * self.key_head_dim
        values = heads * self.value_head_dim
        self.parts = [keys, keys, values]
        self.groups = heads // sizes.linear_num_key_heads
        self.q_proj, self.k_proj = Linear(width, keys, bias=False), Linear(width, keys, bias=False)
        self.v_proj, self.z_proj = Linear(width, values, bias=False), Linear(width, values, bias=False)
        self.b_proj, self.a_proj = Linear(width, heads, bias=False), Linear(width, heads, bias=False)
        self.conv = CausalConv(2 * keys + values, sizes.linear_conv_kernel_dim, bias=False)
        self.dt_bias = nn.Parameter(torch.ones(heads))
        self.A_log = nn.Parameter(torch.empty(heads))
        if not self.A_log.is_meta:
            self.A_log.data.uniform_(0.01, 16).log_()
        self.norm = GatedRMSNorm(self.value_head_dim, config.norm_eps, gate_first=False)
        self.o_proj = Linear(values, width, bias=False)

    def forward(self, x_BTC: Tensor, begins: Tensor | None, cache: Cache | None) -> Tensor:
        """The output, (B, T, C); arguments as in `lmcraft.model.mixers`."""
        conv_state, state = (None, None) if cache is None else cache.state(self.layer) or (None, None)
        projected = torch.cat((self.q_proj(x_BTC), self.k_proj(x_BTC), self.v_proj(x_BTC)), dim=-1)
        convolved, conv_state = self.conv(projected, conv_state, begins)
        q, k, v = torch.split(F.silu(convolved), self.parts, dim=-1)
        q_BTHK, k_BTHK = (self._unit_vectors(x) for x in (q, k))
        v_BTHV = _wide(v).view(*v.shape[:2], -1, self.value_head_dim)
        beta_BTH = _wide(self.b_proj(x_BTC)).sigmoid()
        log_decay_BTH = -_wide(self.A_log).exp() * F.softplus(_wide(self.a_proj(x_BTC)) + self.dt_bias)
        y_BTHV, state = gated_delta_rule(q_BTHK, k_BTHK, v_BTHV, log_decay_BTH, beta_BTH, state, begins)
        if cache is not None:
            cache.set_state(self.layer, (conv_state, state), x_BTC.shape[1])
        gate = self.z_proj(x_BTC).view(y_BTHV.shape)
        return self.o_proj(self.norm(y_BTHV, gate).flatten(-2))  # type: ignore[no-any-return]

    def _unit_vectors(self, x: Tensor) -> Tensor:
        """(B, T, G K) as unit vectors of each value head, (B, T, H, K)."""
        heads = _wide(x).view(*x.shape[:2], -1, self.key_head_dim)
        heads = heads * torch.rsqrt(heads.square().sum(-1, keepdim=True) + KEY_NORM_EPS)
        return heads.repeat_interleave(self.groups, dim=2)


def gated_delta_rule(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    state: Tensor | None = None,
    begins: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The outputs, (B, T, H, V), and the state after the last token, (B, H, K, V).

    Args:
        q_BTHK: queries.
        k_BTHK: keys.
        v_BTHV: values.
        log_decay_BTH: logarithm of the decay, at most 0.
        beta_BTH: share of the old value that the new one replaces.
        state: the state before, (B, H, K, V); None: zeros.
        begins: whether a document begins at a token, (B, T).
    """
    T = q_BTHK.shape[1]
    q_BTHK = q_BTHK * q_BTHK.shape[-1] ** -0.5
    if state is None:
        state = v_BTHV.new_zeros(len(v_BTHV), v_BTHV.shape[2], k_BTHK.shape[3], v_BTHV.shape[3])
    if T == 1:
        return _one_token(q_BTHK, k_BTHK, v_BTHV, log_decay_BTH, beta_BTH, state, begins)
    size = min(T, MAX_CHUNK_TOKENS)
    decay = chunk_decay(log_decay_BTH, begins, size)
    q, k, v, beta = (into_chunks(x, size) for x in (q_BTHK, k_BTHK, v_BTHV, beta_BTH[..., None]))
    # Within a chunk, what each token writes depends on what the earlier ones wrote: a triangular system, which is solved for
    # the values and for what the state before the chunk contributes (section 3.3, the UT transform).
    system = (beta * k) @ k.mT * decay.between
    right = torch.cat((beta * v, beta * k * decay.from_start[..., None]), dim=-1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    written, of_state = torch.split(solved, [v.shape[-1], k.shape[-1]], dim=-1)
    scores = q @ k.mT * decay.between
    q, k = q * decay.from_start[..., None], k * decay.to_end[..., None]
    outputs = []
    for chunk in range(q.shape[2]):
        values = written[:, :, chunk] - of_state[:, :, chunk] @ state
        outputs.append(scores[:, :, chunk] @ values + q[:, :, chunk] @ state)
        state = decay.whole[:, :, chunk, None, None] * state + k[:, :, chunk].mT @ values
    return from_chunks(torch.stack(outputs, dim=2), T), state


def _one_token(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    state: Tensor,
    begins: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """`gated_delta_rule` of one token."""
    decay_BH = log_decay_BTH[:, 0].exp()
    if begins is not None:
        decay_BH = decay_BH.masked_fill(begins, 0)
    state = state * decay_BH[..., None, None]
    k_BHK1 = k_BTHK[:, 0, :, :, None]
    old_BHV = (k_BHK1 * state).sum(-2)
    new_BHV = beta_BTH[:, 0, :, None] * (v_BTHV[:, 0] - old_BHV)
    state = state + k_BHK1 * new_BHV[:, :, None]
    return (q_BTHK[:, 0, :, :, None] * state).sum(-2)[:, None], state


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))

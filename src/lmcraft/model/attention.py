"""Causal self-attention, softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, eq. 1).

The softmax normalizes over the keys, separately for each query. Some texts normalize over the query index instead; that is
a misprint.

Shapes: B batch, T new tokens, S tokens attended to, H query heads, K key-value heads, G = H / K, D head width.
"""

from collections.abc import Callable
from math import ceil
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.kernels.attention import CausalAttention, can_compute
from lmcraft.model.linear import Linear
from lmcraft.model.norm import UnweightedRMSNorm, make_qk_norm, make_rms_norm
from lmcraft.model.output_head import soft_cap
from lmcraft.model.products import is_emulated
from lmcraft.model.rotary import rotate

AttentionKind = Literal["auto", "matmul", "sdpa"]
AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], Tensor]
"""A custom attention: maps queries (B, H, T, D), keys and values (B, K, S, D), mask (B or 1, T, S), scale and dropout to
(B, H, T, D). The mask is added to the scores: 0 where a query may attend, else -inf."""

# Up to this many keys, "auto" uses plain matrix products on CPUs. Training measures both (`lmcraft.training.autotune`).
MAX_MATMUL_KEYS = 512
# Long queries are computed in chunks, so that each chunk skips the keys after it.
MAX_QUERY_CHUNKS, MIN_QUERIES_PER_CHUNK = 4, 128


class Cache(Protocol):
    """The interface of a key-value cache; `lmcraft.inference.kv_cache` implements it."""

    @property
    def length(self) -> int:
        """Number of cached tokens."""

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Append one layer's new keys and values, (B, K, T, D); returns all of them, (B, K, S, D)."""

    def state(self, layer: int) -> tuple[Tensor, ...] | None:
        """A layer's recurrent state after the cached tokens, (B, ...) each; None before the first token."""

    def set_state(self, layer: int, state: tuple[Tensor, ...], num_tokens: int) -> None:
        """Replace a layer's recurrent state by that after `num_tokens` more tokens."""


class ScoreRules(NamedTuple):
    """What changes the scores of attention besides scale and mask."""

    softcap: float
    """c of c tanh(s / c), before the mask; 0: none."""
    sinks: Tensor | None
    """A score per head without a key, (H,)."""

    def cap(self, scores: Tensor) -> Tensor:
        """The scores after soft-capping, of any shape."""
        return soft_cap(scores, self.softcap) if self.softcap else scores

    def softmax(self, scores_BHTS: Tensor) -> Tensor:
        """The weights of all keys, whose sum is below 1 with a sink; the dimension before the last two is that of heads."""
        if self.sinks is None:
            return scores_BHTS.softmax(dim=-1)
        sinks = self.sinks.to(scores_BHTS.dtype)[:, None, None].expand(*scores_BHTS.shape[:-1], 1)
        return torch.cat((scores_BHTS, sinks), dim=-1).softmax(dim=-1)[..., :-1]


class BaseAttention(nn.Module):
    """What every kind of attention has in common: from queries, keys and values to the output.

    Args:
        config: the model.
        layer: number of the block.
        value_dim: width of a head's values.
    """

    o_proj: Linear
    """Output projection, from (..., H * value_dim)."""

    def __init__(self, config: TransformerConfig, layer: int, value_dim: int) -> None:
        super().__init__()
        self.layer = layer
        self.kind: AttentionKind | AttentionFunction = "auto"
        self.num_heads, self.num_kv_heads = config.num_attention_heads, config.num_kv_heads(layer)
        self.head_dim, self.value_dim = config.head_size(layer), value_dim
        self.scale = config.attention_scale
        self.softcap = config.attn_logit_softcapping
        self.sinks = nn.Parameter(torch.zeros(self.num_heads)) if config.attention_sinks else None
        self.changes_scores = bool(self.softcap) or config.attention_sinks
        self.dropout = config.attention_dropout
        self.bidirectional = config.bidirectional
        self.output_norm = make_rms_norm(config, self.num_heads * value_dim) if config.sub_norm else None

    @property
    def rules(self) -> ScoreRules | None:
        """What changes the scores; None: nothing."""
        return ScoreRules(self.softcap, self.sinks) if self.changes_scores else None

    def mix(self, q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, mask: Tensor | None, hook: Hook) -> Tensor:
        """Values mixed by their weights, (B, H, T, width of a value)."""
        dropout = self.dropout if self.training else 0.0
        if hook.has("attn.hook_attn_scores", "attn.hook_pattern"):
            self._check_scores_exist()
            return attend_with_hooks(q_BHTD, k_BKSD, v_BKSD, mask, self.scale, hook, self.rules)
        if callable(self.kind):
            assert mask is not None
            return self.kind(q_BHTD, k_BKSD, v_BKSD, mask, self.scale, dropout)
        if self.bidirectional:
            assert mask is not None
            return attend_both_ways(q_BHTD, k_BKSD, v_BKSD, mask, self.scale, dropout)
        return attend(q_BHTD, k_BKSD, v_BKSD, mask, self.scale, dropout, self.kind, self.rules)

    def output(self, y_BHTD: Tensor, hook: Hook) -> Tensor:
        """The output of the layer, (B, T, C), from the mixed values."""
        z_BTHD = hook("attn.hook_z", y_BHTD.transpose(1, 2))
        if hook.has("attn.hook_result"):
            return hook("attn.hook_result", self.head_results(z_BTHD)).sum(2) + self._output_bias(z_BTHD)
        z_BTE = z_BTHD.flatten(2)
        return self.o_proj(z_BTE if self.output_norm is None else self.output_norm(z_BTE))  # type: ignore[no-any-return]

    def _check_scores_exist(self) -> None:
        if callable(self.kind):
            raise UserError(
                "attention is a function of your own, so hook_attn_scores and hook_pattern do not exist: leave them out, or "
                'call use_attention("auto") first'
            )

    def head_results(self, z_BTHD: Tensor) -> Tensor:
        """What each head adds to the output, (B, T, H, C), without the bias."""
        if self.output_norm is not None:
            raise UserError("attn.hook_result does not exist where the heads' outputs are normed together: leave it out")
        B, T, H, D = z_BTHD.shape
        alone = z_BTHD.new_zeros(H, B, T, H, D)
        index = torch.arange(H, device=z_BTHD.device)
        alone[index, :, :, index] = z_BTHD.permute(2, 0, 1, 3)
        results: Tensor = self.o_proj(alone.reshape(H * B, T, H * D)) - self._output_bias(z_BTHD)
        return results.view(H, B, T, -1).permute(1, 2, 0, 3)

    def _output_bias(self, z_BTHD: Tensor) -> Tensor:
        return self.o_proj(z_BTHD.new_zeros(1, 1, self.num_heads * self.value_dim))  # type: ignore[no-any-return]


class Attention(BaseAttention):
    """Grouped-query attention (arXiv 2305.13245) with optional biases, QK norm and rotary positions."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__(config, layer, config.head_size(layer))
        width, bias = config.hidden_size, config.attention_bias in ("qkv", "all")
        self.q_proj = Linear(width, self.num_heads * self.head_dim, bias=bias)
        self.k_proj = Linear(width, self.num_kv_heads * self.head_dim, bias=bias)
        owns_values = not config.uses_keys_as_values(layer)
        self.v_proj = Linear(width, self.num_kv_heads * self.head_dim, bias=bias) if owns_values else None
        self.o_proj = Linear(self.num_heads * self.head_dim, width, bias=config.attention_bias in ("output", "all"))
        gated = config.attention_gate
        self.gate_proj = Linear(width, self.num_heads * self.head_dim, bias=bias) if gated else None
        self.clip, self.key_multiplier = config.clip_qkv, config.multipliers.keys
        self.norm_over_projection = config.qk_norm_over == "projection"
        self.norms_rotated = config.qk_norm_after_rotary
        normed = config.qk_norm and (config.has_rotary(layer) or not self.norms_rotated)
        self.q_norm = make_qk_norm(config, self.num_heads, self.head_dim) if normed else None
        self.k_norm = make_qk_norm(config, self.num_kv_heads, self.head_dim) if normed else None
        self.v_norm = UnweightedRMSNorm(config.norm_eps) if config.value_norm else None

    def forward(
        self,
        x_BTC: Tensor,
        rotary: tuple[Tensor, ...] | None,
        mask: Tensor | None,
        cache: Cache | None,
        hook: Hook = no_hooks,
    ) -> Tensor:
        """Attention output, (B, T, C).

        Args:
            x_BTC: normed residual stream.
            rotary: cosines and sines as in `rotary.rotate`, or None without rotary positions; four: those of queries, then
                those of keys.
            mask: added to the scores, (B or 1, T, S), or (B or 1, H, T, S); None means causal.
            cache: keys and values of earlier tokens; the new ones are appended.
            hook: called at the points `attn.hook_q` to `attn.hook_result` (`lmcraft.model.hooks`).
        """
        B, T, _ = x_BTC.shape
        q_BTHD = hook("attn.hook_q", self.q_proj(x_BTC).view(B, T, -1, self.head_dim))
        k_BTKD = self.k_proj(x_BTC).view(B, T, -1, self.head_dim)
        k_BTKD = hook("attn.hook_k", k_BTKD if self.key_multiplier == 1.0 else k_BTKD * self.key_multiplier)
        v_BTKD = k_BTKD if self.v_proj is None else self.v_proj(x_BTC).view(B, T, -1, self.head_dim)
        v_BTKD = hook("attn.hook_v", v_BTKD if self.v_norm is None else self.v_norm(v_BTKD))
        if self.q_norm is not None and not self.norms_rotated:
            q_BTHD, k_BTKD = self._normed(q_BTHD, k_BTKD)
        if self.clip:
            q_BTHD, k_BTKD, v_BTKD = (x.clamp(-self.clip, self.clip) for x in (q_BTHD, k_BTKD, v_BTKD))
        if rotary is not None:
            q_BTHD = hook("attn.hook_rot_q", rotate(q_BTHD, rotary[0], rotary[1]))
            k_BTKD = hook("attn.hook_rot_k", rotate(k_BTKD, rotary[-2], rotary[-1]))
        if self.q_norm is not None and self.norms_rotated:
            q_BTHD, k_BTKD = self._normed(q_BTHD, k_BTKD)
        q_BHTD, k_BKSD, v_BKSD = q_BTHD.transpose(1, 2), k_BTKD.transpose(1, 2), v_BTKD.transpose(1, 2)
        if cache is not None:
            k_BKSD, v_BKSD = cache.update(self.layer, k_BKSD, v_BKSD)
        y_BHTD = self.mix(q_BHTD, k_BKSD, v_BKSD, mask, hook)
        if self.gate_proj is not None:
            gate_BTHD = self.gate_proj(x_BTC).sigmoid().view(B, T, -1, self.head_dim)
            y_BHTD = y_BHTD * gate_BTHD.transpose(1, 2)
        return self.output(y_BHTD, hook)

    def _normed(self, q_BTHD: Tensor, k_BTKD: Tensor) -> tuple[Tensor, Tensor]:
        assert self.q_norm is not None and self.k_norm is not None
        spans = -2 if self.norm_over_projection else -1  # first dimension that the norm spans
        return self.q_norm(q_BTHD.flatten(spans)).view_as(q_BTHD), self.k_norm(k_BTKD.flatten(spans)).view_as(k_BTKD)


def attend(
    q_BHTD: Tensor,
    k_BKSD: Tensor,
    v_BKSD: Tensor,
    mask: Tensor | None,
    scale: float,
    dropout: float = 0.0,
    kind: AttentionKind = "auto",
    rules: ScoreRules | None = None,
) -> Tensor:
    """softmax(scale q k^T + mask) v, (B, H, T, D). Later keys are never attended to, whatever the mask allows.

    With `rules`, there must be a mask.
    """
    if is_emulated(q_BHTD) and q_BHTD.shape[2] > 1:
        wide_mask = None if mask is None else mask.float()
        y_BHTD = attend(q_BHTD.float(), k_BKSD.float(), v_BKSD.float(), wide_mask, scale, dropout, kind, rules)
        return y_BHTD.to(q_BHTD.dtype)
    if rules is not None:
        assert mask is not None
        return _attend_in_chunks(q_BHTD, k_BKSD, v_BKSD, mask, scale, dropout, rules)
    if mask is not None and (use_matmul(q_BHTD.device, k_BKSD.shape[2], kind) or _is_short_bf16(q_BHTD, k_BKSD, kind)):
        return _attend_by_matmul(q_BHTD, k_BKSD, v_BKSD, mask, scale, dropout)
    return F.scaled_dot_product_attention(
        q_BHTD,
        k_BKSD,
        v_BKSD,
        attn_mask=None if mask is None else _by_head(mask),
        is_causal=mask is None,
        dropout_p=dropout,
        scale=scale,
        enable_gqa=q_BHTD.shape[1] != k_BKSD.shape[1],
    )


def attend_both_ways(
    q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, mask: Tensor, scale: float, dropout: float = 0.0
) -> Tensor:
    """softmax(scale q k^T + mask) v, (B, H, T, D); the mask alone says which keys a query attends to."""
    dtype = torch.float32 if is_emulated(q_BHTD) else q_BHTD.dtype
    y_BHTD = F.scaled_dot_product_attention(
        *(q_BHTD.to(dtype), k_BKSD.to(dtype), v_BKSD.to(dtype)),
        attn_mask=_by_head(mask.to(dtype)),
        dropout_p=dropout,
        scale=scale,
        enable_gqa=q_BHTD.shape[1] != k_BKSD.shape[1],
    )
    return y_BHTD.to(q_BHTD.dtype)


def attend_with_hooks(
    q_BHTD: Tensor,
    k_BKSD: Tensor,
    v_BKSD: Tensor,
    mask: Tensor | None,
    scale: float,
    hook: Hook,
    rules: ScoreRules | None = None,
) -> Tensor:
    """`attend` without dropout, with the masked scores and the weights of all pairs of tokens, (B, H, T, S), in float32 at
    least."""
    T, S, dtype = q_BHTD.shape[2], k_BKSD.shape[2], torch.promote_types(q_BHTD.dtype, torch.float32)
    groups = q_BHTD.shape[1] // k_BKSD.shape[1]
    k_BHSD, v_BHSD = (x.repeat_interleave(groups, dim=1).to(dtype) for x in (k_BKSD, v_BKSD))
    scores = q_BHTD.to(dtype) @ k_BHSD.transpose(2, 3) * scale
    scores = scores if rules is None else rules.cap(scores)
    if mask is None:
        allowed = torch.ones(T, S, dtype=torch.bool, device=scores.device).tril(S - T)
        scores = scores.masked_fill(~allowed, -torch.inf)
    else:
        scores = scores + _by_head(mask).to(dtype)
    scores = hook("attn.hook_attn_scores", scores)
    pattern = hook("attn.hook_pattern", scores.softmax(dim=-1) if rules is None else rules.softmax(scores))
    return (pattern @ v_BHSD).to(q_BHTD.dtype)


def use_matmul(device: torch.device, keys: int, kind: AttentionKind = "auto") -> bool:
    """Whether `attend` uses plain matrix products for this many keys (which requires a mask)."""
    return kind == "matmul" or (kind == "auto" and device.type == "cpu" and keys <= MAX_MATMUL_KEYS)


def _is_short_bf16(q_BHTD: Tensor, k_BKSD: Tensor, kind: AttentionKind) -> bool:
    """Whether these are the queries of a chunk, for whose scores matrix products in bfloat16 take half as long."""
    is_bf16 = q_BHTD.dtype == torch.bfloat16 and q_BHTD.device.type == "cpu"
    return kind == "auto" and is_bf16 and q_BHTD.shape[2] * k_BKSD.shape[2] <= MAX_MATMUL_KEYS**2


def _attend_by_matmul(q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, mask: Tensor, scale: float, dropout: float) -> Tensor:
    inputs = (q_BHTD.transpose(1, 2), k_BKSD.transpose(1, 2), v_BKSD.transpose(1, 2), mask)
    if not dropout and mask.ndim == 3 and can_compute(*inputs):
        return CausalAttention.apply(*inputs, scale).transpose(1, 2)  # type: ignore[no-any-return, no-untyped-call]
    return _attend_in_chunks(q_BHTD, k_BKSD, v_BKSD, mask, scale, dropout)


def _attend_in_chunks(
    q_BHTD: Tensor,
    k_BKSD: Tensor,
    v_BKSD: Tensor,
    mask: Tensor,
    scale: float,
    dropout: float,
    rules: ScoreRules | None = None,
) -> Tensor:
    T, S = q_BHTD.shape[2], k_BKSD.shape[2]
    size = max(MIN_QUERIES_PER_CHUNK, ceil(T / MAX_QUERY_CHUNKS))
    if T != S or size >= T:
        return _attend_to_all(q_BHTD, k_BKSD, v_BKSD, mask, scale, dropout, rules)
    chunks = []
    for start in range(0, T, size):  # each chunk of queries skips the keys after it
        stop = min(start + size, T)
        q, k, v = q_BHTD[:, :, start:stop], k_BKSD[:, :, :stop], v_BKSD[:, :, :stop]
        chunks.append(_attend_to_all(q, k, v, mask[..., start:stop, :stop], scale, dropout, rules))
    return torch.cat(chunks, dim=2)


def _attend_to_all(
    q_BHTD: Tensor,
    k_BKSD: Tensor,
    v_BKSD: Tensor,
    mask: Tensor,
    scale: float,
    dropout: float,
    rules: ScoreRules | None = None,
) -> Tensor:
    B, H, T, D = q_BHTD.shape
    K, S = k_BKSD.shape[1], k_BKSD.shape[2]
    q = q_BHTD.reshape(B * K, H // K * T, D)  # the query heads of a group share their keys
    k, v = k_BKSD.reshape(B * K, S, D), v_BKSD.reshape(B * K, S, -1)
    scores = torch.bmm(q, k.transpose(1, 2)).view(B, H, T, S)
    if rules is None:
        weights = torch.add(_by_head(mask), scores, alpha=scale).softmax(dim=-1)
    else:
        weights = rules.softmax(rules.cap(scores * scale) + _by_head(mask))
    weights = F.dropout(weights, dropout, training=dropout > 0)
    return torch.bmm(weights.reshape(B * K, H // K * T, S), v).view(B, H, T, -1)


def _by_head(mask: Tensor) -> Tensor:
    """A mask, (B or 1, 1 or H, T, S)."""
    return mask if mask.ndim == 4 else mask[:, None]

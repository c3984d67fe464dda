"""Which tokens each head attends to, layer by layer and in chunks of queries, so that a long text fits in memory.

Shapes: B batch, T tokens, S keys, H query heads, K key-value heads, D head width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.interventions import Intervention
from lmcraft.model.attention import Attention
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import HookFunction, HookPoint, Hooks, NameFilter
from lmcraft.model.transformer import Transformer

QUERIES_PER_CHUNK = 256
MAX_KEYS = 8  # of a query
MIN_WEIGHT = 0.01  # of a key that is kept
MAX_ENTRIES = 250_000  # of all heads of a text
WEIGHT_DIGITS = 3
MAX_RECORDED = 2**28  # weights of a layer that are kept at once


class AttentionWeights(Protocol):
    """The attention weights of one layer."""

    @property
    def length(self) -> int:
        """Tokens of a text."""

    def weights(self, start: int, stop: int) -> Tensor:
        """The attention weights of some queries, (B, H, stop - start, stop), in float32."""


@dataclass(frozen=True)
class Projections:
    """The queries and keys of one layer as their products are the scores: normed and rotated."""

    queries: Tensor
    """(B, T, H, D)."""
    keys: Tensor
    """(B, T, K, D)."""
    scale: float
    window: int
    """Keys that a query may attend to, itself included; 0: all before it."""

    @property
    def length(self) -> int:
        return self.queries.shape[1]

    def weights(self, start: int, stop: int) -> Tensor:
        return self.scores(start, stop).softmax(dim=-1)

    def scores(self, start: int, stop: int) -> Tensor:
        """The scores before the softmax, (B, H, stop - start, stop); -inf where a query may not attend."""
        groups = self.queries.shape[2] // self.keys.shape[2]
        q_BHTD = self.queries[:, start:stop].float().transpose(1, 2)
        k_BHSD = self.keys[:, :stop].float().repeat_interleave(groups, dim=2).transpose(1, 2)
        queries, keys = torch.arange(start, stop)[:, None], torch.arange(stop)[None]
        allowed = keys <= queries
        if self.window:
            allowed &= keys > queries - self.window
        scores = q_BHTD @ k_BHSD.transpose(2, 3) * self.scale
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)


@dataclass(frozen=True)
class RecordedWeights:
    """The weights of one layer as the model computed them."""

    pattern: Tensor
    """(B, H, T, T)."""

    @property
    def length(self) -> int:
        return self.pattern.shape[-1]

    def weights(self, start: int, stop: int) -> Tensor:
        return self.pattern[..., start:stop, :stop].float()


@dataclass(frozen=True)
class Pattern:
    """The largest attention weights of one head."""

    keys: Sequence[Sequence[int]]
    """(T, up to 8) of each query, largest weight first."""
    weights: Sequence[Sequence[float]]
    """(T, up to 8)."""


def score_rule(config: TransformerConfig) -> str:
    """Why attention weights are not the softmax of products of queries and keys, as a sentence; empty if they are."""
    others = ("attention_sinks", "attn_logit_softcapping", "clip_qkv", "qk_norm_after_rotary", "attention_chunk_size")
    changes = {name: getattr(config, name) for name in others}
    changes |= {
        "position": "alibi" if config.position == "alibi" else "",
        "query_scaling.beta": config.query_scaling.beta,
        "qk_norm_over": "each_head" if config.qk_norm and config.qk_norm_over == "each_head" else "",
        "qk_norm_kind": "layernorm" if config.qk_norm and config.qk_norm_kind == "layernorm" else "",
        "latent_attention.kv_lora_rank": config.latent_attention.kv_lora_rank,
        "key_sharing.num_layers": config.key_sharing.num_layers,
        "multipliers.keys": config.multipliers.keys if config.multipliers.keys != 1.0 else 0,
    }
    name = next((name for name, value in changes.items() if value), "")
    return name and f"attention scores of a model with {name}={changes[name]!r} are more than products of queries and keys"


@torch.no_grad()
def record_weights(
    transformer: Transformer,
    input_ids: Tensor,
    on_layer: Callable[[int, AttentionWeights], None],
    *,
    hooks: Intervention | None = None,
) -> None:
    """Compute texts, (B, T), and hand over the attention weights of each layer that has some, which are then forgotten.

    Args:
        transformer: in `eval` mode.
        input_ids: of the texts.
        on_layer: gets the number of a layer, and its weights.
        hooks: change the model.

    Raises:
        UserError: the texts are too long for weights that cannot be computed again from queries and keys.
    """
    config = transformer.config
    layers = [layer for layer in range(config.num_hidden_layers) if config.has_attention(layer)]
    rule = score_rule(config) or ("some of its layers have no rotary positions" if config.no_rope_layers else "")
    if not rule:
        return _record_projections(transformer, input_ids, on_layer, layers, hooks)
    if input_ids.numel() * input_ids.shape[1] * config.num_attention_heads > MAX_RECORDED:
        raise UserError(
            f"{rule}, and all weights of {input_ids.shape[1]} tokens need too much memory: choose a shorter text"
        )
    points = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]

    def hand_over(pattern_BHTS: Tensor, point: HookPoint) -> None:
        on_layer(point.layer(), RecordedWeights(pattern_BHTS))

    transformer.hidden_states(input_ids, hooks=Hooks(config, [*(hooks or []), (points, hand_over)]))
    return None


def _record_projections(
    transformer: Transformer,
    input_ids: Tensor,
    on_layer: Callable[[int, AttentionWeights], None],
    layers: Sequence[int],
    hooks: Intervention | None,
) -> None:
    config, rotated = transformer.config, "rot_" if transformer.config.position == "rotary" else ""
    queries: dict[int, Tensor] = {}

    def keep_queries(q_BTHD: Tensor, point: HookPoint) -> None:
        queries[point.layer()] = q_BTHD

    def hand_over(k_BTKD: Tensor, point: HookPoint) -> None:
        layer = point.layer()
        attention: Attention = transformer.layers[layer].attention  # type: ignore[assignment]
        q_BTHD = queries.pop(layer)
        if not rotated:
            q_BTHD, k_BTKD = _normed(attention, q_BTHD, k_BTKD)
        window = config.sliding_window if config.is_sliding(layer) else 0
        on_layer(layer, Projections(q_BTHD, k_BTKD, attention.scale, window))

    points = [f"blocks.{layer}.attn.hook_{rotated}" for layer in layers]
    readers: list[tuple[NameFilter, HookFunction]] = [
        ([point + "q" for point in points], keep_queries),
        ([point + "k" for point in points], hand_over),
    ]
    transformer.hidden_states(input_ids, hooks=Hooks(config, [*(hooks or []), *readers]))


def find_patterns(transformer: Transformer, ids: Sequence[int]) -> list[list[Pattern]]:
    """The largest weights of each head of each layer on a text; a layer without attention has no heads.

    A weight below 1% is left out. In a long text, so are those to the first token, to which most heads attend when they
    have nothing else to do, and then the smallest, until `MAX_ENTRIES` are left.
    """
    tops: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(layer: int, weights: AttentionWeights) -> None:
        tops[layer] = find_top_keys(weights)

    record_weights(transformer, torch.tensor([list(ids)], device=transformer.device), keep)
    if not tops:
        raise UserError("this model has no attention layers: leave out the view of attention")
    keys_LHTN, weights_LHTN = (torch.stack(tensors) for tensors in zip(*tops.values(), strict=True))
    is_kept = weights_LHTN >= MIN_WEIGHT
    if int(is_kept.sum()) > MAX_ENTRIES:
        is_kept &= keys_LHTN > 0
        candidates = weights_LHTN[is_kept]
        if len(candidates) > MAX_ENTRIES:
            is_kept &= weights_LHTN > candidates.kthvalue(len(candidates) - MAX_ENTRIES).values
    layers = zip(tops, keys_LHTN, weights_LHTN, is_kept, strict=True)
    patterns = {number: [_list_pattern(*head) for head in zip(*layer, strict=True)] for number, *layer in layers}
    return [patterns.get(number, []) for number in range(transformer.config.num_hidden_layers)]


def find_top_keys(attention: AttentionWeights) -> tuple[Tensor, Tensor]:
    """The keys with the largest weights in a text, and their weights, (H, T, up to 8), largest first."""
    T = attention.length
    count = min(MAX_KEYS, T)
    keys, weights = [], []
    for start in range(0, T, QUERIES_PER_CHUNK):
        stop = min(start + QUERIES_PER_CHUNK, T)
        weights_HTS = F.pad(attention.weights(start, stop)[0], (0, max(0, count - stop)))
        top = weights_HTS.topk(count, dim=-1)
        keys.append(top.indices.to(torch.int32).cpu())
        weights.append(top.values.cpu())
    return torch.cat(keys, 1), torch.cat(weights, 1)


def _list_pattern(keys_TN: Tensor, weights_TN: Tensor, is_kept_TN: Tensor) -> Pattern:
    ends = is_kept_TN.sum(-1).cumsum(0).tolist()
    keys, weights = keys_TN[is_kept_TN].tolist(), weights_TN[is_kept_TN].tolist()
    spans = list(pairwise((0, *ends)))
    rounded = [round(weight, WEIGHT_DIGITS) for weight in weights]
    return Pattern([keys[start:stop] for start, stop in spans], [rounded[start:stop] for start, stop in spans])


def _normed(attention: Attention, q_BTHD: Tensor, k_BTKD: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys after QK norm."""
    if attention.q_norm is None or attention.k_norm is None:
        return q_BTHD, k_BTKD
    spans = -2 if attention.norm_over_projection else -1
    q_normed, k_normed = attention.q_norm(q_BTHD.flatten(spans)), attention.k_norm(k_BTKD.flatten(spans))
    return q_normed.view_as(q_BTHD), k_normed.view_as(k_BTKD)

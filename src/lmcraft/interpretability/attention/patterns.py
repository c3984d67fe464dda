"""Which tokens each head attends to, layer by layer and in chunks of queries, so that a long text fits in memory.

Shapes: B batch, T tokens, S keys, H query heads, K key-value heads, D head width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.interventions import Intervention
from lmcraft.model.attention import Attention
from lmcraft.model.hooks import HookFunction, HookPoint, Hooks, NameFilter
from lmcraft.model.transformer import Transformer

QUERIES_PER_CHUNK = 256
MAX_KEYS = 8  # of a query
MIN_WEIGHT = 0.01  # of a key that is kept
MAX_ENTRIES = 250_000  # of all heads of a text
WEIGHT_DIGITS = 3


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

    def weights(self, start: int, stop: int) -> Tensor:
        """The attention weights of some queries, (B, H, stop - start, stop), in float32."""
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
class Pattern:
    """The largest attention weights of one head."""

    keys: Sequence[Sequence[int]]
    """(T, up to 8) of each query, largest weight first."""
    weights: Sequence[Sequence[float]]
    """(T, up to 8)."""


@torch.no_grad()
def record_projections(
    transformer: Transformer,
    input_ids: Tensor,
    on_layer: Callable[[int, Projections], None],
    layers: Sequence[int] | None = None,
    *,
    hooks: Intervention | None = None,
) -> None:
    """Compute texts, (B, T), and hand over the queries and keys of each layer, which are then forgotten.

    Args:
        transformer: in `eval` mode.
        input_ids: of the texts.
        on_layer: gets the number of a layer, and its queries and keys.
        layers: those to hand over, if they have attention; None: all.
        hooks: change the model.

    Raises:
        UserError: the layers have no attention.
    """
    config = transformer.config
    queries: dict[int, Tensor] = {}

    def keep_queries(q_BTHD: Tensor, point: HookPoint) -> None:
        queries[point.layer()] = q_BTHD

    def hand_over(k_BTKD: Tensor, point: HookPoint) -> None:
        layer = point.layer()
        attention: Attention = transformer.layers[layer].attention  # type: ignore[assignment]
        q_BTHD = queries.pop(layer)
        if not config.has_rotary(layer):
            q_BTHD, k_BTKD = _normed(attention, q_BTHD, k_BTKD)
        window = config.sliding_window if config.is_sliding(layer) else 0
        on_layer(layer, Projections(q_BTHD, k_BTKD, attention.scale, window))

    chosen = range(config.num_hidden_layers) if layers is None else layers
    attending = [layer for layer in chosen if config.has_attention(layer)]
    if not attending:
        raise UserError("the model has no attention: leave out the views of its heads")
    points = [f"blocks.{layer}.attn.hook_{'rot_' if config.has_rotary(layer) else ''}" for layer in attending]
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

    def keep(layer: int, projections: Projections) -> None:
        tops[layer] = find_top_keys(projections)

    record_projections(transformer, torch.tensor([list(ids)], device=transformer.device), keep)
    keys_LHTN, weights_LHTN = (torch.stack(part) for part in zip(*tops.values(), strict=True))
    is_kept = weights_LHTN >= MIN_WEIGHT
    if int(is_kept.sum()) > MAX_ENTRIES:
        is_kept &= keys_LHTN > 0
        candidates = weights_LHTN[is_kept]
        if len(candidates) > MAX_ENTRIES:
            is_kept &= weights_LHTN > candidates.kthvalue(len(candidates) - MAX_ENTRIES).values
    layers = dict(zip(tops, zip(keys_LHTN, weights_LHTN, is_kept, strict=True), strict=True))
    patterns: list[list[Pattern]] = [[] for _ in transformer.layers]
    for number, layer in layers.items():
        patterns[number] = [_list_pattern(*head) for head in zip(*layer, strict=True)]
    return patterns


def find_top_keys(projections: Projections) -> tuple[Tensor, Tensor]:
    """The keys with the largest weights in a text, and their weights, (H, T, up to 8), largest first."""
    T = projections.queries.shape[1]
    count = min(MAX_KEYS, T)
    keys, weights = [], []
    for start in range(0, T, QUERIES_PER_CHUNK):
        stop = min(start + QUERIES_PER_CHUNK, T)
        weights_HTS = F.pad(projections.weights(start, stop)[0], (0, max(0, count - stop)))
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

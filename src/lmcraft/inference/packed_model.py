"""A model for PyTorch's fastest products: decodes several sequences together, each as it would be alone.

Shapes: R rows (sequences), H query heads, K key-value heads, G = H / K, S tokens held, D head width, V vocabulary,
T tokens, C hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor

from lmcraft.inference.block_pool import SLOTS_PER_TILE, BlockPool, BlockTable
from lmcraft.inference.model_changes import find_modification
from lmcraft.machine import free_memory
from lmcraft.model.attention import Attention, Cache, ScoreRules
from lmcraft.model.latent_attention import LatentAttention, LatentUpProjection
from lmcraft.model.layer_inputs import alibi_slopes
from lmcraft.model.linear import Linear
from lmcraft.model.packed_linear import MAX_PACKED_ROWS, PackedLinear, packed_bytes
from lmcraft.model.transformer import Transformer, copy_sharing_weights
from lmcraft.processor import has_bf16

# PyTorch computes e^x for this many numbers at a time, and rounds those that remain differently.
VECTOR_NUMBERS = 32
# It splits more numbers than this among threads, anywhere.
UNSPLIT_NUMBERS = 32_768


@dataclass(frozen=True)
class DecodeToken:
    """The next token of a sequence."""

    id: int
    position: int
    table: BlockTable
    """The sequence's blocks, which hold `position`."""


class PackedModel:
    """A Transformer with packed weights, which computes in float32 on the CPU.

    Args:
        model: unmodified; this is a copy of it.
        pool: of keys and values.
    """

    def __init__(self, model: Transformer, pool: BlockPool) -> None:
        self.max_rows = _max_rows(model)
        """How many tokens `decode` computes at most."""
        fast = model.compute_dtype == torch.bfloat16 and has_bf16()
        self.for_prompts: Transformer | PackedModel = model if fast else self
        """What computes chunks of prompts faster: instructions for bfloat16, or packed weights in float32."""
        self.decodes_together = all(
            type(block.attention) in (Attention, LatentAttention) and block.mixer is None for block in model.layers
        )
        """Whether `decode` supports the model, whose sequences are otherwise computed one after another."""
        self._pool = pool
        self._model = copy_sharing_weights(model)
        self._model.compute_dtype = torch.float32
        config = model.config
        slopes = alibi_slopes(config.num_attention_heads) if config.position == "alibi" else None
        self._slopes = None if slopes is None else torch.tensor(slopes)
        self._head = self._model.output_head
        layers = {name: layer for name, layer in self._model.layers.named_modules() if _is_packable(layer)}
        num_bytes = sum(packed_bytes(weight) for weight in [self._head.weight, *(layer.weight for layer in layers.values())])
        pack = num_bytes <= free_memory(model.device) // 2
        self._projection = PackedLinear(self._head.weight, pack=pack)
        for name, layer in layers.items():
            self._model.layers.set_submodule(name, PackedLinear(layer.weight, layer.bias, pack=pack))

    def decode(self, tokens: Sequence[DecodeToken]) -> Tensor:
        """Store the keys and values of at most `max_rows` tokens, and score those after them, (R, V), float32."""
        caches, config = _RowCaches(self._pool, tokens), self._model.config
        functions: list[_RowAttention | None] = [None] * config.num_hidden_layers
        for layer, block in enumerate(self._model.layers):
            if isinstance(block.attention, Attention | LatentAttention):
                first = [config.first_key(layer, token.position) for token in tokens]
                functions[layer] = _RowAttention(caches, layer, first, block.attention.rules, self._slopes)
        self._attend_by(functions)
        hidden_RC = self._model.last_hidden_states([token.id for token in tokens], [token.position for token in tokens])
        return self.logits(hidden_RC)

    def logits(self, x: Tensor) -> Tensor:
        """As that of a Transformer, (..., V), each row as it would be alone."""
        products = self._projection(self._head.scaled(x))
        if not self._head.softcap:
            return self._head.finish(products)
        return torch.stack([self._head.finish(row) for row in products.flatten(0, -2)]).view_as(products)

    def hidden_states(self, input_ids: Tensor, *, cache: Cache) -> Tensor:
        """As that of a Transformer, (1, T, C), for a chunk of a prompt, (1, T)."""
        self._attend_by(["sdpa"] * len(self._model.layers))
        return self._model.hidden_states(input_ids, cache=cache)

    def _attend_by(self, functions: Sequence[Any]) -> None:
        for block, function in zip(self._model.layers, functions, strict=True):
            if block.attention is not None:
                attention: Any = block.attention
                attention.kind = function
                if isinstance(attention, LatentAttention):
                    attention.always_absorbed = isinstance(function, _RowAttention)


def _is_packable(layer: Any) -> TypeGuard[Linear]:
    """Whether a layer is a matrix of whose weight only products are needed."""
    return isinstance(layer, Linear) and not isinstance(layer, LatentUpProjection)


def can_pack(model: Transformer) -> bool:
    """Whether `PackedModel` supports a model."""
    return model.device.type == "cpu" and not find_modification(model)


def _max_rows(model: Transformer) -> int:
    """How many rows PyTorch's elementwise functions compute as they would compute each alone."""
    c = model.config
    widths = [c.hidden_size, c.intermediate_size, c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim]
    if c.num_experts:
        widths += [c.moe_intermediate_size, c.shared_expert.intermediate_size]
        widths += [c.num_experts] if c.router.scores == "sigmoid" else []
    widths += [c.per_layer_embedding.width]
    if any(width % VECTOR_NUMBERS for width in widths):
        return 1
    return max(1, min(MAX_PACKED_ROWS, UNSPLIT_NUMBERS // max(widths)))


class _RowCaches:
    """The keys and values of several sequences, each up to its next token."""

    def __init__(self, pool: BlockPool, tokens: Sequence[DecodeToken]) -> None:
        self._pool = pool
        size, tiles_per_block = pool.block_tokens, pool.block_tokens // SLOTS_PER_TILE
        blocks: list[int] = []
        slots: list[int] = []
        self._spans: list[tuple[int, int]] = []
        for token in tokens:
            number, offset = divmod(token.position, size)
            self._spans.append((len(blocks) * size, len(blocks) * size + token.position + 1))
            blocks += token.table.blocks[: number + 1]
            slots.append(blocks[-1] * size + offset)
        self._slots_R = torch.tensor(slots)
        self._tiles = (torch.tensor(blocks)[:, None] * tiles_per_block + torch.arange(tiles_per_block)).flatten()

    def update(self, layer: int, k_RKD: Tensor, v_RKD: Tensor, first: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Store the tokens' keys and values in a layer; returns for each sequence those from its first position on.

        Keys are (K, D, S), values (K, S, D), both float32. Without stored values, these are the first columns of the keys.
        """
        keys, values = self._pool.keys[layer], self._pool.values[layer]
        D, (K, _, width) = v_RKD.shape[-1], values.shape
        keys[:, self._slots_R // SLOTS_PER_TILE, :, self._slots_R % SLOTS_PER_TILE] = k_RKD.to(keys.dtype)
        k_KDS = keys.transpose(1, 2).index_select(2, self._tiles).float().flatten(2)
        spans = [(start + position, stop) for (start, stop), position in zip(self._spans, first, strict=True)]
        if not width:
            return [(k_KDS[..., start:stop], k_KDS[:, :D, start:stop].transpose(1, 2)) for start, stop in spans]
        values[:, self._slots_R, :D] = v_RKD.transpose(0, 1).to(values.dtype)
        v_KSD = values.view(K, -1, SLOTS_PER_TILE, width).index_select(1, self._tiles).float().flatten(1, 2)[..., :D]
        return [(k_KDS[..., start:stop], v_KSD[:, start:stop]) for start, stop in spans]


class _RowAttention:
    """Attention of a layer, sequence by sequence; a `lmcraft.model.attention.AttentionFunction`."""

    def __init__(
        self, caches: _RowCaches, layer: int, first: Sequence[int], rules: ScoreRules | None, slopes_H: Tensor | None
    ) -> None:
        self._caches, self._layer, self._first, self._rules, self._slopes_H = caches, layer, first, rules, slopes_H

    def __call__(self, q_RH1D: Tensor, k_RK1D: Tensor, v_RK1D: Tensor, mask: Tensor, scale: float, dropout: float) -> Tensor:
        R, K, _, D = k_RK1D.shape
        q_RKGD = (q_RH1D * scale).reshape(R, K, -1, D)
        caches = self._caches.update(self._layer, k_RK1D[:, :, 0], v_RK1D[:, :, 0], self._first)
        outputs = [
            torch.bmm(self._weights(torch.bmm(q_KGD, k_KDS)), v_KSD)
            for q_KGD, (k_KDS, v_KSD) in zip(q_RKGD, caches, strict=True)
        ]
        return torch.stack(outputs).view(*q_RH1D.shape[:3], -1)

    def _weights(self, scores_KGS: Tensor) -> Tensor:
        S = scores_KGS.shape[-1]
        if self._rules is not None:
            scores_KGS = self._rules.cap(scores_KGS)
        if self._slopes_H is not None:
            scores_KGS = scores_KGS + self._slopes_H.view(*scores_KGS.shape[:2], 1) * torch.arange(1.0 - S, 1.0)
        if self._rules is None:
            return scores_KGS.softmax(dim=-1)
        return self._rules.softmax(scores_KGS.view(-1, 1, S)).view_as(scores_KGS)

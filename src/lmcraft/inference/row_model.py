"""Decodes several sequences together in PyTorch, without letting a sequence's numbers depend on the others.

Shapes: R rows (sequences), H query heads, K key-value heads, G = H / K, S tokens held, D head width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcraft.inference.block_pool import SLOTS_PER_TILE, BlockPool, BlockTable
from lmcraft.inference.model_changes import find_modification
from lmcraft.machine import free_memory
from lmcraft.model.linear import Linear
from lmcraft.model.packed_linear import MAX_PACKED_ROWS, PackedLinear, packed_bytes
from lmcraft.model.transformer import Transformer, copy_sharing_weights

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


class RowModel:
    """A Transformer that computes one token of each of several sequences, in float32, on the CPU.

    Args:
        model: unmodified; its weights are packed, in a copy.
        pool: of keys and values.
    """

    def __init__(self, model: Transformer, pool: BlockPool) -> None:
        self.max_rows = _max_rows(model)
        self._pool = pool
        self._model = copy_sharing_weights(model)
        self._model.compute_dtype = torch.float32
        head = self._model.output_weight
        layers = {name: layer for name, layer in self._model.layers.named_modules() if isinstance(layer, Linear)}
        num_bytes = sum(packed_bytes(weight) for weight in [head, *(layer.weight for layer in layers.values())])
        pack = num_bytes <= free_memory(model.device) // 2
        self._head = PackedLinear(head, pack=pack)
        for name, layer in layers.items():
            self._model.layers.set_submodule(name, PackedLinear(layer.weight, layer.bias, pack=pack))
        for number, block in enumerate(self._model.layers):
            window = model.config.sliding_window if model.config.is_sliding(number) else 0
            attention: Any = block.attention
            attention.kind = _RowAttention(self, number, window)

    def logits(self, tokens: Sequence[DecodeToken]) -> Tensor:
        """Store the keys and values of at most `max_rows` tokens, and score those after them, (R, V), float32."""
        self.caches = _RowCaches(self._pool, tokens)
        hidden_RC = self._model.last_hidden_states([token.id for token in tokens], [token.position for token in tokens])
        return self._head(hidden_RC)  # type: ignore[no-any-return]


def can_compute_rows(model: Transformer) -> bool:
    """Whether `RowModel` supports a model."""
    return model.device.type == "cpu" and not find_modification(model)


def _max_rows(model: Transformer) -> int:
    """How many rows PyTorch's elementwise functions compute as they would compute each alone."""
    c = model.config
    widths = [c.hidden_size, c.intermediate_size, c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim]
    widths += [c.moe_intermediate_size] if c.num_experts else []
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
            number, place = divmod(token.position, size)
            self._spans.append((len(blocks) * size, len(blocks) * size + token.position + 1))
            blocks += token.table.blocks[: number + 1]
            slots.append(blocks[-1] * size + place)
        self._slots_R = torch.tensor(slots)
        self._tiles = (torch.tensor(blocks)[:, None] * tiles_per_block + torch.arange(tiles_per_block)).flatten()

    def update(self, layer: int, k_RKD: Tensor, v_RKD: Tensor, window: int) -> list[tuple[Tensor, Tensor]]:
        """Store the tokens' keys and values in a layer; returns for each sequence the last `window`, or all if it is 0.

        Keys are (K, D, S), values (K, S, D), both float32.
        """
        keys, values = self._pool.keys[layer], self._pool.values[layer]
        D, (K, _, width) = k_RKD.shape[-1], values.shape
        keys[:, self._slots_R // SLOTS_PER_TILE, :, self._slots_R % SLOTS_PER_TILE] = k_RKD.to(keys.dtype)
        values[:, self._slots_R, :D] = v_RKD.transpose(0, 1).to(values.dtype)
        k_KDS = keys.transpose(1, 2).index_select(2, self._tiles).float().flatten(2)
        v_KSD = values.view(K, -1, SLOTS_PER_TILE, width).index_select(1, self._tiles).float().flatten(1, 2)[..., :D]
        spans = [(max(start, stop - window) if window else start, stop) for start, stop in self._spans]
        return [(k_KDS[..., start:stop], v_KSD[:, start:stop]) for start, stop in spans]


class _RowAttention:
    """Attention of a layer, sequence by sequence; a `lmcraft.model.attention.AttentionFunction`."""

    def __init__(self, model: RowModel, layer: int, window: int) -> None:
        self._model, self._layer, self._window = model, layer, window

    def __call__(self, q_RH1D: Tensor, k_RK1D: Tensor, v_RK1D: Tensor, mask: Tensor, scale: float, dropout: float) -> Tensor:
        R, K, _, D = k_RK1D.shape
        q_RKGD = (q_RH1D * scale).view(R, K, -1, D)
        caches = self._model.caches.update(self._layer, k_RK1D[:, :, 0], v_RK1D[:, :, 0], self._window)
        outputs = [
            torch.bmm(torch.bmm(q_KGD, k_KDS).softmax(dim=-1), v_KSD)
            for q_KGD, (k_KDS, v_KSD) in zip(q_RKGD, caches, strict=True)
        ]
        return torch.stack(outputs).view(q_RH1D.shape)

"""One request's keys and values in the block pool, in the form that attention reads.

Shapes: K key-value heads, T new tokens, S tokens held, D head width.
"""

import torch
from torch import Tensor

from lmcraft.inference.block_pool import SLOTS_PER_TILE, BlockPool, BlockTable


class PagedCache:
    """`lmcraft.model.attention.Cache` for a batch of one.

    Args:
        pool: holds the keys and values.
        table: the request's blocks, enough for the tokens held and the new ones.
        length: number of tokens held.
    """

    def __init__(self, pool: BlockPool, table: BlockTable, length: int) -> None:
        self._pool = pool
        self._length = length
        first = torch.tensor(table.blocks, device=pool.values.device) * pool.block_tokens
        self._slots = (first[:, None] + torch.arange(pool.block_tokens, device=first.device)).flatten()

    @property
    def length(self) -> int:
        return self._length

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; returns all of them, (1, K, S, D), in the type of the new ones."""
        stop = self._length + k_BKTD.shape[2]
        keys, values = self._pool.keys[layer], self._pool.values[layer, ..., : v_BKTD.shape[3]]
        new, held = self._slots[self._length : stop], self._slots[:stop]
        keys[:, new // SLOTS_PER_TILE, :, new % SLOTS_PER_TILE] = k_BKTD[0].transpose(0, 1).to(keys.dtype)
        values[:, new] = v_BKTD[0].to(values.dtype)
        tiles = keys[:, held[::SLOTS_PER_TILE] // SLOTS_PER_TILE].transpose(2, 3).flatten(1, 2)
        return tiles[None, :, :stop].to(k_BKTD.dtype), values[None, :, held].to(v_BKTD.dtype)

"""One sequence's keys and values in the pool, as attention wants to see them.

Shapes: K key-value heads, T new tokens, S tokens held, D head width.
"""

import torch
from torch import Tensor

from lmcraft.inference.block_pool import LANES, BlockPool, Holding


class PagedCache:
    """`lmcraft.model.attention.Cache` for a batch of one."""

    def __init__(self, pool: BlockPool, holding: Holding, length: int) -> None:
        """`length` tokens are held; the holding has room for those that will come."""
        self._pool = pool
        self._length = length
        first = torch.tensor(holding.blocks, device=pool.values.device) * pool.block_size
        self._places = (first[:, None] + torch.arange(pool.block_size, device=first.device)).flatten()

    @property
    def length(self) -> int:
        return self._length

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; returns all of them, (1, K, S, D), in the type of the new ones."""
        stop = self._length + k_BKTD.shape[2]
        keys, values = self._pool.keys[layer], self._pool.values[layer, ..., : v_BKTD.shape[3]]
        new, held = self._places[self._length : stop], self._places[:stop]
        keys[:, new // LANES, :, new % LANES] = k_BKTD[0].transpose(0, 1).to(keys.dtype)
        values[:, new] = v_BKTD[0].to(values.dtype)
        tiles = keys[:, held[::LANES] // LANES].transpose(2, 3).flatten(1, 2)
        return tiles[None, :, :stop].to(k_BKTD.dtype), values[None, :, held].to(v_BKTD.dtype)

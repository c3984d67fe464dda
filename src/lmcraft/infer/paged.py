"""One sequence's keys and values in the pool, as attention wants to see them.

Shapes: K key-value heads, T new tokens, S tokens held, D head width.
"""

import torch
from torch import Tensor

from lmcraft.infer.blocks import BlockPool, Holding


class PagedCache:
    """`lmcraft.model.attention.Cache` for a batch of one."""

    def __init__(self, pool: BlockPool, holding: Holding, length: int) -> None:
        """`length` tokens are held; the holding has room for those that will come."""
        self._pool = pool
        self._length = length
        blocks, size = holding.blocks, pool.block_size
        self._run = blocks[0] * size if blocks == list(range(blocks[0], blocks[0] + len(blocks))) else None
        first = torch.tensor(blocks, device=pool.storage.device) * size
        self._places = (first[:, None] + torch.arange(size, device=first.device)).flatten()

    @property
    def length(self) -> int:
        return self._length

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; returns all of them, (1, K, S, D), in the type of the new ones."""
        stop = self._length + k_BKTD.shape[2]
        return self._one(layer, 0, k_BKTD, stop), self._one(layer, 1, v_BKTD, stop)

    def _one(self, layer: int, which: int, new_BKTD: Tensor, stop: int) -> Tensor:
        stored_KPD = self._pool.storage[layer, which]
        new_KTD = new_BKTD[0].to(stored_KPD.dtype)
        if self._run is not None:  # blocks that follow one another need no gathering
            stored_KPD[:, self._run + self._length : self._run + stop] = new_KTD
            all_KSD = stored_KPD[:, self._run : self._run + stop]
        else:
            stored_KPD.index_copy_(1, self._places[self._length : stop], new_KTD)
            all_KSD = stored_KPD.index_select(1, self._places[:stop])
        return all_KSD[None].to(new_BKTD.dtype)

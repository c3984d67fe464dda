"""One request's keys and values in the block pool, in the form that attention reads, and its recurrent state.

Shapes: K key-value heads, T new tokens, S tokens held, D head width.
"""

import torch
from torch import Tensor

from lmcraft.inference.block_pool import SLOTS_PER_TILE, BlockPool, BlockTable
from lmcraft.inference.recurrent_state import RecurrentState


class PagedCache:
    """`lmcraft.model.attention.Cache` for a batch of one.

    Args:
        pool: holds the keys and values.
        table: the request's blocks, enough for both.
        length: number of tokens held.
        new_tokens: number of tokens that each layer appends.
    """

    def __init__(self, pool: BlockPool, table: BlockTable, length: int, new_tokens: int) -> None:
        self._pool, self._table, self._length = pool, table, length
        assert pool.holds(table, length), "the recurrent state is that after other tokens"
        self._states: dict[int, tuple[Tensor, ...]] = {}
        first = torch.tensor(table.blocks, device=pool.device) * pool.block_tokens
        slots = (first[:, None] + torch.arange(pool.block_tokens, device=first.device)).flatten()
        self._held, self._new = slots[: length + new_tokens], slots[length : length + new_tokens]
        self._held_tiles = self._held[::SLOTS_PER_TILE] // SLOTS_PER_TILE
        self._new_tiles, self._new_places = self._new // SLOTS_PER_TILE, self._new % SLOTS_PER_TILE

    @property
    def length(self) -> int:
        return self._length

    def state(self, layer: int) -> tuple[Tensor, ...] | None:
        """A layer's recurrent state, (1, ...) each; None before the first token."""
        held = self._table.state
        return held.layers[layer] if held is not None and self._length else None

    def set_state(self, layer: int, state: tuple[Tensor, ...], num_tokens: int) -> None:
        """Replace a layer's recurrent state by that after `num_tokens` more tokens.

        The request goes on from it once all layers have replaced theirs: an error before that changes nothing.
        """
        self._states[layer] = tuple(_compact(part) for part in state)
        if len(self._states) == self._pool.num_recurrent_layers:
            self._table.state = RecurrentState(self._length + num_tokens, self._states)

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; returns all of them, (1, K, S, D), in the type of the new ones."""
        keys, values = self._pool.keys[layer], self._pool.values[layer][..., : v_BKTD.shape[3]]
        keys[:, self._new_tiles, :, self._new_places] = k_BKTD[0].transpose(0, 1).to(keys.dtype)
        values[:, self._new] = v_BKTD[0].to(values.dtype)
        tiles = keys[:, self._held_tiles].transpose(2, 3).flatten(1, 2)
        return tiles[None, :, : len(self._held)].to(k_BKTD.dtype), values[None, :, self._held].to(v_BKTD.dtype)


def _compact(part: Tensor) -> Tensor:
    """The tensor without the memory of a larger one that it is a part of."""
    return part if part.untyped_storage().nbytes() == part.nbytes else part.clone()

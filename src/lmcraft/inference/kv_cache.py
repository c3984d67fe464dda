"""The key-value cache: each layer's keys and values of the tokens so far, so that a new token costs one token's work.

Recurrent layers keep a state instead.

Shapes: B batch, K key-value heads, S tokens held, T new tokens, D head width.
"""

from torch import Tensor

from lmcraft.model.config import TransformerConfig

INITIAL_CAPACITY_TOKENS = 64


class KVCache:
    """Keys and values of every layer, (B, K, capacity, D) each, for rows of equal length.

    The capacity doubles as the text grows, up to the model's context, so a short text is cheap even if the context is long.
    Type and device are those of the first keys.
    """

    def __init__(self, config: TransformerConfig) -> None:
        self._max_tokens = config.max_position_embeddings
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[int, int] = {}
        self._states: dict[int, tuple[Tensor, ...]] = {}
        self._state_lengths: dict[int, int] = {}

    @property
    def length(self) -> int:
        """Number of tokens held in each row."""
        return max((*self._lengths.values(), *self._state_lengths.values()), default=0)

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Append one layer's new keys and values; returns all of them, (B, K, S, D), views of the cache."""
        start = self._lengths.get(layer, 0)
        stop = start + k_BKTD.shape[2]
        keys, values = self._layers.get(layer, (None, None))
        if keys is None or values is None or stop > keys.shape[2]:
            keys, values = self._allocate(k_BKTD, keys, stop), self._allocate(v_BKTD, values, stop)
            self._layers[layer] = keys, values
        keys[:, :, start:stop] = k_BKTD
        values[:, :, start:stop] = v_BKTD
        self._lengths[layer] = stop
        return keys[:, :, :stop], values[:, :, :stop]

    def state(self, layer: int) -> tuple[Tensor, ...] | None:
        """A layer's recurrent state, (B, ...) each; None before the first token."""
        return self._states.get(layer)

    def set_state(self, layer: int, state: tuple[Tensor, ...], num_tokens: int) -> None:
        """Replace a layer's recurrent state by that after `num_tokens` more tokens."""
        self._states[layer] = state
        self._state_lengths[layer] = self._state_lengths.get(layer, 0) + num_tokens

    def reorder(self, rows: Tensor) -> None:
        """Replace the batch by these rows of it, (B',): drops, repeats and permutes them."""
        for layer, (keys, values) in self._layers.items():
            self._layers[layer] = keys.index_select(0, rows), values.index_select(0, rows)
        for layer, state in self._states.items():
            self._states[layer] = tuple(part.index_select(0, rows) for part in state)

    def truncate(self, length: int) -> int:
        """Forget all tokens after the first `length`, or all tokens if a recurrent state would have to be cut back.

        Returns:
            The number of tokens held.
        """
        if self._states and length < self.length:
            length, self._states, self._state_lengths = 0, {}, {}
        self._lengths = {layer: min(held, length) for layer, held in self._lengths.items()}
        return self.length

    def _allocate(self, new: Tensor, old: Tensor | None, num_tokens: int) -> Tensor:
        """Storage like `new` for at least `num_tokens`, with the contents of `old`."""
        B, K, _, D = new.shape
        capacity = max(num_tokens, INITIAL_CAPACITY_TOKENS if old is None else 2 * old.shape[2])
        storage = new.new_empty(B, K, max(num_tokens, min(capacity, self._max_tokens)), D)
        if old is not None:
            storage[:, :, : old.shape[2]] = old
        return storage

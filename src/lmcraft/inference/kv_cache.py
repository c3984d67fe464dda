"""The key-value cache: what attention needs of the tokens so far, so that a new token costs one token's work.

Shapes: B batch, K key-value heads, S tokens held, T new tokens, D head width.
"""

from torch import Tensor

from lmcraft.model.config import TransformerConfig

SMALLEST = 64  # tokens of the first allocation


class KVCache:
    """Keys and values of every layer, (B, K, capacity, D) each, for rows of equal length.

    Memory is taken as the text grows, doubling up to the model's context, so that a short answer of a model with a long
    context stays cheap. Type and device are those of the first keys that come in.
    """

    def __init__(self, config: TransformerConfig) -> None:
        self._limit = config.max_position_embeddings
        self._last_layer = config.num_hidden_layers - 1
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._length = 0

    @property
    def length(self) -> int:
        """Number of tokens held in each row."""
        return self._length

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Append one layer's new keys and values; returns all of them, (B, K, S, D), views of the cache.

        The length grows with the last layer, since every layer of one forward pass begins at the same place.
        """
        stop = self._length + k_BKTD.shape[2]
        if layer == len(self._layers):
            self._layers.append((self._grown(k_BKTD, None, stop), self._grown(v_BKTD, None, stop)))
        keys, values = self._layers[layer]
        if stop > keys.shape[2]:
            keys, values = self._grown(k_BKTD, keys, stop), self._grown(v_BKTD, values, stop)
            self._layers[layer] = keys, values
        keys[:, :, self._length : stop] = k_BKTD
        values[:, :, self._length : stop] = v_BKTD
        if layer == self._last_layer:
            self._length = stop
        return keys[:, :, :stop], values[:, :, :stop]

    def reorder(self, rows: Tensor) -> None:
        """Make the batch of these rows of it, (B',): drops, repeats and permutes them."""
        self._layers = [(keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self._layers]

    def _grown(self, new: Tensor, old: Tensor | None, needed: int) -> Tensor:
        B, K, _, D = new.shape
        capacity = max(needed, SMALLEST if old is None else 2 * old.shape[2])
        grown = new.new_empty(B, K, max(needed, min(capacity, self._limit)), D)
        if old is not None:
            grown[:, :, : self._length] = old[:, :, : self._length]
        return grown

"""Attention to the keys and values of an earlier layer (Gemma 3n and 4; cross-layer attention, arXiv 2405.12981).

Shapes: B batch, T new tokens, S tokens attended to, H query heads, K key-value heads, D head width, C width.
"""

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.attention import BaseAttention, Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.linear import Linear
from lmcraft.model.norm import make_qk_norm
from lmcraft.model.rotary import rotate


class SharedKeys:
    """A cache, or none, that also remembers the keys and values that the layers of one forward pass attend to."""

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def length(self) -> int:
        return 0 if self._cache is None else self._cache.length

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Append a layer's new keys and values; returns all of them, (B, K, S, D)."""
        self._layers[layer] = (k_BKTD, v_BKTD) if self._cache is None else self._cache.update(layer, k_BKTD, v_BKTD)
        return self._layers[layer]

    def of_layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, (B, K, S, D)."""
        return self._layers[layer]

    def state(self, layer: int) -> tuple[Tensor, ...] | None:
        return None if self._cache is None else self._cache.state(layer)

    def set_state(self, layer: int, state: tuple[Tensor, ...], num_tokens: int) -> None:
        if self._cache is not None:
            self._cache.set_state(layer, state, num_tokens)


class SharedKeyAttention(BaseAttention):
    """Attention that has queries only."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__(config, layer, config.head_size(layer))
        width, bias = config.hidden_size, config.attention_bias in ("qkv", "all")
        self.key_layer = config.key_layer(layer)
        self.q_proj = Linear(width, self.num_heads * self.head_dim, bias=bias)
        self.o_proj = Linear(self.num_heads * self.head_dim, width, bias=config.attention_bias in ("output", "all"))
        self.q_norm = make_qk_norm(config, self.num_heads, self.head_dim) if config.qk_norm else None

    def forward(
        self,
        x_BTC: Tensor,
        rotary: tuple[Tensor, ...] | None,
        mask: Tensor | None,
        cache: Cache | None,
        hook: Hook = no_hooks,
    ) -> Tensor:
        """Attention output, (B, T, C); arguments as of `Attention`.

        Raises:
            UserError: the block is computed without the earlier ones.
        """
        if not isinstance(cache, SharedKeys):
            raise UserError(
                f"layer {self.layer} attends to the keys of layer {self.key_layer}, so it cannot be computed alone: use a "
                "model whose layers share no keys"
            )
        q_BTHD = hook("attn.hook_q", self.q_proj(x_BTC).unflatten(-1, (-1, self.head_dim)))
        q_BTHD = q_BTHD if self.q_norm is None else self.q_norm(q_BTHD)
        if rotary is not None:
            q_BTHD = hook("attn.hook_rot_q", rotate(q_BTHD, rotary[0], rotary[1]))
        return self.output(self.mix(q_BTHD.transpose(1, 2), *cache.of_layer(self.key_layer), mask, hook), hook)

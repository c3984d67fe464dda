"""Settings of models whose layers differ in their sizes, share their keys and values, or have embeddings of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from lmcraft.config import automatic
from lmcraft.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FullLayers:
    """How the attention of layers of type full_attention differs from that of other layers (Gemma 4)."""

    head_dim: Annotated[int, automatic("--model.head-dim")] = 0
    """Width of a head."""
    num_key_value_heads: Annotated[int, automatic("--model.num-key-value-heads")] = 0
    """Key-value heads."""
    keys_as_values: bool = False
    """Keys before their norm and rotation are the values, too."""

    def check(self, num_heads: int, local_theta: float) -> None:
        """Raise UserError unless the sizes fit the model's heads and positions."""
        if self.num_key_value_heads < 0 or (self.num_key_value_heads and num_heads % self.num_key_value_heads):
            raise UserError(
                f"model.full_layers.num_key_value_heads={self.num_key_value_heads} does not divide "
                f"model.num_attention_heads={num_heads}; change one of them"
            )
        if self.head_dim < 0 or self.head_dim % 2:
            raise UserError(f"model.full_layers.head_dim={self.head_dim} must be even and not negative; choose another")
        if self.head_dim and not local_theta:
            raise UserError("model.full_layers.head_dim is set, but model.rope_local_theta=0; set the other layers' base")


@dataclass(frozen=True, kw_only=True)
class KeySharing:
    """The last layers attend to the keys and values of the last layer of their type before them (Gemma 3n and 4)."""

    num_layers: int = 0
    """Number of these layers."""
    wide_feed_forward: bool = False
    """Their feed-forward parts are twice as wide."""

    def check(self, layer_types: Sequence[str]) -> None:
        """Raise UserError unless there is a layer of each type before them."""
        if not self.num_layers:
            return
        if not 0 < self.num_layers < len(layer_types):
            raise UserError(
                f"model.key_sharing.num_layers={self.num_layers} must be less than model.num_hidden_layers="
                f"{len(layer_types)}; choose fewer"
            )
        if lacking := set(layer_types[-self.num_layers :]) - set(layer_types[: -self.num_layers]):
            raise UserError(
                f"model.key_sharing.num_layers={self.num_layers} leaves no layer of type {min(lacking)} whose keys could be "
                "shared; choose fewer"
            )

    def key_layer(self, layer_types: Sequence[str], layer: int) -> int:
        """The layer whose keys and values a layer attends to."""
        first = len(layer_types) - self.num_layers
        return layer if layer < first else max(n for n in range(first) if layer_types[n] == layer_types[layer])


@dataclass(frozen=True, kw_only=True)
class PerLayerEmbedding:
    """A second embedding of each token with a narrow vector for every layer (Gemma 3n and 4), if width is set."""

    width: Annotated[int, automatic("none")] = 0
    """Width of a layer's vector."""
    vocab_size: int = 0
    """Number of tokens that have one."""

    def check(self, vocab_size: int) -> None:
        """Raise UserError unless every token has one."""
        if self.width and self.vocab_size < vocab_size:
            raise UserError(
                f"model.per_layer_embedding.vocab_size={self.vocab_size} must be at least model.vocab_size={vocab_size}"
            )

"""Embeddings of the tokens for each layer (per-layer embeddings of Gemma 3n and 4).

Shapes: B batch, T tokens, L layers, P width of a layer's vector, C width.
"""

import torch
from torch import Tensor, nn

from lmcraft.model.config import TransformerConfig
from lmcraft.model.feedforward import activate
from lmcraft.model.linear import Linear
from lmcraft.model.norm import make_norm, make_rms_norm


class LayerEmbedding(nn.Module):
    """What each layer is told of each token besides the residual stream: an embedding, and a projection of the first
    layer's input."""

    def __init__(self, config: TransformerConfig, embed_tokens: nn.Embedding) -> None:
        super().__init__()
        self.num_layers, self.width = config.num_hidden_layers, config.per_layer_embedding.width
        self.scale = config.hidden_size**-0.5
        self.embed_tokens = embed_tokens
        self.projection = Linear(config.hidden_size, self.num_layers * self.width, bias=False)
        self.norm = make_rms_norm(config, self.width)

    def forward(self, input_ids: Tensor, x_BTC: Tensor) -> tuple[Tensor, ...]:
        """Per layer, the vectors of the tokens, (B, T, P)."""
        shape = (*x_BTC.shape[:2], self.num_layers, self.width)
        embedded = self.embed_tokens(input_ids).to(x_BTC.dtype)
        embedded = embedded * embedded.new_tensor(self.width**0.5)  # rounded to the dtype first, as that of the embedding
        projected = self.norm((self.projection(x_BTC) * self.scale).view(shape))
        return torch.unbind((projected + embedded.view(shape)) * 2.0**-0.5, dim=2)


class LayerEmbeddingGate(nn.Module):
    """Adds a layer's vectors to the residual stream, as far as a gate lets them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.kind = config.feed_forward
        self.gate_proj = Linear(config.hidden_size, config.per_layer_embedding.width, bias=False)
        self.o_proj = Linear(config.per_layer_embedding.width, config.hidden_size, bias=False)
        self.norm = make_norm(config)

    def forward(self, x_BTC: Tensor, embedding_BTP: Tensor) -> Tensor:
        gated_BTP = activate(self.gate_proj(x_BTC), self.kind) * embedding_BTP
        return x_BTC + self.norm(self.o_proj(gated_BTP))  # type: ignore[no-any-return]

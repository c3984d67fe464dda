"""One block of the Transformer: a mixer of tokens and a feed-forward layer around the residual stream.

Shapes: B batch, T new tokens, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.model.attention import Attention, BaseAttention, Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.experts import make_feed_forward
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.latent_attention import LatentAttention
from lmcraft.model.mixers import make_mixer
from lmcraft.model.norm import make_norm
from lmcraft.model.per_layer_embedding import LayerEmbeddingGate
from lmcraft.model.shared_keys import SharedKeyAttention


class Block(nn.Module):
    """One layer: x + mix(norm(x)), then x + feed_forward(norm(x)); norm placement and order are configurable.

    The mixer of tokens is attention, a recurrent mixer, or the sum of both; a block with a single sub-layer lacks either the
    mixer or the feed-forward layer.
    """

    layer_scale: Tensor | None

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        before, after = config.norm_placement != "after", config.norm_placement != "before"
        self.sums = config.norm_placement == "sum"
        before = before and not self.sums
        mixes, feeds = config.layer_type(layer) != "feed_forward", config.has_feed_forward(layer)
        owns_mixer_norm = mixes and before and (layer > 0 or config.first_norm)
        self.attention_norm = make_norm(config) if owns_mixer_norm else nn.Identity()
        self.attention = make_attention(config, layer) if config.has_attention(layer) else None
        self.mixer = make_mixer(config, layer) if config.state_shapes(layer) else None
        self.attention_post_norm = make_norm(config) if mixes and after else nn.Identity()
        norms_inside = config.experts_beside_dense and config.has_experts(layer)
        owns_norm = feeds and before and not config.shared_norm and not norms_inside
        self.feed_forward_norm = make_norm(config) if owns_norm else nn.Identity()
        self.feed_forward = make_feed_forward(config, layer) if feeds else None
        self.feed_forward_post_norm = make_norm(config) if feeds and after else nn.Identity()
        self.dropout = config.residual_dropout
        self.embedding_gate = LayerEmbeddingGate(config) if config.per_layer_embedding.width else None
        self.register_buffer("layer_scale", torch.ones(1) if config.layer_scale else None)
        self.finishes = self.embedding_gate is not None or self.layer_scale is not None
        self.parallel, self.shares_norm = config.parallel_residual, config.shared_norm
        multipliers = config.multipliers
        self.multiplier = multipliers.residual
        self.attention_input, self.attention_output = multipliers.attention_input, multipliers.attention_output

    def forward(
        self,
        x_BTC: Tensor,
        rotary: tuple[Tensor, ...] | None,
        mask: Tensor | None,
        begins: Tensor | None,
        embedding: Tensor | None,
        cache: Cache | None,
        hook: Hook = no_hooks,
    ) -> Tensor:
        attention, mixer, feed_forward = self.attention, self.mixer, self.feed_forward
        y_BTC = x_BTC = hook("hook_resid_pre", x_BTC)
        inner_hook = () if hook is no_hooks else (hook,)  # a module of the caller's takes it only where hooks are used
        if attention is not None or mixer is not None:
            normed = hook("ln1.hook_normalized", self.attention_norm(x_BTC))
            mixed = mixer(normed, begins, cache) if mixer is not None else None
            if attention is not None:
                scaled = normed if self.attention_input == 1.0 else normed * self.attention_input
                attended = attention(scaled, rotary, mask, cache, *inner_hook)
                attended = attended if self.attention_output == 1.0 else attended * self.attention_output
                mixed = attended if mixed is None else mixed + attended
            assert mixed is not None
            y_BTC = self._add(x_BTC, mixed, self.attention_post_norm, "hook_attn_out", hook)
            y_BTC = hook("hook_resid_mid", y_BTC)
        if feed_forward is None:
            return hook("hook_resid_post", self._finish(y_BTC, embedding) if self.finishes else y_BTC)
        if not self.shares_norm:
            normed = self.feed_forward_norm(x_BTC if self.parallel else y_BTC)
        fed = feed_forward(hook("ln2.hook_normalized", normed), *inner_hook)
        z_BTC = self._add(y_BTC, fed, self.feed_forward_post_norm, "hook_mlp_out", hook)
        return hook("hook_resid_post", self._finish(z_BTC, embedding) if self.finishes else z_BTC)

    def _finish(self, x_BTC: Tensor, embedding: Tensor | None) -> Tensor:
        """The residual stream with the embedding of this layer, scaled."""
        if self.embedding_gate is not None:
            if embedding is None:
                raise UserError(
                    "the blocks of this model have embeddings of the tokens, so they cannot be computed alone: use a model "
                    "without per-layer embeddings"
                )
            x_BTC = self.embedding_gate(x_BTC, embedding)
        return x_BTC if self.layer_scale is None else x_BTC * self.layer_scale.to(x_BTC.dtype)

    def _add(self, x: Tensor, part: Tensor, post_norm: nn.Module, point: str, hook: Hook) -> Tensor:
        """The residual stream and what a sub-layer writes to it."""
        written = part if self.sums else post_norm(part)
        if self.multiplier != 1.0:
            written = written * self.multiplier
        if self.dropout:
            written = F.dropout(written, self.dropout, self.training)
        y = x + hook(point, written)
        return post_norm(y) if self.sums else y


def make_attention(config: TransformerConfig, layer: int) -> BaseAttention:
    """The attention of a layer."""
    if config.shares_keys(layer):
        return SharedKeyAttention(config, layer)
    return (LatentAttention if config.latent_attention.kv_lora_rank else Attention)(config, layer)

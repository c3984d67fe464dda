"""One block of the Transformer: a mixer of tokens and a feed-forward layer around the residual stream.

Shapes: B batch, T new tokens, C width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.attention import Attention, BaseAttention, Cache
from lmcraft.model.config import TransformerConfig
from lmcraft.model.experts import make_feed_forward
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.latent_attention import LatentAttention
from lmcraft.model.mixers import make_mixer
from lmcraft.model.norm import make_norm


class Block(nn.Module):
    """One layer: x + mix(norm(x)), then x + feed_forward(norm(x)); norm placement and order are configurable.

    The mixer of tokens is attention, a recurrent mixer, or the sum of both; a block with a single sub-layer lacks either the
    mixer or the feed-forward layer.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        before, after = config.norm_placement != "after", config.norm_placement != "before"
        self.attention = make_attention(config, layer) if config.has_attention(layer) else None
        self.mixer = make_mixer(config, layer) if config.state_shapes(layer) else None
        mixes, feeds = config.layer_type(layer) != "feed_forward", config.has_feed_forward(layer)
        self.attention_norm = make_norm(config) if mixes and before else nn.Identity()
        self.attention_post_norm = make_norm(config) if mixes and after else nn.Identity()
        self.feed_forward_norm = make_norm(config) if feeds and before else nn.Identity()
        self.feed_forward = make_feed_forward(config, layer) if feeds else None
        self.feed_forward_post_norm = make_norm(config) if feeds and after else nn.Identity()
        self.dropout = config.residual_dropout
        self.parallel = config.parallel_residual

    def forward(
        self,
        x_BTC: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        begins: Tensor | None,
        cache: Cache | None,
        hook: Hook = no_hooks,
    ) -> Tensor:
        x_BTC = hook("hook_resid_pre", x_BTC)
        y_BTC = x_BTC
        inner_hook = () if hook is no_hooks else (hook,)  # a module of the caller's takes it only where hooks are used
        if self.attention is not None or self.mixer is not None:
            normed = hook("ln1.hook_normalized", self.attention_norm(x_BTC))
            mixed = self.attention(normed, rotary, mask, cache, *inner_hook) if self.attention is not None else None
            if self.mixer is not None:
                recurrent = self.mixer(normed, begins, cache)
                mixed = recurrent if mixed is None else mixed + recurrent
            y_BTC = x_BTC + hook("hook_attn_out", self._drop(self.attention_post_norm(mixed)))
            y_BTC = hook("hook_resid_mid", y_BTC)
        if self.feed_forward is None:
            return hook("hook_resid_post", y_BTC)
        normed = hook("ln2.hook_normalized", self.feed_forward_norm(x_BTC if self.parallel else y_BTC))
        fed = self.feed_forward(normed, *inner_hook)
        z_BTC = y_BTC + hook("hook_mlp_out", self._drop(self.feed_forward_post_norm(fed)))
        return hook("hook_resid_post", z_BTC)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


def make_attention(config: TransformerConfig, layer: int) -> BaseAttention:
    """The attention of a layer."""
    return (LatentAttention if config.latent_attention.kv_lora_rank else Attention)(config, layer)

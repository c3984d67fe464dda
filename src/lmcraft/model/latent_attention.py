"""Multi-head latent attention (MLA, DeepSeek-V2, arXiv 2405.04434, section 2.1).

Keys and values of all heads are projections of one latent vector per token, besides a rotated key that the heads share. The
cache keeps the latent and that key. For few new tokens, the projections are applied to queries and outputs instead of to all
latents in the cache (appendix C of the paper calls it absorbing them), so that attention has one key-value head.

Shapes: B batch, T new tokens, S tokens attended to, H heads, L width of the latent, N and R widths of the parts of queries
and keys without and with positions, D = N + R, V width of a value, C width.
"""

import torch
from torch import Tensor

from lmcraft.model.attention import BaseAttention, Cache, attend
from lmcraft.model.config import TransformerConfig
from lmcraft.model.hooks import Hook, no_hooks
from lmcraft.model.linear import Linear
from lmcraft.model.norm import RMSNorm
from lmcraft.model.rotary import rotate, yarn_scale

LATENT_NORM_EPS = 1e-6  # whatever the other norms have, as in DeepSeek's code


class LatentUpProjection(Linear):
    """From the latent to the heads' keys and values, (H (N + V), L): each head's keys, then its values."""


class LatentAttention(BaseAttention):
    """Attention over compressed keys and values."""

    always_absorbed = False
    """Absorb the projections for any number of tokens, and row by row, for an attention function that keeps the latents."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        latent = config.latent_attention
        super().__init__(config, layer, latent.v_head_dim)
        width, bias, heads = config.hidden_size, config.attention_bias == "all", self.num_heads
        self.rank, self.nope_dim, self.rope_dim = latent.kv_lora_rank, latent.qk_nope_head_dim, latent.qk_rope_head_dim
        self.scale *= yarn_scale(config.rope_scaling, config.rope_scaling.mscale_all_dim) ** 2
        compressed = latent.q_lora_rank
        self.q_a_proj = Linear(width, compressed, bias=bias) if compressed else None
        self.q_a_norm = RMSNorm(compressed, LATENT_NORM_EPS) if compressed else None
        self.q_proj = Linear(compressed or width, heads * self.head_dim, bias=False)
        self.kv_a_proj = Linear(width, self.rank + self.rope_dim, bias=bias)
        self.kv_a_norm = RMSNorm(self.rank, LATENT_NORM_EPS)
        self.kv_b_proj = LatentUpProjection(self.rank, heads * (self.nope_dim + self.value_dim), bias=False)
        self.o_proj = Linear(heads * self.value_dim, width, bias=bias)

    def forward(
        self,
        x_BTC: Tensor,
        rotary: tuple[Tensor, ...] | None,
        mask: Tensor | None,
        cache: Cache | None,
        hook: Hook = no_hooks,
    ) -> Tensor:
        """Attention output, (B, T, C); arguments as of `Attention`, but a third row of `rotary` multiplies the queries.

        With a cache, the points `attn.hook_k`, `attn.hook_v` and `attn.hook_rot_k` have the earlier tokens as well.
        """
        q_BTHD = hook("attn.hook_q", self._queries(x_BTC))
        latent_BTL, k_BT1R = self._latents(x_BTC)
        if rotary is not None:
            q_BTHD = hook("attn.hook_rot_q", self._rotate_queries(q_BTHD, rotary))
            k_BT1R = rotate(k_BT1R, rotary[0], rotary[1])
        q_BHTD, keys_B1SM = q_BTHD.transpose(1, 2), torch.cat((latent_BTL[:, :, None], k_BT1R), dim=-1).transpose(1, 2)
        if cache is not None:
            keys_B1SM = cache.update(self.layer, keys_B1SM, keys_B1SM[..., :0])[0]
        if self._is_absorbed(q_BHTD, keys_B1SM, cache, hook):
            return self.output(self._mix_latents(q_BHTD, keys_B1SM, mask), hook)
        k_BHSD, v_BHSV = self._expand(keys_B1SM, hook)
        return self.output(self.mix(q_BHTD, k_BHSD, v_BHSV, mask, hook), hook)

    def _queries(self, x_BTC: Tensor) -> Tensor:
        if self.q_a_proj is not None and self.q_a_norm is not None:
            x_BTC = self.q_a_norm(self.q_a_proj(x_BTC))
        return self.q_proj(x_BTC).unflatten(-1, (-1, self.head_dim))  # type: ignore[no-any-return]

    def _latents(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """The latents, (B, T, L), and the shared keys before their rotation, (B, T, 1, R)."""
        latent_BTL, k_BTR = self.kv_a_proj(x_BTC).split((self.rank, self.rope_dim), dim=-1)
        return self.kv_a_norm(latent_BTL), k_BTR[:, :, None]

    def _rotate_queries(self, q_BTHD: Tensor, rotary: tuple[Tensor, ...]) -> Tensor:
        q_BTHN, q_BTHR = torch.split(q_BTHD, [self.nope_dim, self.rope_dim], dim=-1)
        q_BTHD = torch.cat((q_BTHN, rotate(q_BTHR, rotary[0], rotary[1])), dim=-1)
        return q_BTHD * rotary[2] if len(rotary) > 2 else q_BTHD

    def _expand(self, keys_B1SM: Tensor, hook: Hook) -> tuple[Tensor, Tensor]:
        """The keys and values of all heads, (B, H, S, D) and (B, H, S, V)."""
        latent_BSL, k_BSR = torch.split(keys_B1SM[:, 0], [self.rank, self.rope_dim], dim=-1)
        heads_BSHM = self.kv_b_proj(latent_BSL).unflatten(-1, (self.num_heads, -1))
        k_BSHN, v_BSHV = torch.split(heads_BSHM, [self.nope_dim, self.value_dim], dim=-1)
        k_BSHR = k_BSR[:, :, None].expand(-1, -1, self.num_heads, -1)
        k_BSHD = hook("attn.hook_rot_k", torch.cat((k_BSHN, k_BSHR), dim=-1))
        return k_BSHD.transpose(1, 2), hook("attn.hook_v", v_BSHV).transpose(1, 2)

    def _is_absorbed(self, q_BHTD: Tensor, keys_B1SM: Tensor, cache: Cache | None, hook: Hook) -> bool:
        """Whether the projections are applied to queries and outputs, because there are few of them."""
        if self.always_absorbed:
            return True
        if cache is None or hook is not no_hooks or type(self.kv_b_proj) is not LatentUpProjection:
            return False
        T, S, rows = q_BHTD.shape[2], keys_B1SM.shape[2], self.nope_dim + self.value_dim
        absorbed = T * S * (2 * self.rank + self.rope_dim) + T * self.rank * rows
        return absorbed < T * S * (rows + self.rope_dim) + S * self.rank * rows

    def _mix_latents(self, q_BHTD: Tensor, keys_B1SM: Tensor, mask: Tensor | None) -> Tensor:
        """Mixed values, (B, H, T, V), without keys and values of the heads."""
        weight_HML = self.kv_b_proj.weight.to(q_BHTD.dtype).view(self.num_heads, -1, self.rank)
        up_keys_HNL, up_values_HVL = torch.split(weight_HML, [self.nope_dim, self.value_dim], dim=1)
        q_BHTN, q_BHTR = torch.split(q_BHTD, [self.nope_dim, self.rope_dim], dim=-1)
        q_BHTM = torch.cat((self._product_by_head(q_BHTN, up_keys_HNL), q_BHTR), dim=-1)
        values_B1SL = keys_B1SM[..., : self.rank]
        if callable(self.kind):
            y_BHTL = self.mix(q_BHTM, keys_B1SM, values_B1SL, mask, no_hooks)
        else:  # torch's attention would copy the latents for each head
            y_BHTL = attend(q_BHTM, keys_B1SM, values_B1SL, mask, self.scale, self.dropout * self.training, "matmul")
        return self._product_by_head(y_BHTL, up_values_HVL.transpose(1, 2))

    def _product_by_head(self, x_BHTI: Tensor, weight_HIO: Tensor) -> Tensor:
        """Each head's rows times its matrix, (B, H, T, O)."""
        if self.always_absorbed:  # the numbers of a row do not depend on the other rows
            return torch.stack([x_HTI @ weight_HIO for x_HTI in x_BHTI])
        B, H, T = x_BHTI.shape[:3]
        product_HRO = x_BHTI.transpose(0, 1).reshape(H, B * T, -1) @ weight_HIO
        return product_HRO.view(H, B, T, -1).transpose(0, 1)

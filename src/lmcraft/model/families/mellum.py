"""JetBrains' Mellum 2: Qwen 3's experts, with rotary positions of their own in sliding layers."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field


class RotaryByType(common.LocalRotary):
    """Writes `rope_parameters` only: this family has no older keys, and transformers fails on them."""

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        for key in (self.theta_key, "rope_scaling", "rope_local_base_freq"):
            del hf_config[key]


def _all_full(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    return ["full_attention"] * layers


MELLUM = Family(
    model_type="mellum",
    architecture="MellumForCausalLM",
    fields=(
        *common.sizes(98304, 131072, 2304, 7168, 28, 32, num_key_value_heads=4, head_dim=128),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("num_experts", "num_experts", 64, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("moe_intermediate_size", "moe_intermediate_size", 896),
        Field("norm_topk_prob", "norm_topk_prob", True),
        experts.LayerTypes(),
        RotaryByType(theta=5e5),
        common.LayeredWindow(1024, _all_full),
        *common.DROPOUTS,
    ),
    implied=lambda config: {"norm": "rmsnorm", "position": "rotary", "qk_norm": True},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        *common.NORMS,
        experts.router(),
        *experts.experts(),
    ),
)

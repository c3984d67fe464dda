"""Phi-3.5-MoE and Phi-mini-MoE (arXiv 2404.14219, 2506.18349): SparseMixer routing, LayerNorm, biases everywhere else."""

from collections.abc import Mapping
from typing import Any

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field, Weight


class ScaledLongRope(common.Rotary):
    """LongRoPE whose attention factor is `short_mscale`, which equals `long_mscale`."""

    def _rope_parameters(self, hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
        rope = dict(super()._rope_parameters(hf_config))
        short, long = rope.pop("short_mscale", None), rope.pop("long_mscale", None)
        if short != long:
            raise UserError(f"config.json: short_mscale={short!r} must equal long_mscale={long!r}; others are not supported")
        return rope if short is None else rope | {"attention_factor": short}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        scaling = config.rope_scaling
        if scaling.rope_type != "default":
            for rope in (hf_config["rope_parameters"], hf_config["rope_scaling"]):
                rope |= dict.fromkeys(("short_mscale", "long_mscale"), scaling.attention_factor)
            hf_config["original_max_position_embeddings"] = scaling.original_max_position_embeddings


def has_head_bias(config: TransformerConfig, layer: int) -> bool:
    return config.head_bias


PHIMOE = Family(
    model_type="phimoe",
    architecture="PhimoeForCausalLM",
    fields=(
        *common.sizes(32064, 131072, 4096, 6400, 32, 32, num_key_value_heads=8),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("lm_head_bias", "head_bias", False),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("num_local_experts", "num_experts", 16, other="num_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 2),
        Field("router_jitter_noise", "router.jitter_eps", 0.01),
        ScaledLongRope(theta=1e6, types=("default", "longrope")),
        common.Window(),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "layernorm",
        "position": "rotary",
        "qk_norm": False,
        "moe_intermediate_size": config.intermediate_size,
        "router.scores": "sparsemixer",
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        Weight("model.norm.bias", ("norm.bias",)),
        Weight("lm_head.bias", ("lm_head.bias",), when=has_head_bias),
        *common.ATTENTION,
        *common.NORMS,
        layer_weight("input_layernorm.bias", "attention_norm.bias"),
        layer_weight("post_attention_layernorm.bias", "feed_forward_norm.bias"),
        experts.router("block_sparse_moe.gate"),
        *experts.experts("block_sparse_moe", ("w1", "w3", "w2")),
    ),
)

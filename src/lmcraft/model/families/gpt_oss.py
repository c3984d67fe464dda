"""gpt-oss (arXiv 2508.10925): experts in every layer, attention sinks, and windows in every other layer."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, entries, experts
from lmcraft.model.families.family import Family, Field
from lmcraft.model.families.layouts import Grouped

ACTIVATION = Field("hidden_act", "feed_forward", "silu", {"silu": "clamped_swiglu"})
YARN = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}


def _other_slope(hf_config: Mapping[str, Any]) -> str | None:
    slope = hf_config.get("swiglu_alpha", 1.702)
    return None if slope == 1.702 else f"swiglu_alpha={slope!r}"


ALTERNATING = Grouped(lambda config: config.moe_intermediate_size)  # rows of gates and ups

GPT_OSS = Family(
    model_type="gpt_oss",
    architecture="GptOssForCausalLM",
    fields=(
        *common.sizes(201088, 131072, 2880, 2880, 36, 64, num_key_value_heads=8, head_dim=64),
        *entries.llama_like(eps=1e-5, act=ACTIVATION, rotary=common.Rotary(theta=150_000.0, missing=YARN)),
        Field("swiglu_limit", "swiglu_limit", 7.0),
        Field("attention_bias", "attention_bias", True, common.BIAS),
        Field("num_local_experts", "num_experts", 128, other="num_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 4),
        common.LayeredWindow(128, entries.full_every(2)),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm": False,
        "attention_sinks": True,
        "mlp_bias": True,
        "moe_intermediate_size": config.intermediate_size,
        "router.scores": "topk_softmax",
        "router.bias": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        common.layer_weight("self_attn.sinks", "attention.sinks"),
        *common.NORMS,
        experts.router("mlp.router"),
        common.layer_weight("mlp.router.bias", "feed_forward.router.bias"),
        experts.fused("mlp.experts.gate_up_proj", ("gate", "up"), transposed=True, layout=ALTERNATING),
        experts.fused("mlp.experts.gate_up_proj_bias", ("gate", "up"), "bias", layout=ALTERNATING),
        experts.fused("mlp.experts.down_proj", ("down",), transposed=True),
        experts.fused("mlp.experts.down_proj_bias", ("down",), "bias"),
    ),
    refuse=_other_slope,
)

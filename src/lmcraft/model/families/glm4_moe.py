"""DeepSeek V3's experts with ordinary attention: GLM-4.5 to 4.7 (arXiv 2508.06471), dots.llm1 (2506.05767), Solar Open."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field

PLAIN = {"norm": "rmsnorm", "position": "rotary", **experts.SIGMOID}
COMMON = (
    Field("rms_norm_eps", "norm_eps", 1e-5),
    Field("hidden_act", "feed_forward", "silu", common.SILU),
    Field("tie_word_embeddings", "tie_word_embeddings", False),
    experts.FirstDenseLayers(),
    *experts.GROUPS,
    *common.DROPOUTS,
)
WEIGHTS = (
    *common.EMBEDDINGS,
    *common.ATTENTION,
    *common.MLP,
    *common.NORMS,
    experts.router(),
    experts.correction_bias(),
    *experts.experts(),
    *experts.shared_expert(),
)

GLM4_MOE = Family(
    model_type="glm4_moe",
    architecture="Glm4MoeForCausalLM",
    fields=(
        *common.sizes(151552, 131072, 4096, 10944, 46, 96, num_key_value_heads=8),
        Field("attention_bias", "attention_bias", False, {True: "qkv", False: "none"}),
        Field("use_qk_norm", "qk_norm", False),
        Field("n_routed_experts", "num_experts", 128, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("moe_intermediate_size", "moe_intermediate_size", 1408),
        Field("norm_topk_prob", "norm_topk_prob", True),
        experts.SharedExperts(default=1),
        common.Rotary(partial=0.5),
        *COMMON,
    ),
    implied=lambda config: PLAIN,
    optional_prefix="model.",
    weights=WEIGHTS,
)


def _from_max_window_layers(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    return common.by_max_window_layers({"max_window_layers": 62, **hf_config}, layers)


DOTS1 = Family(
    model_type="dots1",
    architecture="Dots1ForCausalLM",
    fields=(
        *common.sizes(152064, 2048, 4608, 10944, 62, 32, num_key_value_heads=32),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("n_routed_experts", "num_experts", 0, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 0),
        Field("moe_intermediate_size", "moe_intermediate_size", 1408),
        Field("norm_topk_prob", "norm_topk_prob", False),
        experts.SharedExperts(),
        common.Rotary(),
        common.LayeredWindow(4096, _from_max_window_layers),
        *COMMON,
    ),
    implied=lambda config: PLAIN | {"qk_norm": True},
    optional_prefix="model.",
    weights=WEIGHTS,
)

SOLAR_OPEN = Family(
    model_type="solar_open",
    architecture="SolarOpenForCausalLM",
    fields=(
        *common.sizes(196608, 131072, 4096, 10240, 48, 64, num_key_value_heads=8, head_dim=128),
        Field("attention_bias", "attention_bias", False, {True: "qkv", False: "none"}),
        Field("n_routed_experts", "num_experts", 128, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("moe_intermediate_size", "moe_intermediate_size", 1280),
        Field("norm_topk_prob", "norm_topk_prob", True),
        experts.SharedExperts(default=1),
        common.Rotary(theta=1e6),
        *COMMON,
    ),
    implied=lambda config: PLAIN | {"qk_norm": False, "mlp_only_layers": ()},
    optional_prefix="model.",
    weights=WEIGHTS,
)

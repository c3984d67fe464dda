"""Tencent's mixtures of experts: Hunyuan-A13B, and HY 3 with DeepSeek V3's routing."""

from lmcraft.model.families import common, entries, experts
from lmcraft.model.families.family import Family, Field
from lmcraft.model.families.hunyuan import QK_NORMS, ROTARY

PLAIN = {"norm": "rmsnorm", "position": "rotary", "qk_norm": True}


HUNYUAN_V1_MOE = Family(
    model_type="hunyuan_v1_moe",
    architecture="HunYuanMoEV1ForCausalLM",
    fields=(
        *common.sizes(290943, 2048, 4096, 11008, 32, 32),
        entries.Count("num_experts", "num_experts", 1),
        entries.Count("moe_topk", "num_experts_per_tok", 1),
        *entries.BIASES[:1],
        *entries.llama_like(eps=1e-5, rotary=ROTARY),
    ),
    implied=lambda config: {
        **PLAIN,
        "qk_norm_after_rotary": True,
        "moe_intermediate_size": config.intermediate_size,
        "shared_expert.intermediate_size": config.intermediate_size,
        "router.in_float32": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *entries.renamed(common.ATTENTION, QK_NORMS),
        *common.NORMS,
        experts.router("mlp.gate.wg"),
        *experts.experts(),
        *experts.shared_expert("mlp.shared_mlp"),
    ),
)

HY_V3 = Family(
    model_type="hy_v3",
    architecture="HYV3ForCausalLM",
    fields=(
        *common.sizes(120832, 131072, 4096, 13312, 80, 64, num_key_value_heads=8, head_dim=128),
        Field("mlp_bias", "mlp_bias", False, {False: False}),
        Field("num_experts", "num_experts", 192, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("moe_intermediate_size", "moe_intermediate_size", 1536),
        Field("router_scaling_factor", "router.scaling_factor", 2.826),
        experts.SharedExperts("num_shared_experts", default=1),
        experts.LayerTypes(default=("dense",)),
        *entries.BIASES[:1],
        *entries.llama_like(eps=1e-5, rotary=common.Rotary(theta=11_158_840.0)),
    ),
    implied=lambda config: PLAIN | experts.SIGMOID,
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        *common.NORMS,
        experts.router("mlp.router.gate"),
        experts.correction_bias("mlp.expert_bias"),
        *experts.experts(),
        *experts.shared_expert("mlp.shared_mlp"),
    ),
)

"""OLMoE (arXiv 2409.02060) and FlexOlmo (arXiv 2507.07024)."""

from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field

PLAIN = {"norm": "rmsnorm", "position": "rotary", "qk_norm": True, "qk_norm_over": "projection"}
COMMON = (
    Field("hidden_act", "feed_forward", "silu", common.SILU),
    Field("attention_bias", "attention_bias", False, common.BIAS),
    Field("tie_word_embeddings", "tie_word_embeddings", False),
    Field("norm_topk_prob", "norm_topk_prob", False),
    *common.DROPOUTS,
)


OLMOE = Family(
    model_type="olmoe",
    architecture="OlmoeForCausalLM",
    fields=(
        *common.sizes(50304, 4096, 2048, 2048, 16, 16),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("num_experts", "num_experts", 64, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("clip_qkv", "clip_qkv", 0.0, null_is_zero=True),
        *COMMON,
        common.Rotary(),
    ),
    implied=lambda config: PLAIN | {"moe_intermediate_size": config.intermediate_size},
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.NORMS, experts.router(), *experts.experts()),
)

FLEX_OLMO = Family(
    model_type="flex_olmo",
    architecture="FlexOlmoForCausalLM",
    fields=(
        *common.sizes(100352, 4096, 4096, 11008, 32, 32),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("num_experts", "num_experts", 7, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 5),
        *COMMON,
        common.Rotary(theta=5e5),
    ),
    implied=lambda config: PLAIN | {"moe_intermediate_size": config.intermediate_size, "norm_placement": "after"},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        experts.router(),
        *experts.experts(),
        common.layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
        common.layer_weight("post_feedforward_layernorm.weight", "feed_forward_post_norm.weight"),
    ),
)
